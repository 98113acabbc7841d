from argparse import ArgumentParser
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Account
from budgets import ledger
from budgets.models import Budget
from usage.reports.question import plural

COUNTERS = ("spent", "estimated", "held")


class Command(BaseCommand):
    help = (
        "Set the budgets' counters of an account to what the reports say, a budget at a time and "
        "beside everything else that runs. For a counter that check_books found wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, help="slug of the account")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']!r}.")
        budgets = list(Budget.objects.filter(account=account).order_by("pk"))
        changed = sum(self.recount(budget) for budget in budgets)
        self.stdout.write(
            f"{plural(len(budgets), 'budget')} recounted, {plural(changed, 'counter')} set right."
        )

    def recount(self, budget: Budget) -> int:
        """How many of its counters were wrong, each of which is told."""
        before = counters(budget)
        ledger.recount(budget, now=timezone.now())
        after = counters(budget)
        wrong = [day for day in sorted(before) if after[day] != before[day]]
        for day in wrong:
            for name, was, now in zip(COUNTERS, before[day], after[day], strict=True):
                if was != now:
                    self.stdout.write(f"{budget} {day} {name}: was {was}, is {now}")
        return len(wrong)


def counters(budget: Budget) -> dict[date, tuple[Decimal, ...]]:
    """By the first day of their period."""
    return {day: tuple(sums) for day, *sums in budget.periods.values_list("start_on", *COUNTERS)}
