"""Decisions/s over HTTP on three nested budgets under one account budget; overshoot must be 0."""

import argparse
import itertools
import json
import time
from decimal import Decimal
from functools import partial

from django.utils import timezone

from accounts.models import Project
from bench import _harness as harness
from budgets import ledger
from budgets.models import Budget, BudgetPeriod


def ask_all(url: str, token: str, *, clients: int, calls: int, array: int) -> harness.Timing:
    seconds: list[list[float]] = [[] for _ in range(clients)]

    def client(mine: list[float]) -> None:
        caller = harness.Client(url, token)
        for _ in range(calls // clients):
            asks = [
                {
                    "request_id": f"{clients}-{array}-{next(numbers)}",
                    "workspace": "bench",
                    "project": "bench",
                    "max_cost": "0.01",
                }
                for _ in range(array)
            ]
            body = json.dumps(asks if array > 1 else asks[0]).encode()
            started_at = time.perf_counter()
            caller.post("/api/v1/authorize/", body)
            mine.append(time.perf_counter() - started_at)

    numbers = itertools.count()
    return harness.in_parallel([partial(client, mine) for mine in seconds], seconds)


def make_budgets(place: harness.Place, limit: Decimal) -> None:
    project = Project.objects.create(workspace=place.workspace, tag="bench")
    now = timezone.now()
    for scope, subject in (
        ("account", {}),
        ("workspace", {"workspace": place.workspace}),
        ("project", {"project": project}),
    ):
        budget = Budget(
            account=place.account, name=scope, scope=scope, limit=limit, hard=True, **subject
        )
        ledger.open_budget(budget, now=now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000, help="a run")
    calls = parser.parse_args().calls
    limit = Decimal(40)
    rows = []
    print(f"\n## Authorize ({harness.machine()})\n")
    with harness.database():
        place = harness.make_account()
        make_budgets(place, limit)
        with harness.web() as server:
            for clients, array in ((1, 1), (4, 1), (16, 1), (64, 1), (4, 50)):
                made = calls // array if array > 1 else calls
                timing = ask_all(server.url, place.token, clients=clients, calls=made, array=array)
                rate = len(timing.calls) * array / timing.seconds
                p50, p99 = timing.percentile(50) * 1000, timing.percentile(99) * 1000
                rows.append((clients, array, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}"))
        held = max(BudgetPeriod.objects.values_list("held", flat=True))
    harness.table(("clients", "asks a call", "decisions/s", "p50 ms", "p99 ms"), rows)
    print(f"\nheld {held} of {limit}: overshoot {max(held - limit, Decimal(0))}")


if __name__ == "__main__":
    main()
