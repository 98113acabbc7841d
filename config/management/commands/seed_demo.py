from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config.demo import seed


class Command(BaseCommand):
    help = "Make the demo: the account acme with three teams and weeks of traffic up to now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=seed.DAYS)
        parser.add_argument("--requests", type=int, default=seed.REQUESTS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 1 or options["requests"] < 0:
            raise CommandError("--days is at least 1, and --requests at least 0.")
        try:
            seeded = seed.seed(
                now=timezone.now(), days=options["days"], requests=options["requests"]
            )
        except seed.NotEmpty as error:
            raise CommandError(
                "This database has accounts already; the demo is only made in an empty one."
            ) from error
        if options["verbosity"]:
            self.stdout.write(f"{seeded.account}: {seeded.requests:,} requests.")
