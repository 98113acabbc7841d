from datetime import datetime

from django.db import models


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
