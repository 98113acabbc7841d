"""What is watched for spikes: by which rules, against what is usual, and what fires in a minute."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import Workspace
from usage.insight import series
from usage.insight.seasons import (
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

QUARTER = 15
LONGEST_BURST_MINUTES = max(SHORT_MINUTES)

Measure = Anomaly.Measure
RANK = {kind: rank for rank, kind in enumerate(SeriesKind.values)}


@dataclass(frozen=True, slots=True)
class Rules:
    """How a workspace is watched."""

    workspace: Workspace
    spreads: float
    least: dict[str, float]
    recipients: tuple[str, ...]


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
