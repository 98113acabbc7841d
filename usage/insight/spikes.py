"""Look for spikes once a minute: what spends more than it should, since when, and because of whom.

`watching` says what fires, `episodes` what is told of it; people decide here.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from accounts.models import User
from usage.insight import series
from usage.insight.episodes import Episodes
from usage.insight.seasons import LONG_HOURS
from usage.insight.watching import Firing, Memory, found, rules_of
from usage.spike_models import Anomaly

LONGEST_WINDOW = timedelta(hours=max(LONG_HOURS) + 1)
LAID_DOWN = timedelta(days=7)

State = Anomaly.State

MEMORY = Memory()


def look(*, now: datetime, memory: Memory = MEMORY, workspaces: Iterable[int] = ()) -> None:
    """Look once, at all watched workspaces or some of them."""
    rules = rules_of(workspaces)
    hour = now.replace(minute=0, second=0, microsecond=0)
    memory.load(sorted(rules), hour)
    firing: dict[int, list[Firing]] = {pk: [] for pk in rules}
    for one in found(rules, memory, now=now):
        firing[one.series.workspace_id].append(one)
    lasting: dict[int, list[Anomaly]] = {pk: [] for pk in rules}
    for anomaly in Anomaly.objects.since(now - LONGEST_WINDOW).filter(workspace__in=rules):
        lasting[anomaly.workspace_id].append(anomaly)
    for pk, rule in rules.items():
        if firing[pk] or lasting[pk]:
            Episodes(rule, memory, now, lasting[pk]).follow(firing[pk])


def lay_down(*, now: datetime) -> None:
    """What ended a week ago and nobody looked at is not open any more; old hours are forgotten."""
    old = Anomaly.objects.open().filter(ended_at__lt=now - LAID_DOWN)
    old.update(state=State.RESOLVED, decided_at=now, note="Nobody looked at it in a week.")
    series.forget(before=now)


# What people decide.


class CannotDecide(Exception):
    """A decision that does not fit; the message says why."""


DECISIONS = {
    State.ACKNOWLEDGED: (State.OPEN,),
    State.EXPECTED: (State.OPEN, State.ACKNOWLEDGED),
    State.RESOLVED: (State.OPEN, State.ACKNOWLEDGED, State.EXPECTED),
    State.OPEN: (State.ACKNOWLEDGED, State.EXPECTED, State.RESOLVED),
}


def decide(anomaly_id: int, state: str, *, note: str, by: User | None, now: datetime) -> None:
    """Say that somebody looks after it, that it was meant to be, or that it is over.

    Raises CannotDecide.
    """
    if state not in DECISIONS:
        raise CannotDecide("A spike is open, acknowledged, expected or resolved.")
    mine = Anomaly.objects.filter(pk=anomaly_id, state__in=DECISIONS[State(state)])
    if not mine.update(state=state, note=note.strip(), decided_by=by, decided_at=now):
        raise CannotDecide("Somebody else has decided on it meanwhile.")
