import time
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Account
from usage.formatting import change_of_money, count, money
from usage.models import LlmModel, Repricing
from usage.pricing import reprice, repricing_work


class Command(BaseCommand):
    help = "Bill an account's requests anew with the approved prices: a preview, or with --apply."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, help="slug of the account")
        parser.add_argument("--from", required=True, dest="first", type=date.fromisoformat)
        parser.add_argument(
            "--to", required=True, type=date.fromisoformat, help="the day after the last one"
        )
        parser.add_argument("--model", action="append", default=[], help="only this; repeatable")
        parser.add_argument("--all", action="store_true", help="also requests that have a cost")
        parser.add_argument("--apply", action="store_true", help="do it")
        parser.add_argument("--reason", default="", help="why, kept with the record")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            repricing = reprice.request(
                self.account(options["account"]),
                start_on=options["first"],
                end_on=options["to"],
                only_unpriced=not options["all"],
                model_ids=[self.model(name) for name in options["model"]],
                reason=options["reason"],
                by=None,
                now=timezone.now(),
            )
            self.finish(repricing)
            if options["apply"]:
                reprice.apply(repricing, reason=options["reason"], by=None, now=timezone.now())
                self.finish(repricing)
        except reprice.CannotReprice as error:
            raise CommandError(str(error)) from error
        self.tell(repricing)

    def account(self, slug: str) -> Account:
        found = Account.objects.filter(slug=slug).first()
        if found is None:
            raise CommandError(f"There is no account {slug!r}.")
        return found

    def model(self, name: str) -> int:
        found = LlmModel.objects.filter(name=name).first()
        if found is None:
            raise CommandError(f"No request was ever recorded for the model {name!r}.")
        return found.pk

    def finish(self, repricing: Repricing) -> None:
        """Until it is done, beside a worker that may take days of it too."""
        while repricing.is_at_work:
            if not repricing_work.work_on(repricing):
                time.sleep(0.2)
            repricing.refresh_from_db()
        if repricing.state == Repricing.State.FAILED:
            raise CommandError(repricing.error)

    def tell(self, repricing: Repricing) -> None:
        for line in repricing.lines.filter(applied=repricing.is_applied).select_related("model"):
            self.stdout.write(
                f"{line.model.name}: {count(line.changed)} of {count(line.requests)} requests, "
                f"{money(line.old_cost)} -> {money(line.new_cost)} "
                f"({change_of_money(line.difference)}), {count(line.unpriced_after)} unpriced"
            )
        done = "Applied" if repricing.is_applied else "Preview only; nothing was changed"
        self.stdout.write(f"{done}: {repricing}.")
