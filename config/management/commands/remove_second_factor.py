from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.models import SecondFactor


class Command(BaseCommand):
    help = "Let somebody who lost their phone and recovery codes log in by password again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        username = options["username"]
        removed, _ = SecondFactor.objects.filter(user__username=username).delete()
        if not removed:
            raise CommandError(f"{username} has no second factor.")
        self.stdout.write(f"Removed: {username} logs in by password alone.")
