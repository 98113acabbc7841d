from typing import Any

from django.core.management.base import BaseCommand

from config import data_model


class Command(BaseCommand):
    help = "Print the diagrams of docs/data-model.md."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(data_model.page(), ending="")
