"""Records/s over HTTP under budgets on every level, beside the same without any: by turns, so that
whatever else the machine does meets both.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import ApiKey, Member, Project
from bench import _harness as harness
from bench.ingest import bodies, post_prepared
from budgets import ledger
from budgets.check import check_counters
from budgets.models import Budget

SHAPES = [(100, 4, 10_000), (1000, 4, 40_000)]
ROUNDS = 6
PLENTY = Decimal(100_000_000)


@dataclass
class Side:
    """An account, and the rates of its rounds by batch."""

    place: harness.Place
    rates: dict[int, list[float]] = field(default_factory=dict)


def open_budgets(place: harness.Place) -> int:
    """Over the account and the workspace a hard one each month and a soft one each day, and a hard
    one over whatever has spent in it. How many."""
    now = timezone.now()
    own: list[dict[str, Any]] = [{"scope": "account"}, {"scope": "workspace"}]
    own[1]["workspace"] = place.workspace
    budgets = [
        one | {"period": period, "hard": period == "month"}
        for one in own
        for period in ("month", "day")
    ]
    below: Sequence[tuple[str, Any]] = (
        ("project", Project.objects.filter(workspace=place.workspace)),
        ("member", Member.objects.filter(account=place.account)),
        ("api_key", ApiKey.objects.filter(workspace=place.workspace)),
    )
    budgets += [{"scope": s, s: one, "hard": True} for s, rows in below for one in rows]
    for number, values in enumerate(budgets):
        budget = Budget(account=place.account, name=f"Budget {number}", limit=PLENTY, **values)
        ledger.open_budget(budget, now=now)
    return len(budgets)


def post(server: Any, side: Side, *, batch: int, clients: int, records: int, seed: str) -> None:
    count = max(records // batch // clients, 1)
    prepared = [
        bodies(random.Random(f"{seed} {client}"), batch=batch, count=count)
        for client in range(clients)
    ]
    timing = post_prepared(server, side.place.token, prepared)
    side.rates.setdefault(batch, []).append(len(timing.calls) * batch / timing.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1, help="of the usual number of records")
    share = parser.parse_args().share
    print(f"\n## Ingest under budgets ({harness.machine()})\n")
    with harness.database():
        free, capped = Side(harness.make_account()), Side(harness.make_account("capped"))
        with harness.web() as server, harness.worker():
            for side in (free, capped):  # names are met for the first time
                post(server, side, batch=1000, clients=2, records=4_000, seed="names")
                side.rates.clear()
            number = open_budgets(capped.place)
            for turn in range(ROUNDS):
                for batch, clients, usual in SHAPES:
                    sides = (free, capped) if turn % 2 else (capped, free)
                    records = int(usual * share)
                    for side in sides:
                        seed = f"{turn} {batch}"
                        post(server, side, batch=batch, clients=clients, records=records, seed=seed)
        _, differences = check_counters(capped.place.account)
        if differences:
            raise SystemExit(f"The counters are not the report: {differences[:3]}")
    rows = [line(batch, free, capped) for batch, _, _ in SHAPES]
    harness.table(("batch", "without budgets", f"under {number}", "ratio"), rows)


def line(batch: int, free: Side, capped: Side) -> tuple[object, ...]:
    """Medians; the ratio is that of the turns, each of which was one beside the other."""
    pairs = zip(capped.rates[batch], free.rates[batch], strict=True)
    ratio = harness.median(under / without for under, without in pairs)
    rates = (harness.median(side.rates[batch]) for side in (free, capped))
    return batch, *(f"{rate:,.0f}/s" for rate in rates), f"{ratio:.2f}"


if __name__ == "__main__":
    main()
