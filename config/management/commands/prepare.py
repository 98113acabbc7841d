from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from config.preparation import prepare


class Command(BaseCommand):
    help = "Make tables, static files, the demo and the administrator where they are missing."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            prepare(self.say)
        except OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise CommandError(f"The database does not answer: {reason}") from error

    def say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()
