from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import ticks
from config.processes import Stop


class Command(BaseCommand):
    help = "Run the ticks of config/schedules.py; one process among all workers does at a time."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            ticks.tick_until_stopped(Stop())
        except ticks.Unstoppable as error:
            raise CommandError("A tick does not stop.") from error
