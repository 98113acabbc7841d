"""Exports that the worker makes: who asked for what, how far it is, and what came out."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import AccessToken, Account


class ExportQuerySet(models.QuerySet):
    def seen_by(self, account_ids: Iterable[int], workspace_ids: Iterable[int]) -> Self:
        """Those of which somebody with that reach may see every row."""
        return self.filter(account__in=account_ids, workspace_ids__contained_by=list(workspace_ids))

    def abandoned(self, *, since: datetime) -> Self:
        """At work without a sign of life since then: their worker is dead."""
        return self.filter(state=Export.State.RUNNING, beat_at__lt=since)


class Export(models.Model):
    """One file of one dataset. The manifest is there once it is done."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        EXPIRED = "expired"

    AT_WORK = (State.QUEUED, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    workspace_ids = ArrayField(
        models.IntegerField(), help_text="Of which it has rows: who sees less does not see it."
    )
    dataset = models.CharField(max_length=20)
    extension = models.CharField("format", max_length=12)
    parameters = models.JSONField(default=dict, help_text="As in a query string: lists of texts.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    token = models.ForeignKey(AccessToken, on_delete=models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    beat_at = models.DateTimeField(help_text="The last sign of life of whoever is at it.")
    rows = models.PositiveBigIntegerField(default=0)
    percent = models.PositiveSmallIntegerField(
        null=True, help_text="How much of the work is done, where that is known."
    )
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes.")
    file_name = models.CharField(max_length=300, blank=True)
    key = models.CharField(max_length=400, blank=True)
    manifest = models.JSONField(null=True)
    error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True, help_text="When its file is taken away.")

    objects = ExportQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "-pk"]
        indexes = [
            # What the worker looks for every few seconds.
            models.Index(
                fields=["beat_at"],
                condition=Q(state__in=("queued", "running")),
                name="exports_at_work",
            ),
            # The list of an account, newest first.
            models.Index(fields=["account", "-requested_at"], name="exports_by_account"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="done") | Q(manifest__isnull=False, expires_at__isnull=False),
                name="export_that_is_done_has_a_manifest",
            )
        ]

    def __str__(self) -> str:
        return self.file_name or f"{self.dataset}.{self.extension}"

    @property
    def is_at_work(self) -> bool:
        return self.state in self.AT_WORK
