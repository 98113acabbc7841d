from typing import Any

from django.core.management.base import BaseCommand

from usage.rollups.fold import fold_all


class Command(BaseCommand):
    help = "Fold everything recorded into the roll-ups now, as the worker does all the time."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{fold_all():,} requests folded.")
