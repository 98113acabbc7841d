from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Account
from exports import restore
from exports.places import PlaceError
from exports.retention_run import archive_place


class Command(BaseCommand):
    help = (
        "Bring the single requests of an archived day back into the log, as they were. Reports "
        "count them already, so that no total changes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, help="slug of the account")
        parser.add_argument(
            "--day", required=True, type=date.fromisoformat, help="of the account's calendar"
        )
        parser.add_argument(
            "--keep-days",
            type=int,
            default=restore.KEPT_DAYS,
            help=f"after so many days they go again; {restore.KEPT_DAYS} unless told",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']!r}.")
        place = archive_place()
        if place is None:
            raise CommandError("There is no archive: ARCHIVE_URL is not set.")
        try:
            done = restore.restore_day(
                account,
                options["day"],
                place,
                now=timezone.now(),
                kept_days=options["keep_days"],
            )
        except (restore.CannotRestore, PlaceError) as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(f"{done.rows:,} requests of {options['day']} are in the log again.")
            if done.already_there:
                self.stdout.write(f"{done.already_there:,} were there already.")
