from typing import Any

from django.core.management.base import BaseCommand

from config import worker


class Command(BaseCommand):
    help = "Run what is queued and what is due, and replace what dies or hangs."

    def handle(self, *args: Any, **options: Any) -> None:
        worker.main()
