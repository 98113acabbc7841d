"""Who spends: users, accounts, workspaces, clients, members, projects, API keys, access tokens."""

import hashlib
import hmac
import secrets
import zoneinfo
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils.text import slugify

# "localtime" is whatever a machine says and unknown to PostgreSQL; the others it takes for the
# abbreviations that they also are, without daylight saving: days would differ from Python's.
AMBIGUOUS_ZONES = frozenset({"localtime", "CET", "EET", "MET", "WET"})


@cache
def time_zones() -> frozenset[str]:
    """The names of time zones that mean the same to Python and to PostgreSQL."""
    return frozenset(zoneinfo.available_timezones()) - AMBIGUOUS_ZONES


def validate_time_zone(name: str) -> None:
    if name not in time_zones():
        raise ValidationError(f"{name!r} is not a time zone; use a name such as Europe/Berlin.")


class User(AbstractUser):
    """A person who logs in to the admin. What a user sees is decided by roles (`access.py`)."""


class ArchivableQuerySet(models.QuerySet):
    def active(self) -> Self:
        return self.filter(archived_at=None)


class Archivable(models.Model):
    """Things with history are archived, never deleted: their spend stays in every report."""

    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ArchivableQuerySet.as_manager()

    class Meta:
        abstract = True


class Account(Archivable):
    """The organisation that pays. Its time zone decides where days and budget periods are cut."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    currency = models.CharField(max_length=3, default="USD", editable=False)
    ceiling_input_per_million = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        default=Decimal("15"),
        validators=[MinValueValidator(0)],
        help_text="What a million input tokens of a model without a price count towards caps.",
    )
    ceiling_output_per_million = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        default=Decimal("75"),
        validators=[MinValueValidator(0)],
        help_text="What a million output tokens of a model without a price count towards caps.",
    )
    books_closed_until = models.DateField(
        null=True,
        blank=True,
        help_text="Costs of days before this one are final: they are not re-priced any more. "
        "Empty: nothing is closed.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """With all that follows from another time zone (`zones.py`), or not at all."""
        super().save(*args, **kwargs)

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)


class Workspace(Archivable):
    """A team or department in an account."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="workspaces")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80)
    external_id = models.CharField(
        max_length=200,
        null=True,
        blank=True,
        help_text="The gateway's own id for it, such as LiteLLM's team id.",
    )
    retention_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(30), MaxValueValidator(90)],
        help_text="How long single requests are kept; totals are kept for ever.",
    )
    enforce_hard_limits = models.BooleanField(
        default=True, help_text="Off: hard budgets of this workspace only warn."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "slug"], name="workspace_slug_unique_in_account"
            ),
            models.UniqueConstraint(
                fields=["account", "external_id"], name="workspace_external_id_unique_in_account"
            ),
            models.CheckConstraint(
                condition=Q(retention_days__gte=30, retention_days__lte=90),
                name="workspace_retention_is_30_to_90_days",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Client(Archivable):
    """Someone whom the costs of projects are passed on to."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="clients")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "slug"], name="client_slug_unique_in_account"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Member(Archivable):
    """A person or service whose keys spend, known by an e-mail address or the gateway's user id."""

    class Kind(models.TextChoices):
        PERSON = "person"
        SERVICE = "service"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="members")
    identifier = models.CharField(
        max_length=200, help_text="E-mail address, or the user id that the gateway sends."
    )
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(null=True, blank=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.PERSON)

    class Meta:
        ordering = ["name", "identifier"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "identifier"], name="member_identifier_unique_in_account"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.identifier


class Project(Archivable):
    """A tag that requests carry; made on first sight, edited later, may belong to a client."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="projects")
    tag = models.CharField(max_length=200)
    name = models.CharField(max_length=200, blank=True)
    client = models.ForeignKey(
        Client, on_delete=models.PROTECT, null=True, blank=True, related_name="projects"
    )
    merged_into = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, editable=False
    )

    class Meta:
        ordering = ["name", "tag"]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "tag"], name="project_tag_unique_in_workspace"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.tag


class ApiKey(Archivable):
    """The gateway's key that a request was made with, known by a public id or a digest."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="api_keys")
    identifier = models.CharField(
        max_length=200, help_text="The key's public id or its SHA-256; never the key itself."
    )
    name = models.CharField(max_length=200, blank=True)
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, null=True, blank=True, related_name="api_keys"
    )
    default_project = models.ForeignKey(
        Project,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="For requests that name no project.",
    )
    disabled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "identifier"]
        verbose_name = "API key"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "identifier"], name="api_key_unique_in_workspace"
            )
        ]

    def __str__(self) -> str:
        return self.name or shortened(self.identifier)


def shortened(identifier: str) -> str:
    """A digest as people compare it: its first eight characters."""
    return identifier if len(identifier) <= 24 else f"{identifier[:8]}…"


class Role(models.Model):
    """What a user may do in an account, or, where a workspace is named, only in that workspace."""

    class Name(models.TextChoices):
        OWNER = "owner"
        MANAGER = "manager"
        ACCOUNTANT = "accountant"
        VIEWER = "viewer"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="roles"
    )
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="roles")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, null=True, blank=True, related_name="roles"
    )
    name = models.CharField("role", max_length=12, choices=Name.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "account", "workspace"],
                nulls_distinct=False,
                name="one_role_per_user_and_place",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.name} of {self.workspace or self.account}"

    def clean(self) -> None:
        if self.workspace and self.workspace.account_id != self.account_id:
            raise ValidationError({"workspace": "This workspace belongs to another account."})


class Scope(models.TextChoices):
    INGEST = "ingest", "ingest: post request logs"
    AUTHORIZE = "authorize", "authorize: ask whether a call may go"
    READ = "read", "read: reports and lists"
    EXPORT = "export", "export: download whole datasets"
    MANAGE = "manage", "manage: create and change configuration"


TOKENS_VERSION = "tokens"  # what processes remember of tokens, see versions.py


class AccessToken(models.Model):
    """A credential for the REST API.

    Its text is `tb_<public id>_<secret>`, shown once. Stored is HMAC-SHA256 of the secret under
    the site's SECRET_KEY, so a copy of the table lets nobody in.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="access_tokens")
    workspaces = models.ManyToManyField(
        Workspace, blank=True, help_text="Only these; none chosen means all of the account."
    )
    name = models.CharField(max_length=200)
    public_id = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=12, choices=Scope.choices))
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Ids of `workspaces`, once they were asked for.
    narrowed_to: list[int] | None = None

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(scopes__len__gt=0), name="token_has_a_scope")
        ]

    def __str__(self) -> str:
        return f"{self.name} (tb_{self.public_id}_…)"

    def renew_secret(self) -> str:
        """Give the token a new secret and return its whole text, which is not kept."""
        self.public_id = self.public_id or secrets.token_hex(8)
        secret = secrets.token_urlsafe(32)
        self.digest = digest_of(secret)
        return f"tb_{self.public_id}_{secret}"

    def note_use(self, *, now: datetime) -> None:
        """Remember the use to the minute: a write a minute, not a write a request."""
        if self.last_used_at is None or now - self.last_used_at > timedelta(minutes=1):
            AccessToken.objects.filter(pk=self.pk).update(last_used_at=now)
            self.last_used_at = now


def digest_of(secret: str) -> str:
    key = hashlib.sha256(b"access token:" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, secret.encode(), hashlib.sha256).hexdigest()


class CacheVersion(models.Model):
    """Counts the changes of rows that processes keep in memory (`accounts/versions.py`)."""

    name = models.CharField(max_length=40, primary_key=True)
    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def free_slug(name: str, *, taken: "models.QuerySet", fallback: str) -> str:
    """A slug for `name` that no row of `taken` has."""
    base = slugify(name)[:70] or fallback
    slug, number = base, 2
    while taken.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug


from accounts.reattribution_models import Reattribution  # noqa: E402, F401 (Django finds it here)
