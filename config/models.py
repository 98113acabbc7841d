from collections.abc import Iterable
from datetime import datetime
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from config.exact import ExactDecoder


class HeartbeatQuerySet(models.QuerySet):
    def beat(self, name: str, *, at: datetime) -> None:
        """One statement, so that any number of workers may say the same at once."""
        self.bulk_create(
            [self.model(name=name, beat_at=at)],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["beat_at"],
        )


class Heartbeat(models.Model):
    """When a part of the worker last showed, to whoever reads the database, that it works."""

    QUEUE = "queue"
    TICKS = "ticks"

    name = models.CharField(max_length=40, primary_key=True)
    beat_at = models.DateTimeField()

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} at {self.beat_at:%Y-%m-%d %H:%M:%S %Z}"

    @staticmethod
    def of_tick(name: str) -> str:
        return f"tick {name}"

    @staticmethod
    def of_schedule(name: str) -> str:
        return f"schedule {name}"


class BooksCheckQuerySet(models.QuerySet):
    def at_work(self) -> Self:
        """Those that somebody asked for and that did not end yet."""
        return self.filter(state__in=(BooksCheck.State.WAITING, BooksCheck.State.RUNNING))

    def ended(self) -> Self:
        """Those with a result, the newest first."""
        ended = (BooksCheck.State.BALANCED, BooksCheck.State.UNBALANCED)
        return self.filter(state__in=ended).order_by("-started_at", "-pk")


class BooksCheck(models.Model):
    """One check of the books (`books.py`): what was compared, and what did not balance."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        BALANCED = "balanced"
        UNBALANCED = "unbalanced", "does not balance"
        FAILED = "failed"

    id = models.AutoField(primary_key=True)  # four bytes: it is part of an advisory lock
    account_ids = ArrayField(
        models.IntegerField(), null=True, help_text="Only these; null: all there are."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Null: the nightly schedule.",
    )
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    accounts = models.PositiveIntegerField(default=0)
    compared = models.JSONField(default=dict, help_text="How many of what.")
    difference_count = models.PositiveIntegerField(default=0)
    differences = models.JSONField(default=list, help_text="The first of each account.")
    error = models.TextField(blank=True)

    objects = BooksCheckQuerySet.as_manager()

    class Meta:
        verbose_name = "check of the books"
        verbose_name_plural = "checks of the books"
        ordering = ["-requested_at", "-pk"]

    def __str__(self) -> str:
        return f"Check {self.pk} of the books"

    @property
    def is_at_work(self) -> bool:
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def has_result(self) -> bool:
        return self.state in (self.State.BALANCED, self.State.UNBALANCED)

    def covers(self, account_ids: Iterable[int]) -> bool:
        """Whether it was asked to check all of those accounts."""
        return self.account_ids is None or set(self.account_ids).issuperset(account_ids)


class AuditEntryQuerySet(models.QuerySet):
    def of_object(self, table_name: str, object_id: str) -> Self:
        return self.filter(table_name=table_name, object_id=object_id)


class AuditEntry(models.Model):
    """Who did what, when. Written by triggers (`audit.py`); the database refuses to change one.

    Without foreign keys: it stays whatever becomes of those it names.
    """

    class Action(models.TextChoices):
        CREATE = "create", "created"
        CHANGE = "change", "changed"
        DELETE = "delete", "deleted"
        LOG_IN = "log_in", "logged in"
        LOG_OUT = "log_out", "logged out"
        REFUSED = "refused", "log-in refused"
        LOCKED = "locked", "locked out"
        DOWNLOAD = "download", "downloaded"

    at = models.DateTimeField()
    actor = models.CharField(max_length=300)
    user_id = models.BigIntegerField(null=True)
    token_id = models.BigIntegerField(null=True)
    account_id = models.BigIntegerField(null=True, help_text="Null: of the whole platform.")
    action = models.CharField(max_length=8, choices=Action.choices)
    table_name = models.CharField(max_length=63, blank=True)
    object_id = models.CharField(max_length=200, blank=True)
    subject = models.CharField(max_length=300, blank=True, help_text="What it was called then.")
    old = models.JSONField(
        null=True, decoder=ExactDecoder, help_text="The columns that changed, before."
    )
    new = models.JSONField(null=True, decoder=ExactDecoder, help_text="The same columns, after.")

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            # The pages of those who manage some accounts.
            models.Index(fields=["account_id", "-id"], name="audit_by_account"),
            # The history of one object.
            models.Index(fields=["table_name", "object_id", "-id"], name="audit_by_object"),
            # The refusals of the last minutes, at each log-in.
            models.Index(
                fields=["at"],
                condition=models.Q(action__in=["refused", "log_in"]),
                name="audit_of_log_ins",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.get_action_display()} {self.subject}"


class SecondFactor(models.Model):
    """An authenticator app that a user shows codes of at log-in (`second_factor.py`)."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    secret = models.TextField(help_text="Encrypted with the site's key.")
    created_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True, help_text="Null: it counts for nothing yet.")
    last_step = models.BigIntegerField(null=True, help_text="Of the last code that was accepted.")
    recovery_digests = ArrayField(models.CharField(max_length=64), default=list)

    def __str__(self) -> str:
        return f"Second factor of {self.user}"
