"""What is remembered of requests that retention removed."""

from collections.abc import Iterable
from datetime import date
from typing import Self

from django.db import models

from accounts.models import Workspace


class GoneDayQuerySet(models.QuerySet):
    def within(self, workspace_ids: Iterable[int], start: date, end: date) -> Self:
        """Those of the local days `[start, end)`."""
        return self.filter(workspace__in=workspace_ids, day__gte=start, day__lt=end)


class GoneDay(models.Model):
    """How many requests of a local day the log does not have any more; their sums stay.

    The day is cut as the account cut it when they were removed.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    requests = models.PositiveBigIntegerField()

    objects = GoneDayQuerySet.as_manager()

    class Meta:
        constraints = [
            # Also the look-up of the days that a question misses.
            models.UniqueConstraint(fields=["workspace", "day"], name="day_is_gone_once")
        ]

    def __str__(self) -> str:
        return f"{self.workspace}, {self.day}: {self.requests:,} requests"
