"""Requests past their retention: which they are, and taking them out of the log.

What expires is a local day of an account, in the workspaces whose retention it is past. It is
counted first, archived by whoever wants that, and removed only where the log still says exactly
what was counted: a request that arrived or was re-priced meanwhile is never lost. Roll-ups stay.

Whoever removes holds the accounts' rows, then the roll-ups, then the partitions: in that order.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import OperationalError, connection, transaction

from accounts.models import Account, Workspace
from usage import partitions
from usage.models import GoneDay
from usage.rollups.fold import ROLLUP_LOCK

# Whoever records waits so long at most while a partition is dropped; else it is tried again later.
# Less than the second after which PostgreSQL looks for circles: it is always we who give in.
LOCK_TIMEOUT = "800ms"


class CannotRemove(Exception):
    """Not now; the next run tries again."""


class Changed(CannotRemove):
    """The log says otherwise than when the day was counted."""

    def __init__(self, expired: "Expired") -> None:
        super().__init__(f"{expired}: requests arrived or changed since they were counted.")
        self.expired = expired


class NotFolded(CannotRemove):
    """Some of the requests are not in the roll-ups yet."""


class Busy(CannotRemove):
    """Somebody reads or writes the partitions and did not end in time."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The requests of those workspaces on a local day, `[start_at, end_at)`."""

    account: Account
    day: date
    workspace_ids: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.account.slug}, {self.day}"

    @property
    def start_at(self) -> datetime:
        return midnight(self.day, self.account)

    @property
    def end_at(self) -> datetime:
        return midnight(self.day + timedelta(1), self.account)

    def parameters(self) -> dict[str, Any]:
        return {
            "workspaces": list(self.workspace_ids),
            "start": self.start_at,
            "end": self.end_at,
        }


@dataclass(frozen=True, slots=True)
class Counted:
    """What the log has of them: how many, their sums, and a checksum over all that they say."""

    rows: int
    checksum: Decimal
    totals: dict[str, Any]


def midnight(day: date, account: Account) -> datetime:
    return datetime.combine(day, time.min, tzinfo=account.zone).astimezone(UTC)


def first_kept_day(workspace: Workspace, *, now: datetime) -> date:
    """A day is kept until all of it is older than the retention."""
    edge_at = now - timedelta(days=workspace.retention_days)
    return edge_at.astimezone(workspace.account.zone).date()


OLDEST = """
SELECT min(oldest.at) FROM unnest(%(workspaces)s::int[], %(until)s::timestamptz[])
    AS w(id, until_at)
CROSS JOIN LATERAL (
    SELECT min(l.occurred_at) AS at FROM usage_requestlog l
    WHERE l.workspace_id = w.id AND l.occurred_at < w.until_at AND l.occurred_at >= %(since)s
) oldest
"""
BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


def expired_days(
    account: Account, *, now: datetime, except_days: Iterable[date] = ()
) -> Iterator[Expired]:
    """What the log still has of the account and should not, the oldest day first."""
    kept = {w: first_kept_day(w, now=now) for w in workspaces_of(account)}
    left_alone = set(except_days)
    since = BEGINNING
    while (oldest_at := oldest(kept, since)) is not None:
        day = oldest_at.astimezone(account.zone).date()
        ids = tuple(w.pk for w, first_day in kept.items() if day < first_day)
        found = Expired(account, day, ids)
        since = found.end_at
        if day not in left_alone:
            yield found


def workspaces_of(account: Account) -> list[Workspace]:
    return list(Workspace.objects.filter(account=account).select_related("account").order_by("pk"))


def oldest(kept: dict[Workspace, date], since: datetime) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(
            OLDEST,
            {
                "workspaces": [workspace.pk for workspace in kept],
                "until": [midnight(day, w.account) for w, day in kept.items()],
                "since": since,
            },
        )
        return cursor.fetchone()[0]


IN_EXPIRED = """l.workspace_id = ANY(%(workspaces)s)
    AND l.occurred_at >= %(start)s AND l.occurred_at < %(end)s"""

TOTALS = {
    "input_tokens": "sum(l.input::bigint + l.cache_read + l.cache_write_5m + l.cache_write_1h)",
    "output_tokens": "sum(l.output)",
    "cost": "sum(l.cost)",
    "ceiling_cost": "sum(l.ceiling_cost)",
    "reported_cost": "sum(l.reported_cost)",
}

# The sum of the rows' hashes does not depend on their order, and differs when any column does.
COUNT = f"""
SELECT count(*), coalesce(sum(hash_record_extended(l, 0)::numeric), 0),
    {", ".join(f"coalesce({sql}, 0)" for sql in TOTALS.values())}
FROM usage_requestlog l WHERE {IN_EXPIRED}
"""

NOT_FOLDED = f"""
SELECT EXISTS (
    SELECT FROM usage_batch b WHERE b.workspace_id = ANY(%(workspaces)s)
        AND b.least_at < %(end)s AND b.greatest_at >= %(start)s
        AND EXISTS (SELECT FROM usage_requestlog l WHERE {IN_EXPIRED}
            AND l.workspace_id = b.workspace_id AND l.batch_id = b.batch_id))
"""


def count(expired: Expired, cursor: Any = None) -> Counted:
    """As that cursor's transaction sees it, else as it is now."""
    if cursor is None:
        with connection.cursor() as cursor:
            return count(expired, cursor)
    cursor.execute(COUNT, expired.parameters())
    rows, checksum, *sums = cursor.fetchone()
    return Counted(rows, checksum, dict(zip(TOTALS, sums, strict=True)))


def is_folded(expired: Expired) -> bool:
    """Whether the roll-ups have all of it, so that it may go."""
    with connection.cursor() as cursor:
        cursor.execute(NOT_FOLDED, expired.parameters())
        return not cursor.fetchone()[0]


@dataclass(frozen=True, slots=True)
class Removed:
    rows: int
    dropped: tuple[str, ...]


def remove(expired: Sequence[Expired], counted: Sequence[Counted] | None) -> Removed:
    """Take the requests out of the log, with their keys, in the caller's transaction.

    Without what was counted nothing is compared: that is deleting without an archive. A partition
    of which nothing else is left is dropped. Raises CannotRemove, and then nothing may be
    committed.
    """
    try:
        with transaction.atomic():
            hold(expired)
            for number, one in enumerate(expired):
                if not is_folded(one):
                    raise NotFolded(f"{one}: not all of it is in the roll-ups yet.")
                if counted is not None and count(one) != counted[number]:
                    raise Changed(one)
            return take_out(expired)
    except OperationalError as error:
        raise Busy(str(error).strip()) from error


def hold(expired: Sequence[Expired]) -> None:
    """Until the transaction ends nobody cuts days anew, folds, re-prices or writes into them."""
    ids = sorted({one.account.pk for one in expired})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, time_zone FROM accounts_account WHERE id = ANY(%s) ORDER BY id FOR SHARE",
            [ids],
        )
        zones = dict(cursor.fetchall())
        for one in expired:
            if zones[one.account.pk] != one.account.time_zone:
                raise Changed(one)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        for name in partitions_of(expired):
            cursor.execute(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")


def partitions_of(expired: Sequence[Expired]) -> list[str]:
    """Those that may have rows of it: its UTC days, or where they have none the one for strays."""
    days = {
        day
        for one in expired
        for day in partitions.days(
            one.start_at.date(), (one.end_at - timedelta(microseconds=1)).date()
        )
    }
    existing = partitions.existing_partitions()
    names = {partitions.name_of(day) for day in days}
    strays = {partitions.STRAYS} if names - existing else set()
    return sorted((names & existing) | strays)


UNITS = """unnest(%(workspaces)s::int[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    AS u(workspace_id, start_at, end_at)"""
# The outermost edges say it once more, for the planner to leave out other partitions.
IN_UNITS = """l.workspace_id = u.workspace_id
    AND l.occurred_at >= u.start_at AND l.occurred_at < u.end_at
    AND l.occurred_at >= %(least)s AND l.occurred_at < %(greatest)s"""

INTO_GONE = f"""
INSERT INTO {GoneDay._meta.db_table} AS t (workspace_id, day, requests)
SELECT u.workspace_id, u.day, count(*)
FROM unnest(%(workspaces)s::int[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
    %(days)s::date[]) AS u(workspace_id, start_at, end_at, day)
JOIN usage_requestlog l ON {IN_UNITS}
GROUP BY u.workspace_id, u.day
ON CONFLICT (workspace_id, day) DO UPDATE SET requests = t.requests + EXCLUDED.requests
"""

DELETE_KEYS = f"""
DELETE FROM usage_requestkey k USING usage_requestlog l, {UNITS}
WHERE {IN_UNITS} AND k.workspace_id = l.workspace_id AND k.request_id = l.request_id
"""

DELETE_ROWS = f"DELETE FROM usage_requestlog l USING {UNITS} WHERE {IN_UNITS}"


def take_out(expired: Sequence[Expired]) -> Removed:
    """Under the locks. Keys go with their rows: without its key a request would be taken again."""
    parameters = units_of(expired)
    with connection.cursor() as cursor:
        cursor.execute(INTO_GONE, parameters)
        cursor.execute(DELETE_KEYS, parameters)
        rows = cursor.rowcount
        dropped = [name for name in partitions_of(expired) if has_only(name, parameters)]
        for name in dropped:
            cursor.execute(f"DROP TABLE {name}")
        cursor.execute(DELETE_ROWS, parameters)
    return Removed(rows, tuple(dropped))


def units_of(expired: Sequence[Expired]) -> dict[str, Any]:
    units = [(one, workspace_id) for one in expired for workspace_id in one.workspace_ids]
    return {
        "workspaces": [workspace_id for _, workspace_id in units],
        "starts": [one.start_at for one, _ in units],
        "ends": [one.end_at for one, _ in units],
        "days": [one.day for one, _ in units],
        "least": min(one.start_at for one in expired),
        "greatest": max(one.end_at for one in expired),
    }


def has_only(name: str, parameters: dict[str, Any]) -> bool:
    """Whether the partition, a day's, has no row but those that go."""
    if name == partitions.STRAYS:
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT count(*) FROM {name}) = "
            f"(SELECT count(*) FROM {name} l JOIN {UNITS} ON {IN_UNITS})",
            parameters,
        )
        return cursor.fetchone()[0]


def drops_something(expired: Sequence[Expired]) -> bool:
    """Whether removing all of it at once would leave a partition with nothing."""
    parameters = units_of(expired)
    return any(has_only(name, parameters) for name in partitions_of(expired))


def drop_empty_partitions(*, now: datetime) -> list[str]:
    """Drop the days that no workspace keeps any more and that nothing is left of."""
    longest = max(Workspace.objects.values_list("retention_days", flat=True), default=90)
    # One day for zones that are behind UTC, one for those that are ahead.
    edge = now.astimezone(UTC).date() - timedelta(longest + 2)
    old = [name for name in partitions.day_partitions() if name < partitions.name_of(edge)]
    return [name for name in old if drop_if_empty(name)]


def drop_if_empty(name: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
            cursor.execute(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
            cursor.execute(f"SELECT EXISTS (SELECT FROM {name})")
            if cursor.fetchone()[0]:
                return False
            cursor.execute(f"DROP TABLE {name}")
            return True
    except OperationalError:
        return False
