"""Look for spikes once a minute: what spends more than it should, since when, and because of whom.

One cause makes one episode: a runaway key raises its member, project, model and workspace too, so
whatever an episode explains at least by half is not told again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import User, Workspace
from usage.insight import notices, series, spike_words
from usage.insight.drivers import drivers_of, name_of, shared_with, spent_in
from usage.insight.seasons import (
    LONG_HOURS,
    SENSITIVITY,
    SHORT_MINUTES,
    Baseline,
    Excess,
    baseline,
    excess_long,
    excess_now,
    rhythm_of,
)
from usage.insight.series import Series
from usage.spike_models import Anomaly, SeriesKind, SpikeWatch

CALM = timedelta(minutes=30)
NEW_DRIVERS = timedelta(minutes=10)
ALONGSIDE = timedelta(hours=2)
QUARTER = 15
LONGEST_BURST_MINUTES = max(SHORT_MINUTES)
LONGEST_WINDOW = timedelta(hours=max(LONG_HOURS) + 1)
LAID_DOWN = timedelta(days=7)
EXPLAINED_BY_HALF = Decimal("0.5")

Measure, State = Anomaly.Measure, Anomaly.State
RANK = {kind: rank for rank, kind in enumerate(SeriesKind.values)}


@dataclass(frozen=True, slots=True)
class Rules:
    """How a workspace is watched."""

    workspace: Workspace
    spreads: float
    least: dict[str, float]
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Firing:
    series: Series
    measure: str
    excess: Excess

    @property
    def key(self) -> tuple[Any, ...]:
        return (*self.series, self.measure)

    @property
    def is_long(self) -> bool:
        return self.excess.minutes > LONGEST_BURST_MINUTES

    def shows(self, anomaly: Anomaly) -> bool:
        """Whether the episode goes on: a burst is over when its minutes are, whatever the hour or
        the day around it still adds up to."""
        return self.excess.minutes <= max(anomaly.window_minutes, QUARTER)

    @property
    def rank(self) -> tuple[Any, ...]:
        """Bursts before shifts, spend before tokens, keys before workspaces, the worst first."""
        return (
            self.is_long,
            self.measure != Measure.SPEND,
            RANK[self.series.kind],
            -self.excess.times,
        )


@dataclass
class Memory:
    """The baselines of one hour: made once, asked every minute."""

    hour: datetime | None = None
    workspaces: tuple[int, ...] = ()
    baselines: dict[tuple[Series, str], Baseline] = field(default_factory=dict)
    known_since: dict[Series, datetime] = field(default_factory=dict)

    def load(self, workspaces: Sequence[int], hour: datetime) -> None:
        if (self.hour, self.workspaces) == (hour, tuple(workspaces)):
            return
        series.fill(workspaces, end=hour)
        self.baselines, self.known_since = {}, {}
        for history in series.histories(workspaces, end=hour):
            self.known_since[history.series] = hour - len(history.cost) * series.HOUR
            rhythm = rhythm_of(history.requests)
            if rhythm is None:
                continue
            for measure in Measure.values:
                request = history.request(measure)
                found = baseline(history.of(measure), rhythm, request=request)
                if found is not None:
                    self.baselines[history.series, measure] = found
        self.hour, self.workspaces = hour, tuple(workspaces)


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


def rules_of(workspaces: Iterable[int]) -> dict[int, Rules]:
    chosen = Workspace.objects.active().select_related("account")
    if ids := list(workspaces):
        chosen = chosen.filter(pk__in=ids)
    own = {watch.workspace_id: watch for watch in SpikeWatch.objects.all()}
    found = {}
    for workspace in chosen:
        watch = own.get(workspace.pk) or SpikeWatch(workspace=workspace)
        if watch.sensitivity != SpikeWatch.Sensitivity.OFF:
            least = {"spend": float(watch.least_dollars), "tokens": float(watch.least_tokens)}
            spreads = SENSITIVITY[watch.sensitivity]
            found[workspace.pk] = Rules(workspace, spreads, least, tuple(watch.recipients))
    return found


def found(rules: dict[int, Rules], memory: Memory, *, now: datetime) -> Iterator[Firing]:
    """Each series that spends too much: in its last minutes, and in the hours before."""
    hour = memory.hour or now
    minute = int((now - hour).total_seconds() // 60)
    short = series.recent(list(rules), now=now)
    for (subject, measure), expected in memory.baselines.items():
        rule = rules[subject.workspace_id]
        how = {"spreads": rule.spreads, "least": rule.least[measure]}
        windows = short.get((subject, measure), {})
        short_excesses = excess_now(expected, windows, minute=minute, **how)
        for excess in (*short_excesses, *excess_long(expected, **how)):
            yield Firing(subject, measure, excess)


@dataclass
class Episodes:
    """The episodes of one workspace: told when they begin, followed, closed when all is calm."""

    rule: Rules
    memory: Memory
    now: datetime
    recent: list[Anomaly]

    def follow(self, firing: list[Firing]) -> None:
        lasting = [anomaly for anomaly in self.recent if anomaly.ended_at is None]
        for anomaly in lasting:
            if any(one.key == anomaly.series and one.shows(anomaly) for one in firing):
                self.go_on(anomaly)
            elif self.now - anomaly.last_seen_at >= CALM:
                self.end(anomaly)
        for one in sorted(firing, key=lambda one: one.rank):
            if not self.is_explained(one):
                self.begin(one)

    def is_explained(self, one: Firing) -> bool:
        """Whether at least half of its excess was spent in another episode, or it is one."""
        start = self.now - timedelta(minutes=one.excess.minutes)
        for other in self.recent:
            subject = series_of(other)
            if subject == one.series and other.ended_at is None:
                return True
            is_part = RANK[other.kind] > RANK[one.series.kind]
            if is_part and self.now - other.started_at > ALONGSIDE:
                continue  # a shift of the whole must not hide what happens within it for days
            shared = shared_with(
                one.series,
                subject,
                one.measure,
                start=max(start, other.started_at),
                end=other.ended_at or self.now,
            )
            if shared >= Decimal(one.excess.amount) * EXPLAINED_BY_HALF:
                return True
        return False

    def begin(self, one: Firing) -> None:
        start = self.now - timedelta(minutes=one.excess.minutes)
        anomaly = Anomaly(
            workspace=self.rule.workspace,
            kind=one.series.kind,
            subject_id=one.series.subject_id,
            subject_name=name_of(one.series),
            measure=one.measure,
            started_at=start,
            detected_at=self.now,
            window_minutes=one.excess.minutes,
            noticed=estimate(one.excess.actual),
            noticed_expected=estimate(one.excess.expected),
            noticed_upper=estimate(one.excess.upper),
            expected=estimate(one.excess.expected),
        )
        self.bring_up_to_now(anomaly)
        self.explain(anomaly)
        try:
            with transaction.atomic():
                anomaly.save(force_insert=True)
                notices.tell(self.notice(anomaly), now=self.now)
        except IntegrityError:
            return  # somebody else has just begun it
        self.recent.append(anomaly)

    def go_on(self, anomaly: Anomaly) -> None:
        expected = self.memory.baselines.get((series_of(anomaly), anomaly.measure))
        minutes = (self.now - anomaly.last_seen_at).total_seconds() / 60
        an_hour = expected.hours.this.expected if expected else 0.0
        anomaly.expected += estimate(an_hour * minutes / 60)
        explained_at = (anomaly.last_seen_at - anomaly.detected_at) // NEW_DRIVERS
        self.bring_up_to_now(anomaly)
        if (self.now - anomaly.detected_at) // NEW_DRIVERS > explained_at:
            self.explain(anomaly)
        self.save(anomaly, "expected", "drivers")

    def end(self, anomaly: Anomaly) -> None:
        anomaly.ended_at = anomaly.last_seen_at
        self.explain(anomaly)
        self.save(anomaly, "ended_at", "drivers")

    def bring_up_to_now(self, anomaly: Anomaly) -> None:
        anomaly.last_seen_at = self.now
        cost, tokens = spent_in(series_of(anomaly), anomaly.started_at, self.now)
        anomaly.actual = cost if anomaly.measure == Measure.SPEND else tokens
        more = max(anomaly.actual - anomaly.expected, Decimal(0))
        share = more / anomaly.actual if anomaly.actual else Decimal(0)
        anomaly.excess_cost = estimate(cost * share)

    def explain(self, anomaly: Anomaly) -> None:
        subject = series_of(anomaly)
        anomaly.drivers = drivers_of(
            subject,
            anomaly.measure,
            anomaly.started_at,
            anomaly.last_seen_at,
            known_since=self.memory.known_since.get(subject, anomaly.started_at),
        )

    def save(self, anomaly: Anomaly, *more: str) -> None:
        """What people decided meanwhile stays."""
        anomaly.save(update_fields=["last_seen_at", "actual", "excess_cost", *more])

    def notice(self, anomaly: Anomaly) -> notices.Notice:
        message = spike_words.message(anomaly)
        return notices.Notice(
            account_id=self.rule.workspace.account_id,
            workspace_id=self.rule.workspace.pk,
            kind="spike",
            key=f"spike:{anomaly.pk}",
            recipients=self.rule.recipients,
            **message,
        )


def series_of(anomaly: Anomaly) -> Series:
    return Series(anomaly.workspace_id, anomaly.kind, anomaly.subject_id)


def estimate(amount: float | Decimal) -> Decimal:
    return Decimal(amount).quantize(Decimal("1e-6"))


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
