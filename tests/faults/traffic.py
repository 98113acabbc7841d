"""What gateways do all day, and what must be true of the books whatever was killed meanwhile.

What was sent and what was acknowledged is kept here, outside of everything that dies.
"""

import http.client
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.utils import timezone

from accounts.models import Account, Project, Workspace
from budgets import ledger
from budgets.models import Budget
from tests.faults.gateway import Gateway, lines, zipped
from tests.serving import wait_until

SEED = 20261122
POSTERS, CALLERS = 3, 2  # callers ask before each call
CAP, WATCHED = Decimal(3), Decimal(2)
DIME = Decimal("0.1")
DIME_TOKENS = 40_000  # at $2.50 a million
THRESHOLDS = [50, 80, 100, 120]
PAUSE_SECONDS = 0.03  # a poster's, so that books of a long run can be read in a moment
PATIENCE_SECONDS = 300.0


@dataclass
class Traffic:
    """Many gateways at once. Each round has a cap to be reached and a budget to be watched."""

    url: str
    token: str
    account: Account
    began_at: datetime
    round: int = 0
    sent: dict[str, int] = field(default_factory=dict)  # request id -> its input tokens
    acknowledged: set[str] = field(default_factory=set)
    holds: Counter[int] = field(default_factory=Counter)  # acknowledged, by round
    calls: int = 0
    answers: Counter[int] = field(default_factory=Counter)  # by status; 0: none came
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def open_round(self) -> None:
        """A hard budget that callers use up, and one without a stop whose alerts are mailed."""
        workspace = Workspace.objects.get(account=self.account, slug="research")
        number = self.round + 1
        for name, limit, more in (
            ("cap", CAP, {"hard": True}),
            ("watched", WATCHED, {"thresholds": THRESHOLDS}),
        ):
            tag = f"{name}-{number}"
            project = Project.objects.create(workspace=workspace, tag=tag)
            budget = Budget(account=self.account, name=tag, scope="project", project=project,
                            period="total", limit=limit, **more)  # fmt: skip
            budget.recipients = [f"{tag}@acme.test"]
            ledger.open_budget(budget, now=timezone.now() - timedelta(days=41))
        self.round = number

    def run(self) -> list[threading.Thread]:
        """Everybody at work, until `over`; who fails ends it for all."""
        acts = [partial(posting, self, place) for place in range(POSTERS)]
        acts += [partial(calling, self, place) for place in range(CALLERS)]
        acts.append(partial(spending, self))
        threads = [threading.Thread(target=self._until_over, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        return threads

    def _until_over(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException:
            self.over.set()
            raise

    def gateway(self) -> Gateway:
        return Gateway(self.url, self.token, patience=PATIENCE_SECONDS, answers=self.answers)

    def wait_for_calls(self, more: int, seconds: float = PATIENCE_SECONDS) -> None:
        enough = self.calls + more
        wait_until(lambda: self.calls >= enough or self.over.is_set(), seconds)

    def row(self, rng: random.Random, request_id: str, **fields: Any) -> dict[str, Any]:
        days_ago = rng.choice((0, 0, 0, 1, 2, 40))
        return {
            "request_id": request_id,
            "occurred_at": (self.began_at - timedelta(days=days_ago)).isoformat(),
            "model": "gpt-4o",
            "provider": "openai",
            "workspace": rng.choice(("research", "support")),
            "project": rng.choice((None, "alpha", "beta")),
            "member": rng.choice((None, "jane", "joe")),
            "input_tokens": rng.randrange(1, 5000),
        } | fields

    def dime(self, rng: random.Random, request_id: str, project: str) -> dict[str, Any]:
        call = {"workspace": "research", "project": project, "input_tokens": DIME_TOKENS}
        return self.row(rng, request_id, **call)

    def will_send(self, rows: list[dict[str, Any]]) -> None:
        with self.lock:
            self.sent.update({row["request_id"]: row["input_tokens"] for row in rows})

    def has_acknowledged(self, rows: list[dict[str, Any]]) -> None:
        with self.lock:
            self.calls += 1
            self.acknowledged.update(row["request_id"] for row in rows)

    def post(self, gateway: Gateway, rows: list[dict[str, Any]], form: str = "array") -> None:
        self.will_send(rows)
        body, headers = (lines(rows), {}) if form == "lines" else (rows, {})
        if form == "gzip":
            body, headers = zipped(rows), {"Content_Encoding": "gzip"}
        answer = gateway.post_until_acknowledged("requests/", body, **headers)
        assert answer["rejected"] == [], answer
        assert answer["accepted"] + answer["duplicates"] == len(rows)
        self.has_acknowledged(rows)

    def post_once(self, gateway: Gateway, rows: list[dict[str, Any]]) -> None:
        """As a gateway that does not care: nobody knows what became of it where it fails."""
        self.will_send(rows)
        with suppress(OSError, http.client.HTTPException):
            gateway.post("requests/", rows)
            self.has_acknowledged(rows)

    def may_call(self, gateway: Gateway, request_id: str, number: int) -> bool:
        ask = {"request_id": request_id, "max_cost": str(DIME), "workspace": "research",
               "project": f"cap-{number}"}  # fmt: skip
        answer = gateway.post_until_acknowledged("authorize/", ask)
        if answer["allowed"]:
            with self.lock:
                self.calls += 1
                self.holds[number] += 1
        return bool(answer["allowed"])


def posting(traffic: Traffic, place: int) -> None:
    """Batches of mixed sizes; every fourth call sends again what was acknowledged before."""
    rng, gateway = random.Random(SEED + place), traffic.gateway()
    done: list[list[dict[str, Any]]] = []
    for n in itertools.count():
        if traffic.over.wait(PAUSE_SECONDS):
            break
        size = rng.choice((1, 1, 3, 20, 120))
        rows = [traffic.row(rng, f"p{place}-{n}-{i}") for i in range(size)]
        rows += rng.sample(rows, rng.choice((0, 0, min(size, 2))))  # the same id twice in a call
        if done and rng.random() < 0.25:
            again = rng.choice(done)
            rows = rng.sample(again, len(again))
        if rng.random() < 0.1:
            traffic.post_once(gateway, rows)
        else:
            traffic.post(gateway, rows, rng.choice(("array", "lines", "gzip")))
            done.append(rows)


def calling(traffic: Traffic, place: int) -> None:
    """Asks for a dime before each call, makes the call when it may, and sometimes forgets to log
    it; after the first no waits for the next round."""
    rng, gateway = random.Random(SEED - place), traffic.gateway()
    refused_in = 0
    for n in itertools.count():
        number = traffic.round
        if traffic.over.wait(PAUSE_SECONDS):
            break
        if number == refused_in:
            continue
        request_id = f"c{place}-{n}"
        if not traffic.may_call(gateway, request_id, number):
            refused_in = number
        elif rng.random() < 0.9:
            traffic.post(gateway, [traffic.dime(rng, request_id, f"cap-{number}")])
            traffic.wait_for_calls(4)  # or all would be spent in a second


def spending(traffic: Traffic) -> None:
    """A dime now and then on what is watched, a little past its last threshold."""
    rng, gateway = random.Random(SEED), traffic.gateway()
    spent: Counter[int] = Counter()
    for n in itertools.count():
        number = traffic.round
        if traffic.over.wait(PAUSE_SECONDS):
            break
        if spent[number] * DIME < WATCHED * THRESHOLDS[-1] / 100:
            spent[number] += 1
            traffic.post(gateway, [traffic.dime(rng, f"w-{n}", f"watched-{number}")])
            traffic.wait_for_calls(3)
