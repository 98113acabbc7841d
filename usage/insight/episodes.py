"""Episodes of spikes: told when they begin, followed, and closed when all is calm.

One cause makes one episode: a runaway key raises its member, project, model and workspace too, so
whatever an episode explains at least by half is not told again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction

from usage.insight import notices, spike_words
from usage.insight.drivers import drivers_of, name_of, shared_with, spent_in
from usage.insight.series import Series
from usage.insight.watching import RANK, Firing, Memory, Rules
from usage.spike_models import Anomaly

CALM = timedelta(minutes=30)
NEW_DRIVERS = timedelta(minutes=10)
ALONGSIDE = timedelta(hours=2)
EXPLAINED_BY_HALF = Decimal("0.5")

Measure = Anomaly.Measure


@dataclass
class Episodes:
    """The episodes of one workspace."""

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
