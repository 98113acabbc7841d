"""Accounts on their way to another time zone."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Q

from accounts.models import Account, User

# On two cores that others use too.
REQUESTS_PER_SECOND = 100_000


class ZoneChangeQuerySet(models.QuerySet):
    def waiting(self) -> Self:
        return self.filter(finished_at=None).order_by("pk")


class ZoneChange(models.Model):
    """A change of an account's time zone that the worker makes, because it takes a while.

    The account keeps its zone until then. `problem` is why it could not be made.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    time_zone = models.CharField(max_length=64)
    requests = models.PositiveBigIntegerField(help_text="About how many are cut into other days.")
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)

    objects = ZoneChangeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(finished_at=None), name="one_zone_change_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account} to {self.time_zone}"

    @property
    def takes(self) -> timedelta:
        """About how long the worker needs."""
        return timedelta(seconds=self.requests / REQUESTS_PER_SECOND)

    def left(self, *, now: datetime) -> timedelta:
        """About how much of that is still to come."""
        return max(self.takes - (now - (self.started_at or now)), timedelta(0))
