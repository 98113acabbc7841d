from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Account
from config import books
from usage.formatting import count


class Command(BaseCommand):
    help = (
        "Check that the request log, every roll-up and every budget say the same, to the last "
        "digit. Changes nothing; exit code 1 where they do not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="slug of the account; without it, all")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = books.check(self.accounts(options["account"]), now=timezone.now())
        for line in findings.differences:
            self.stdout.write(books.sentence(line))
        self.stdout.write(books.summary(findings.accounts, findings.compared()))
        if findings.difference_count:
            raise CommandError(
                f"The books do not balance: {count(findings.difference_count)} differences."
            )
        self.stdout.write("The books balance.")

    def accounts(self, slug: str | None) -> list[Account]:
        accounts = Account.objects.order_by("slug")
        if slug is None:
            return list(accounts)
        found = list(accounts.filter(slug=slug))
        if not found:
            raise CommandError(f"There is no account {slug!r}.")
        return found
