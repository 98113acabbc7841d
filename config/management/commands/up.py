import sys
from typing import Any

from django.core.management.base import BaseCommand

from config import processes


class Command(BaseCommand):
    help = "Run everything: database, web and worker; Ctrl-C stops it."
    # The settings are not complete before the launcher has made the secret key.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        processes.become([sys.executable, "-m", "config.launcher"])
