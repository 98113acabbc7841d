"""What is in the archive, and how the nightly runs went."""

from django.db import models
from django.db.models import Q

from accounts.models import Account


class ArchiveFile(models.Model):
    """A Parquet file with the requests of an account's day, beside its manifest.

    It is written down here once it was read back and said the same as the log. From then on its
    requests may be removed, or, where they changed meanwhile, it is stale and written anew.
    """

    class State(models.TextChoices):
        VERIFIED = "verified", "verified, not removed yet"
        ARCHIVED = "archived"
        RESTORED = "restored"
        SUPERSEDED = "superseded"
        STALE = "stale"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    day = models.DateField(help_text="Of the account's calendar.")
    part = models.PositiveSmallIntegerField(help_text="Late requests of a day make further files.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.VERIFIED)
    key = models.CharField(max_length=300, help_text="Its path in the archive.")
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    workspace_ids = models.JSONField()
    rows = models.PositiveBigIntegerField()
    checksum = models.DecimalField(max_digits=40, decimal_places=0)
    totals = models.JSONField()
    sha256 = models.CharField("SHA-256", max_length=64)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    written_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)
    restored_at = models.DateTimeField(null=True)
    kept_until = models.DateTimeField(null=True, help_text="When what was restored goes again.")

    class Meta:
        verbose_name = "archived day"
        ordering = ["-day", "account", "part"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "day", "part"], name="part_of_a_day_archived_once"
            ),
            models.CheckConstraint(
                condition=~Q(state="restored") | Q(kept_until__isnull=False),
                name="restored_day_says_until_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account.slug}, {self.day}, part {self.part}"


class RetentionRun(models.Model):
    """One look at what is past its retention."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    mode = models.CharField(max_length=8)
    rows_archived = models.PositiveBigIntegerField(default=0)
    rows_removed = models.PositiveBigIntegerField(default=0)
    partitions_dropped = models.PositiveIntegerField(default=0)
    days_waiting = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = "retention run"
        ordering = ["-started_at", "-pk"]

    def __str__(self) -> str:
        return f"Retention at {self.started_at:%Y-%m-%d %H:%M} UTC"
