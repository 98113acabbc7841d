import time
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Account
from usage.rollups.rebuild import NothingToRebuildFrom, rebuild_day
from usage.rollups.span import SpanDay, days_of_span
from usage.rollups.whole import rebuild_whole_day

EVERY_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Make the roll-ups of a span of days anew from the request log: the same rows as folding "
        "makes. Beside everything else that runs, a day of a workspace at a time; it may be "
        "interrupted and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, help="slug of the account")
        parser.add_argument(
            "--workspace", action="append", default=[], help="only this; repeatable"
        )
        parser.add_argument("--from", required=True, dest="first", type=date.fromisoformat)
        parser.add_argument(
            "--to", required=True, type=date.fromisoformat, help="the day after the last one"
        )
        parser.add_argument(
            "--trust-log",
            action="store_true",
            help="also days of which the log has fewer requests than the roll-ups count",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["first"] >= options["to"]:
            raise CommandError("The span ends before it begins.")
        workspaces = self.workspaces(options["account"], options["workspace"])
        days = days_of_span(list(workspaces), options["first"], options["to"])
        left_alone = self.rebuild(days, workspaces, trust_log=options["trust_log"])
        self.stdout.write(f"{len(days) - left_alone} days of workspaces rebuilt.")
        if left_alone:
            self.stdout.write(f"{left_alone} left alone: not all of their requests are kept.")

    def workspaces(self, account_slug: str, slugs: list[str]) -> dict[int, str]:
        """Id -> slug of those that are meant."""
        account = Account.objects.filter(slug=account_slug).first()
        if account is None:
            raise CommandError(f"There is no account {account_slug!r}.")
        known = dict(account.workspaces.values_list("slug", "pk"))
        for slug in slugs:
            if slug not in known:
                raise CommandError(f"{account_slug} has no workspace {slug!r}.")
        return {known[slug]: slug for slug in slugs or sorted(known)}

    def rebuild(self, days: list[SpanDay], workspaces: dict[int, str], *, trust_log: bool) -> int:
        """Day by day; how many were left alone."""
        act = rebuild_day if trust_log else rebuild_whole_day
        left_alone, told_at = 0, time.monotonic()
        for done, unit in enumerate(days):
            try:
                act(unit.workspace_id, unit.day)
            except NothingToRebuildFrom as error:
                left_alone += 1
                self.stderr.write(f"{workspaces[unit.workspace_id]}, left alone: {error}")
            except KeyboardInterrupt:
                raise CommandError(
                    f"Interrupted: {done} of {len(days)} are done and stay done. "
                    f"Go on with --from {unit.day}."
                ) from None
            if time.monotonic() - told_at >= EVERY_SECONDS:
                self.stderr.write(f"{done + 1} of {len(days)}, {unit.day}")
                told_at = time.monotonic()
        return left_alone
