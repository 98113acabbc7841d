"""Which providers are up: checked each minute, and told from what becomes of requests to them.

A provider changes its state after three minutes in a row that say so: one lost packet is no outage,
and what flaps stays as it was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from accounts.models import Workspace
from usage.availability_models import (
    OutageWatch,
    ProviderChange,
    ProviderCheck,
    ProviderMinute,
    ProviderState,
)
from usage.insight import notices
from usage.insight.checks import Result, ask_all

MINUTE = timedelta(minutes=1)
KEPT = timedelta(days=90)
# What takes long is logged late: so many minutes are counted anew each time.
LATE = timedelta(minutes=15)
STEP = timedelta(days=1)

IN_A_ROW = 3
LOOKED_BACK = timedelta(minutes=15)
# Requests tell something from so many on, and an outage if so many of them fail.
PASSIVE_WINDOWS = (timedelta(minutes=5), timedelta(minutes=30))
LEAST_REQUESTS = 10
FAILING_PART = Decimal("0.5")

FAILED = "(l.status >= 500 OR l.status = 408)"
LIMITED = "l.status = 429"

COUNT = f"""
INSERT INTO usage_providerminute
    (provider_id, minute, requests, failed, limited, check_error)
SELECT l.provider_id, date_trunc('minute', l.occurred_at, 'UTC') AS minute, count(*),
    count(*) FILTER (WHERE {FAILED}), count(*) FILTER (WHERE {LIMITED}), ''
FROM usage_requestlog l
WHERE l.workspace_id = ANY(%(workspaces)s) AND l.provider_id IS NOT NULL
    AND l.occurred_at >= %(start)s AND l.occurred_at < %(end)s
GROUP BY l.provider_id, minute
ON CONFLICT (provider_id, minute) DO UPDATE SET
    requests = excluded.requests, failed = excluded.failed, limited = excluded.limited
"""

# Of several workers with the same minute one gets the row.
CLAIM = """
INSERT INTO usage_providerminute
    (provider_id, minute, requests, failed, limited, check_error, claimed_at)
SELECT p, %(minute)s, 0, 0, 0, '', %(now)s FROM unnest(%(providers)s::int[]) p ORDER BY p
ON CONFLICT (provider_id, minute) DO UPDATE SET claimed_at = excluded.claimed_at
    WHERE usage_providerminute.claimed_at IS NULL
RETURNING provider_id
"""

WINDOWS = """
SELECT provider_id, max(check_ok::int) FILTER (WHERE minute = %(minute)s),
    max(check_error) FILTER (WHERE minute = %(minute)s),
    sum(requests) FILTER (WHERE minute > %(five)s), sum(failed) FILTER (WHERE minute > %(five)s),
    sum(requests), sum(failed)
FROM usage_providerminute WHERE minute > %(thirty)s AND minute <= %(minute)s
GROUP BY provider_id
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a minute says of a provider; null where nothing tells."""

    provider_id: int
    is_ok: bool | None
    reason: str


def look(*, now: datetime) -> None:
    """Check and judge the minute that `now` is in. Doing it twice checks once."""
    minute = now.replace(second=0, microsecond=0)
    count(end=minute + MINUTE)
    run_checks(minute, now=now)
    for verdict in verdicts(minute):
        judge(verdict, minute)


def forget(*, now: datetime) -> None:
    ProviderMinute.objects.filter(minute__lt=now - KEPT).delete()


# What becomes of requests.


def count(*, end: datetime) -> None:
    """Have every minute before `end` counted, as far as it reaches back. Twice gives the same."""
    newest = ProviderMinute.objects.filter(minute__lt=end, requests__gt=0).order_by("-minute")
    last = newest.values_list("minute", flat=True).first()
    start = max(end - KEPT, last - LATE) if last else end - KEPT
    workspaces = list(Workspace.objects.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        while start < end:
            step = min(start + STEP, end)
            cursor.execute(COUNT, {"workspaces": workspaces, "start": start, "end": step})
            start = step


# What checks say.


def run_checks(minute: datetime, *, now: datetime) -> None:
    checks = list(ProviderCheck.objects.filter(is_enabled=True).select_related("provider"))
    mine = claimed([check.provider_id for check in checks], minute, now=now)
    ours = [check for check in checks if check.provider_id in mine]
    for check_id, result in ask_all(ours).items():
        provider_id = next(c.provider_id for c in ours if c.pk == check_id)
        write(provider_id, minute, result)


def claimed(providers: Sequence[int], minute: datetime, *, now: datetime) -> set[int]:
    if not providers:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"providers": list(providers), "minute": minute, "now": now})
        return {provider_id for (provider_id,) in cursor.fetchall()}


def write(provider_id: int, minute: datetime, result: Result) -> None:
    ProviderMinute.objects.filter(provider=provider_id, minute=minute).update(
        check_ok=result.is_ok,
        check_status=result.status,
        check_ms=result.milliseconds,
        check_error=result.error,
    )


# What follows from both.


def verdicts(minute: datetime) -> list[Verdict]:
    five, thirty = (minute - window for window in PASSIVE_WINDOWS)
    with connection.cursor() as cursor:
        cursor.execute(WINDOWS, {"minute": minute, "five": five, "thirty": thirty})
        return [verdict(*row) for row in cursor.fetchall()]


def verdict(provider_id: int, check: int | None, error: str | None, *sums: int | None) -> Verdict:
    """Down if the check fails or half of the requests do; up if either says so and none no."""
    windows = [(sums[0] or 0, sums[1] or 0, "5"), (sums[2] or 0, sums[3] or 0, "30")]
    told = [window for window in windows if window[0] >= LEAST_REQUESTS]
    for requests, failed, minutes in told:
        if Decimal(failed) / requests >= FAILING_PART:
            reason = f"{failed} of {requests} requests failed in {minutes} minutes."
            return Verdict(provider_id, False, reason)
    if check == 0:
        return Verdict(provider_id, False, f"Its check failed. {error or ''}".strip())
    if check == 1:
        return Verdict(provider_id, True, "Its check succeeds, and requests to it do.")
    return Verdict(provider_id, True if told else None, "Requests to it succeed.")


def judge(found: Verdict, minute: datetime) -> None:
    """Write the minute's verdict down, and change the state if the last ones agree."""
    if found.is_ok is None:
        return
    ProviderMinute.objects.update_or_create(
        provider_id=found.provider_id, minute=minute, defaults={"is_ok": found.is_ok}
    )
    last = ProviderMinute.objects.filter(
        provider=found.provider_id,
        minute__gt=minute - LOOKED_BACK,
        minute__lte=minute,
        is_ok__isnull=False,
    ).order_by("-minute")[:IN_A_ROW]
    agree = [row.is_ok for row in last]
    if agree == [found.is_ok] * IN_A_ROW:
        change(found, minute)


@transaction.atomic
def change(found: Verdict, minute: datetime) -> None:
    """To the state of the verdict, unless it is that already; told once."""
    state, _ = ProviderState.objects.get_or_create(
        provider_id=found.provider_id, defaults={"is_up": True, "since": minute}
    )
    mine = ProviderState.objects.filter(pk=state.pk, is_up=not found.is_ok)
    if mine.update(is_up=found.is_ok, since=minute) != 1:
        return
    row = ProviderChange.objects.create(
        provider_id=found.provider_id,
        is_up=bool(found.is_ok),
        changed_at=minute,
        reason=found.reason[:300],
    )
    for watch in watching(row):
        notices.tell(notice(row, watch), now=minute)


def watching(row: ProviderChange) -> Iterable[OutageWatch]:
    watches = OutageWatch.objects.select_related("account")
    return (w for w in watches if w.provider_id in (None, row.provider_id) and w.recipients)


def notice(row: ProviderChange, watch: OutageWatch) -> notices.Notice:
    what = "answers again" if row.is_up else "does not answer"
    at = f"{row.changed_at.astimezone(watch.account.zone):%Y-%m-%d %H:%M}"
    link = f"{settings.PUBLIC_URL}/admin/insight/availability/"
    sentence = f"{row.provider} {what} since about {at} ({watch.account.time_zone})."
    return notices.Notice(
        account_id=watch.account_id,
        workspace_id=None,
        kind="outage",
        key=f"outage:{row.pk}:{watch.pk}",
        subject=f"{row.provider} {what}",
        text=f"{sentence}\n\n{row.reason}\n\n{link}\n",
        html=notices.as_html([sentence, row.reason], link=link, label="Open availability"),
        recipients=tuple(watch.recipients),
    )


# What a reader sees of requests.

PASSIVE = f"""
SELECT l.provider_id, l.model_id, {
    ", ".join(
        f"count(*) FILTER (WHERE {within}), count(*) FILTER (WHERE {within} AND {FAILED}),"
        f" count(*) FILTER (WHERE {within} AND {LIMITED})"
        for within in (
            "l.occurred_at > %(now)s - interval '5 minutes'",
            "l.occurred_at > %(now)s - interval '30 minutes'",
            "true",
        )
    )
}
FROM usage_requestlog l
WHERE l.workspace_id = ANY(%(workspaces)s) AND l.provider_id IS NOT NULL
    AND l.occurred_at > %(now)s - interval '1 day' AND l.occurred_at <= %(now)s
GROUP BY GROUPING SETS ((l.provider_id), (l.provider_id, l.model_id))
"""
WINDOW_NAMES = ("5m", "30m", "1d")


@dataclass(frozen=True, slots=True)
class Passive:
    """Of requests: `availability` is the part that did not fail, 429 apart; null without any."""

    requests: int
    failed: int
    limited: int

    @property
    def availability(self) -> Decimal | None:
        counted = self.requests - self.limited
        return 1 - Decimal(self.failed) / counted if counted else None

    def as_dict(self) -> dict[str, Any]:
        found = self.availability
        return {
            "requests": self.requests,
            "failed": self.failed,
            "rate_limited": self.limited,
            "availability": None if found is None else f"{found:.6f}",
        }


def passive(
    workspaces: Sequence[int], *, now: datetime
) -> dict[tuple[int, int | None], dict[str, Passive]]:
    """(provider, model, or None for all of the provider's) -> window -> its requests."""
    with connection.cursor() as cursor:
        cursor.execute(PASSIVE, {"workspaces": list(workspaces), "now": now})
        return {
            (row[0], row[1]): {
                name: Passive(*row[2 + 3 * i : 5 + 3 * i]) for i, name in enumerate(WINDOW_NAMES)
            }
            for row in cursor.fetchall()
        }
