from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils import timezone


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        post_migrate.connect(make_partitions, sender=self)


def make_partitions(plan: Any = (), **kwargs: Any) -> None:
    """The days around today have their partitions as soon as there is a log to part."""
    from usage import partitions

    if partitions.log_exists():
        partitions.make_around(timezone.now())
