from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save, pre_save
from django.utils import timezone


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        from accounts import reattribution, zones
        from accounts.models import Account
        from usage.rollups import reattribute, recut, zone_change

        post_migrate.connect(make_partitions, sender=self)
        pre_save.connect(recut.before_account_is_saved, sender=Account)
        post_save.connect(recut.after_account_is_saved, sender=Account)
        zones.may_change += [recut.check_nothing_is_re_priced, recut.check_closed_days_stay]
        zones.may_change.append(zone_change.check_not_on_its_way)
        zones.later.append(zone_change.ask_later)
        zones.told.append(zone_change.how_far)
        zones.waiting.append(recut.requests_waiting)
        reattribution.counted.append(reattribute.how_much)


def make_partitions(plan: Any = (), **kwargs: Any) -> None:
    """The days around today have their partitions as soon as there is a log to part."""
    from usage import partitions

    if partitions.log_exists():
        partitions.make_around(timezone.now())
