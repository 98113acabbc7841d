"""A company under traffic, to which one thing after another happens; after each its books are
looked at, and whether everything runs again by itself."""

import random
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psutil
from django.core.management import call_command
from django.db import Error, connection
from django.utils import timezone

from accounts.models import Scope
from budgets import ledger
from budgets.models import Budget
from config import embedded
from config.models import Heartbeat
from tests.factories import bearer, make_account, make_workspace, small_price_book
from tests.faults import truth
from tests.faults.company import STARTS_SECONDS, Company
from tests.faults.menu import Fault, Skipped
from tests.faults.traffic import SEED, Traffic
from tests.serving import wait_until

RECOVERS_SECONDS = 180.0
MAILED_SECONDS = 180.0
EXPORTED_SECONDS = 300.0
CALLS_BETWEEN = (10, 40)
CALLS_AFTER = 10


@dataclass
class Outcome:
    """Of one fault, however often it was tried."""

    times: int = 0
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    back_after: float = 0.0
    said: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""


@dataclass
class Soak:
    company: Company
    traffic: Traffic
    beats: int = 1  # of each part of the worker, before it counts as running again
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    outcomes: dict[str, Outcome] = field(default_factory=lambda: defaultdict(Outcome))
    findings: truth.Findings = field(default_factory=truth.Findings)
    began_at: float = field(default_factory=time.monotonic)

    def inflict(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            if self.traffic.over.is_set():
                raise RuntimeError("a gateway gave up: see its error above")
            self.try_one(fault, self.outcomes[fault.name])

    def try_one(self, fault: Fault, outcome: Outcome) -> None:
        connection.close()
        self.traffic.open_round()
        self.ask_for_an_export()
        self.traffic.wait_for_calls(self.rng.randrange(*CALLS_BETWEEN))
        answers = self.traffic.answers.copy()
        try:
            began_at, mended_at = self.break_and_mend(fault)
        except (Skipped, psutil.Error) as why:
            outcome.skipped = str(why)
            return
        outcome.times += 1
        try:
            self.wait_until_well()
        except TimeoutError:
            outcome.wrong.append(f"not well after {RECOVERS_SECONDS:.0f} s: {self.how_it_is()}")
        outcome.back_after = max(outcome.back_after, time.monotonic() - mended_at)
        self.note(fault, outcome, began_at, mended_at)
        for status, number in (self.traffic.answers - answers).items():
            outcome.statuses[status] += number
        self.findings = truth.look(self.company, self.traffic)
        outcome.wrong += self.findings.wrong
        print(" | ".join([f"{datetime.now():%H:%M:%S}", *row_of(fault.name, outcome)]), flush=True)

    def break_and_mend(self, fault: Fault) -> tuple[float, float]:
        """When it began to be broken, and when it was mended."""
        with fault.breaks(self.company, self.rng):
            began_at = time.monotonic()
            self.traffic.over.wait(fault.seconds)
            mended_at = time.monotonic()
        return began_at, mended_at

    def ask_for_an_export(self) -> None:
        if self.company.storage_gate is not None:
            ask = {"dataset": "projects", "parameters": {}}
            self.traffic.gateway().post_until_acknowledged("exports/", ask)

    def wait_until_well(self) -> None:
        """Ready, calls come through, and both parts of the worker go on."""
        seen = {name: {moment} for name, moment in beats().items()}
        deadline = time.monotonic() + RECOVERS_SECONDS

        def is_well() -> bool:
            for name, moment in beats().items():
                seen.setdefault(name, set()).add(moment)
            enough = all(len(moments) > self.beats for moments in seen.values())
            return enough and len(seen) >= 2 and self.company.is_ready()

        wait_until(is_well, RECOVERS_SECONDS)
        self.traffic.wait_for_calls(CALLS_AFTER, max(deadline - time.monotonic(), 1))

    def how_it_is(self) -> str:
        probe = self.company.look()
        return f"{probe.status} {probe.reasons}, {self.traffic.calls} calls, beats {beats()}"

    def note(self, fault: Fault, outcome: Outcome, began_at: float, mended_at: float) -> None:
        """What `/readyz` said, and whether that was true."""
        inside = [p for p in self.company.probes if began_at <= p.asked_at]
        outcome.said |= {reason for probe in inside for reason in probe.reasons}
        outcome.said |= {"no answer" for probe in inside if not probe.status}
        certain = [
            probe
            for probe in inside
            if probe.asked_at >= began_at + fault.noticed and probe.answered_at <= mended_at
        ]
        if fault.ready is False and any(probe.status == 200 for probe in certain):
            outcome.wrong.append("/readyz said ready while it was not")
        if fault.ready is True and any(probe.status != 200 for probe in certain):
            outcome.wrong.append(f"/readyz said no without a reason: {outcome.said}")

    def settle(self) -> None:
        """After the last fault: everybody is told, every export is made, the books balance."""
        last = self.outcomes["everything, at the end"]
        last.times = 1
        began_at = time.monotonic()
        with suppress(TimeoutError):
            wait_until(lambda: not truth.mails_missing(self.company), MAILED_SECONDS)
        truth.say(last, "alerts that nobody was told of", truth.mails_missing(self.company))
        if self.company.storage_gate is not None:
            with suppress(TimeoutError):
                wait_until(lambda: not truth.exports_at_work(), EXPORTED_SECONDS)
        last.back_after = time.monotonic() - began_at
        self.findings = truth.look(self.company, self.traffic)
        if self.company.storage_gate is not None:
            truth.exports_made(self.company, self.findings)
        last.wrong += self.findings.wrong

    @property
    def wrong(self) -> dict[str, list[str]]:
        return {name: one.wrong for name, one in self.outcomes.items() if one.wrong}

    def table(self) -> str:
        """As docs/operations.md has it, to be pasted there."""
        head = ("What happened", "Times", "Sent again", "Well after", "`/readyz` said", "Wrong")
        lines = [head, ["---"] * len(head), *(row_of(*one) for one in self.outcomes.items())]
        found = self.findings
        return "\n".join(
            [
                *("| " + " | ".join(line) + " |" for line in lines),
                "",
                f"{(time.monotonic() - self.began_at) / 60:.0f} minutes; "
                f"{found.requests:,} requests, {self.traffic.calls:,} calls acknowledged; "
                f"{found.alerts} alerts, {found.mails} mails, {found.mails_again} of them twice.",
            ]
        )


def row_of(name: str, outcome: Outcome) -> list[str]:
    if not outcome.times:
        return [name, "0", "", "", "", f"skipped: {outcome.skipped}"]
    kinds = ", ".join(
        f"{n} x {s or 'cut'}" for s, n in sorted(outcome.statuses.items()) if s != 200
    )
    return [
        name,
        str(outcome.times),
        kinds or "0",
        f"{outcome.back_after:.0f} s",
        "; ".join(sorted({in_short(reason) for reason in outcome.said})) or "ready",
        "; ".join(outcome.wrong) or "nothing",
    ]


def in_short(reason: str) -> str:
    """Without what to do about it, and without figures that are others each time."""
    return re.sub(r"\d+ (MB|minutes)", r"N \1", reason.split(":", maxsplit=1)[0].rstrip("."))


def beats() -> dict[str, datetime]:
    """When the parts of the worker last showed life; nothing where nobody can tell."""
    try:
        parts = Heartbeat.objects.filter(name__in=(Heartbeat.QUEUE, Heartbeat.TICKS))
        return dict(parts.values_list("name", "beat_at"))
    except Error:
        connection.close()
        return {}


def prepare(company: Company) -> Traffic:
    """A new database with one account; the test's own connection leads there already."""
    call_command("migrate", interactive=False, verbosity=0)
    small_price_book()
    account = make_account(time_zone="America/New_York")
    research, _ = (make_workspace(account, slug) for slug in ("research", "support"))
    for name, values in (
        ("all", {"scope": "account", "limit": Decimal(100_000), "hard": True}),
        ("daily", {"scope": "workspace", "workspace": research, "period": "day", "limit": None}),
    ):
        budget = Budget(account=account, name=name, **{"period": "total"} | values)
        ledger.open_budget(budget, now=timezone.now() - timedelta(days=41))
    header = bearer(account, Scope.INGEST, Scope.AUTHORIZE, Scope.EXPORT)["authorization"]
    return Traffic(company.url, header.removeprefix("Bearer "), account, began_at=datetime.now(UTC))


def start(company: Company) -> None:
    """PostgreSQL again, too: all of them are to have the clock that can be moved."""
    connection.close()
    embedded.stop(company.postgres)
    company.start()
    wait_until(company.is_ready, STARTS_SECONDS)


def in_any_order(faults: Sequence[Fault], minutes: float) -> Iterator[Fault]:
    """Each once, then each again in another order, until the time is over."""
    rng, ends_at = random.Random(SEED), time.monotonic() + minutes * 60
    while time.monotonic() < ends_at:
        for fault in rng.sample(faults, len(faults)):
            if time.monotonic() > ends_at:
                return
            yield fault
