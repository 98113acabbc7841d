"""Another time zone for an account: its days are cut anew, as far back as the log reaches.

In the transaction that saves the zone, what the roll-ups have of the log's rows is taken out of
them, and the rows' batches are put back into the ledger. So every report is exact from that commit
on, answered from the log itself, and folding brings the sums back step by step in the new days.
Whoever records, folds or asks meanwhile needs to know nothing of it, and a crash leaves either the
old zone with its days or the new one.

Days whose requests are gone stay as they were cut. Of days that are partly gone only the rows that
are left move. No request is lost and none counted twice: where the two cuts meet, a day may be
longer or shorter than others by the hours between the zones.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

from accounts import zones
from accounts.models import Account
from usage.models import Repricing
from usage.rollups.fold import ROLLUP_LOCK, ROWS_AT_ONCE, into_every_rollup
from usage.rollups.tables import HISTOGRAMS, LOCAL_DAY, ROLLUPS, ZONE_JOIN, Rollup
from usage.rollups.whole import DAY_TABLES, FOLDED


class Hook(Protocol):
    """Called once an account has another zone, in the transaction that gives it that.

    It holds the account's row and the roll-ups by then; what the hook locks comes after those.
    """

    def __call__(self, account: Account, recut: "Recut", *, now: datetime) -> None: ...


on_recut: list[Hook] = []


class Recut(NamedTuple):
    """Which zone it was until now, and the first day, by either, on which anything may differ."""

    old_zone: ZoneInfo
    first_day: date | None


class LoggedDay(NamedTuple):
    """A day of which the log has folded rows, and whether the sums of all of it may be dropped."""

    workspace_id: int
    day: date
    is_whole: bool


def before_account_is_saved(
    sender: Any, instance: Account, raw: bool = False, update_fields: Any = None, **kwargs: Any
) -> None:
    """Where the zone is another one: take the account out of the days of the old one."""
    if raw or instance._state.adding or (update_fields and "time_zone" not in update_fields):
        return
    # Not FOR UPDATE, for which whoever opens a budget under the account would have to wait.
    stored = Account.objects.select_for_update(no_key=True).get(pk=instance.pk)
    if stored.time_zone == instance.time_zone:
        return
    zones.check_change(instance)
    instance.__dict__["recut"] = Recut(stored.zone, unfold(stored))


def after_account_is_saved(sender: Any, instance: Account, **kwargs: Any) -> None:
    recut = instance.__dict__.pop("recut", None)
    if recut is not None:
        for hook in on_recut:
            hook(instance, recut, now=timezone.now())


def unfold(account: Account) -> date | None:
    """Take the log's rows out of the account's roll-ups and put their batches into the ledger.

    The first day on which there are any; none: None. In the caller's transaction.
    """
    workspace_ids = list(account.workspaces.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
        logged = logged_days(cursor, workspace_ids)
        zone = account.time_zone
        drop(cursor, [unit for unit in logged if unit.is_whole], zone=zone)
        subtract(cursor, [unit for unit in logged if not unit.is_whole], zone=zone)
        cursor.execute(INTO_LEDGER, {"workspaces": workspace_ids})
        cursor.execute(FIRST_DAY, {"workspaces": workspace_ids})
        return cursor.fetchone()[0]


COUNTED = " UNION ALL ".join(
    f"SELECT workspace_id, day, sum(requests) AS requests FROM {table} "
    "WHERE workspace_id = ANY(%(workspaces)s) AND day >= (SELECT min(day) - 2 FROM logged) "
    "GROUP BY workspace_id, day"
    for table in DAY_TABLES
)

# Hours near a day that is gone may be of that day, by the zone that was the account's then.
LOGGED_DAYS = f"""
WITH logged AS (
    SELECT l.workspace_id, {LOCAL_DAY} AS day, count(*) AS requests
    FROM usage_requestlog l {ZONE_JOIN}
    WHERE l.workspace_id = ANY(%(workspaces)s) AND {FOLDED}
    GROUP BY l.workspace_id, {LOCAL_DAY}
), gone AS (
    SELECT c.workspace_id, c.day FROM (
        SELECT workspace_id, day, max(requests) AS requests FROM ({COUNTED}) t
        GROUP BY workspace_id, day
    ) c LEFT JOIN logged g ON g.workspace_id = c.workspace_id AND g.day = c.day
    WHERE c.requests > coalesce(g.requests, 0)
)
SELECT g.workspace_id, g.day, NOT EXISTS (
    SELECT FROM gone WHERE gone.workspace_id = g.workspace_id
        AND gone.day BETWEEN g.day - 2 AND g.day + 2)
FROM logged g ORDER BY g.workspace_id, g.day
"""


def logged_days(cursor: Any, workspace_ids: Sequence[int]) -> list[LoggedDay]:
    cursor.execute(LOGGED_DAYS, {"workspaces": workspace_ids})
    return [LoggedDay(*row) for row in cursor.fetchall()]


def parameters_of(units: Sequence[LoggedDay]) -> dict[str, Any]:
    return {
        "workspaces": sorted({unit.workspace_id for unit in units}),
        "workspace_ids": [unit.workspace_id for unit in units],
        "days": [unit.day for unit in units],
    }


def day_of(rollup: Rollup) -> str:
    """The zone as a parameter: joined to, it was looked up for each hour as often as days."""
    return "t.day" if rollup.grain == "day" else "(t.hour AT TIME ZONE %(zone)s)::date"


UNITS = "unnest(%(workspace_ids)s::int[], %(days)s::date[]) AS u(workspace_id, day)"


def drop(cursor: Any, units: Sequence[LoggedDay], *, zone: str, only_zeros: bool = False) -> None:
    """Delete the sums of those days of the zone."""
    if not units:
        return
    for rollup in (*ROLLUPS, *HISTOGRAMS):
        only = f"AND {rollup.is_zero}" if only_zeros else ""
        cursor.execute(
            f"DELETE FROM {rollup.table} t USING {UNITS} "
            "WHERE t.workspace_id = ANY(%(workspaces)s) AND t.workspace_id = u.workspace_id "
            f"AND {day_of(rollup)} = u.day {only}",
            parameters_of(units) | {"zone": zone},
        )


MINUS = into_every_rollup(
    f"l.workspace_id = ANY(%(workspaces)s) AND {FOLDED} AND (l.workspace_id, {LOCAL_DAY}) IN "
    f"(SELECT u.workspace_id, u.day FROM {UNITS})",
    times=-1,
)


def subtract(cursor: Any, units: Sequence[LoggedDay], *, zone: str) -> None:
    """Take just the rows that the log has out of the sums; the rest is of rows that are gone."""
    if not units:
        return
    cursor.execute(MINUS, parameters_of(units))
    drop(cursor, units, zone=zone, only_zeros=True)


INTO_LEDGER = """
INSERT INTO usage_batch (workspace_id, batch_id, least_at, greatest_at, row_count)
SELECT workspace_id, batch_id, min(occurred_at), max(occurred_at), count(*)
FROM usage_requestlog WHERE workspace_id = ANY(%(workspaces)s)
GROUP BY workspace_id, batch_id
ON CONFLICT DO NOTHING
"""

# By whichever zone: one day before the day of UTC.
FIRST_DAY = """
SELECT (min(least_at) AT TIME ZONE 'UTC')::date - 1
FROM usage_batch WHERE workspace_id = ANY(%(workspaces)s)
"""


def check_nothing_is_re_priced(account: Account) -> None:
    """A re-pricing goes on by days of the zone that it was asked for in."""
    if Repricing.objects.filter(account=account, state__in=Repricing.AT_WORK).exists():
        raise zones.CannotChangeZone(
            "A re-pricing of this account is at work, day by day of the present time zone. "
            "Wait until it is done, or cancel it."
        )


# By either zone.
CLOSED = """
SELECT EXISTS (
    SELECT FROM usage_requestlog l JOIN accounts_workspace w ON w.id = l.workspace_id
    JOIN accounts_account z ON z.id = w.account_id
    WHERE z.id = %(account)s AND l.occurred_at < greatest(
        %(until)s::date::timestamp AT TIME ZONE z.time_zone,
        %(until)s::date::timestamp AT TIME ZONE %(new_zone)s))
"""


def check_closed_days_stay(account: Account) -> None:
    """Costs of closed days are final, so that no request may move into one or out of one."""
    until = account.books_closed_until
    if until is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            CLOSED, {"account": account.pk, "until": until, "new_zone": account.time_zone}
        )
        if cursor.fetchone()[0]:
            raise zones.CannotChangeZone(
                f"The books are closed before {until}, and single requests of those days are "
                "still kept: the change would cut them into other days. Clear that date together "
                "with the change, or wait until those requests are past their retention."
            )


def requests_waiting(account: Account) -> int:
    """How many requests are still to be folded, where it is more than a step of folding."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(b.row_count), 0) FROM usage_batch b "
            "JOIN accounts_workspace w ON w.id = b.workspace_id WHERE w.account_id = %s",
            [account.pk],
        )
        rows = int(cursor.fetchone()[0])
    return rows if rows > ROWS_AT_ONCE else 0
