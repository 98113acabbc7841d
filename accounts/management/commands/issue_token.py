from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from accounts import tokens
from accounts.models import Account, Scope, Workspace


class Command(BaseCommand):
    help = "Issue an access token for the REST API and print it, and nothing else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, help="slug of the account")
        parser.add_argument("--name", required=True, help="what the token is for")
        parser.add_argument("--scope", action="append", required=True, choices=Scope.values)
        parser.add_argument("--workspace", action="append", default=[], help="narrow it to this")
        parser.add_argument("--expires-at", help="RFC 3339, such as 2027-01-01T00:00:00Z")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            known = ", ".join(Account.objects.values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no account {options['account']!r}. Accounts: {known}.")
        try:
            _, text = tokens.issue(
                account=account,
                name=options["name"],
                scopes=set(options["scope"]),
                workspaces=[self.workspace(account, slug) for slug in options["workspace"]],
                expires_at=self.moment(options["expires_at"]),
            )
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        self.stdout.write(text)

    def workspace(self, account: Account, slug: str) -> Workspace:
        found = account.workspaces.filter(slug=slug).first()
        if found is None:
            raise CommandError(f"Account {account.slug!r} has no workspace {slug!r}.")
        return found

    def moment(self, text: str | None) -> datetime | None:
        if not text:
            return None
        try:
            moment = parse_datetime(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise CommandError("--expires-at takes RFC 3339, such as 2027-01-01T00:00:00Z.")
        return moment
