"""Where files are sent, which ones, how often, and each one that was."""

from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from accounts.models import Account
from exports import endpoints, secrets
from exports.places import Bucket, Folder, Place, PlaceError


class Destination(models.Model):
    """A folder below the operator's, a bucket, or people's mailboxes."""

    class Kind(models.TextChoices):
        FOLDER = "folder", "Folder on the server"
        BUCKET = "bucket", "S3-compatible bucket"
        MAIL = "mail", "E-mail"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    folder = models.CharField(
        max_length=200, blank=True, help_text="Below the account's own folder for exports."
    )
    bucket = models.CharField(max_length=200, blank=True)
    prefix = models.CharField(max_length=200, blank=True, help_text="Such as finance/llm.")
    endpoint = models.CharField(
        max_length=300, blank=True, help_text="https://host of the storage; empty: Amazon S3."
    )
    region = models.CharField(max_length=60, blank=True)
    access_key = models.CharField(max_length=200, blank=True)
    encrypted_secret = models.TextField(blank=True, editable=False)
    recipients = ArrayField(
        models.EmailField(), default=list, blank=True, help_text="E-mail addresses."
    )

    class Meta:
        ordering = ["account", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "name"], name="destination_name_unique_in_account"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def where(self) -> str:
        match self.kind:
            case self.Kind.FOLDER:
                return f"{self.account.slug}/{self.folder}".rstrip("/")
            case self.Kind.BUCKET:
                return f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return ", ".join(self.recipients)

    def clean(self) -> None:
        match self.kind:
            case self.Kind.FOLDER:
                self.clean_folder()
            case self.Kind.BUCKET:
                self.clean_bucket()
            case self.Kind.MAIL if not self.recipients:
                raise ValidationError({"recipients": "Name at least one address."})

    def clean_folder(self) -> None:
        if not settings.EXPORT_FOLDER:
            raise ValidationError(
                {"kind": "The operator allows no folder: EXPORT_FOLDER is not set."}
            )
        path = PurePosixPath(self.folder)
        if path.is_absolute() or ".." in path.parts or "\\" in self.folder or "\0" in self.folder:
            raise ValidationError({"folder": "A folder below the account's, without '..'."})

    def clean_bucket(self) -> None:
        missing = {
            name: "A bucket needs this."
            for name in ("bucket", "access_key")
            if not getattr(self, name)
        }
        if missing:
            raise ValidationError(missing)
        if self.endpoint:
            try:
                endpoints.check_endpoint(self.endpoint)
            except endpoints.Refused as error:
                raise ValidationError({"endpoint": str(error)}) from error

    def set_secret(self, secret: str) -> None:
        self.encrypted_secret = secrets.encrypt(secret)

    def place(self) -> Place:
        """Raises PlaceError."""
        if self.kind == self.Kind.FOLDER:
            if not settings.EXPORT_FOLDER:
                raise PlaceError(
                    "The operator allows no folder any more: EXPORT_FOLDER is not set."
                )
            root = Folder(Path(settings.EXPORT_FOLDER) / self.account.slug)
            return Folder(root.path(self.folder)) if self.folder else root
        try:
            if self.endpoint:
                endpoints.check_endpoint(self.endpoint)
            return self.as_bucket()
        except (endpoints.Refused, secrets.Unreadable) as error:
            raise PlaceError(
                str(error) or "The secret was kept under another SECRET_KEY: enter it again."
            ) from error

    def as_bucket(self) -> Bucket:
        # Without keys of its own the storage would be asked with those of the worker.
        if not (self.access_key and self.encrypted_secret):
            raise PlaceError("The bucket has no access key or no secret key.")
        return Bucket(
            self.bucket,
            self.prefix.strip("/"),
            self.endpoint or None,
            self.region or None,
            self.access_key,
            secrets.decrypt(self.encrypted_secret),
            guarded=bool(self.endpoint) and not endpoints.is_allowed(self.endpoint),
        )


class ExportSchedule(models.Model):
    """A dataset of the whole account, a file for every period, sent once the period is over."""

    class Every(models.TextChoices):
        HOUR = "hour", "Hourly"
        DAY = "day", "Daily"
        WEEK = "week", "Weekly, from Monday"
        MONTH = "month", "Monthly"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    dataset = models.CharField(max_length=20)
    extension = models.CharField("format", max_length=12, default="csv")
    parameters = models.JSONField(default=dict, blank=True)
    every = models.CharField(max_length=5, choices=Every.choices, default=Every.MONTH)
    destination = models.ForeignKey(Destination, on_delete=models.PROTECT, related_name="+")
    active = models.BooleanField(default=True)
    starts_at = models.DateTimeField(
        editable=False, help_text="Periods that end later than this are sent."
    )

    class Meta:
        ordering = ["account", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "name"], name="schedule_name_unique_in_account"
            )
        ]

    def __str__(self) -> str:
        return self.name


class SentFileQuerySet(models.QuerySet):
    def due(self, *, now: datetime) -> Self:
        return self.filter(state=SentFile.State.WAITING, next_attempt_at__lte=now)


class SentFile(models.Model):
    """One period of a schedule, `[start_at, end_at)`: sent once, and again only when it changed."""

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        FAILED = "failed"

    schedule = models.ForeignKey(ExportSchedule, on_delete=models.CASCADE, related_name="files")
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    correction = models.PositiveSmallIntegerField(
        default=0, help_text="0: the first file. Late requests make further ones."
    )
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True)
    file_name = models.CharField(max_length=300, blank=True)
    manifest = models.JSONField(null=True)
    counted: Any = models.JSONField(
        null=True, help_text="What reports said of the period when it was sent."
    )

    objects = SentFileQuerySet.as_manager()

    class Meta:
        verbose_name = "sent file"
        ordering = ["-end_at", "schedule", "-correction"]
        indexes = [
            # What is due to be sent.
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="waiting"), name="sent_files_due"
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "start_at", "correction"], name="period_sent_once"
            )
        ]

    def __str__(self) -> str:
        return self.file_name or f"{self.schedule} from {self.start_at:%Y-%m-%d %H:%M} UTC"
