"""Move history to another project or member: in the log, in every roll-up, and above them.

A local day of a workspace at a time, each in one transaction, so that reports and budgets agree at
every moment and a crash leaves whole days. What is moved already is not found again: it may run
twice. Totals of days whose requests are gone move too, because the roll-up over all dimensions
still says whose they were.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F

from accounts.models import Account, Reattribution
from accounts.reattribution import History
from usage.pricing.day_bill import Moved, Owner
from usage.reports.rows import UNFOLDED
from usage.rollups.fold import ROLLUP_LOCK
from usage.rollups.tables import LOCAL_DAY, MEASURES, ROLLUPS, ZONE_JOIN, Rollup
from usage.rollups.whole import IN_DAY, place

# By then no process remembers the names as they were (`accounts/versions.py`).
FORGOTTEN_AFTER = timedelta(seconds=3)
UNITS_PER_DOLLAR = 10**10

# Called with what moved, in the same transaction: the same money, taken from one and given to
# another owner.
on_reattributed: list[Callable[..., None]] = []


class Move(NamedTuple):
    """Which column changes, from what to what, and of which key's rows (of a project: of all)."""

    column: str
    old: int | None
    new: int | None
    api_key_id: int | None

    def parameters(self) -> dict[str, Any]:
        return {"old": self.old, "new": self.new, "api_key": self.api_key_id}

    def matches(self, table: str) -> str:
        """SQL: the row is one to be moved."""
        of_key = f"{table}.api_key_id = %(api_key)s AND " if self.api_key_id else ""
        return f"{of_key}{table}.{self.column} IS NOT DISTINCT FROM %(old)s"


class Sum(NamedTuple):
    """What rows of one owner come to: requests, and money in dollars."""

    owner: Owner
    requests: int
    cost: Any
    ceiling: Any


def work(*, now: datetime) -> None:
    """Do what is asked for and can be done by now, the oldest first; for the tick."""
    due = Reattribution.objects.waiting().filter(requested_at__lte=now - FORGOTTEN_AFTER)
    for asked in due.select_related("workspace__account").order_by("pk"):
        reattribute(asked, now=now)


def reattribute(asked: Reattribution, *, now: datetime) -> None:
    move, row = move_of(asked), Reattribution.objects.filter(pk=asked.pk)
    for day in days_of(asked.workspace_id, move):
        with transaction.atomic():
            if is_closed(asked.workspace.account_id, day):
                row.update(days_closed=F("days_closed") + 1)
            else:
                moved = move_day(asked, day, move)
                row.update(requests=F("requests") + moved)
    row.update(finished_at=now)


def move_of(asked: Reattribution) -> Move:
    if asked.from_project_id:
        return Move("project_id", asked.from_project_id, asked.to_project_id, None)
    return Move("member_id", asked.from_member_id, asked.to_member_id, asked.api_key_id)


def days_of(workspace_id: int, move: Move) -> list[date]:
    """The local days with something to move, in the roll-ups or not folded yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT day FROM usage_day t "
            f"WHERE t.workspace_id = %(workspace)s AND {move.matches('t')} "
            f"UNION SELECT {LOCAL_DAY} FROM {UNFOLDED} l {ZONE_JOIN} "
            f"WHERE l.workspace_id = %(workspace)s AND {move.matches('l')} ORDER BY day",
            {**move.parameters(), "workspace": workspace_id, "workspaces": [workspace_id]},
        )
        return [day for (day,) in cursor.fetchall()]


def how_much(asked: Reattribution) -> History:
    """What there is to move now, as the reports would say it."""
    move = move_of(asked)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT coalesce(sum(requests), 0), sum(cost), min(day) FROM (
                SELECT t.requests, t.cost, t.day FROM usage_day t
                WHERE t.workspace_id = %(workspace)s AND {move.matches("t")}
                UNION ALL
                SELECT 1, coalesce(l.cost, 0), {LOCAL_DAY} FROM {UNFOLDED} l {ZONE_JOIN}
                WHERE l.workspace_id = %(workspace)s AND {move.matches("l")}
            ) found""",
            {
                **move.parameters(),
                "workspace": asked.workspace_id,
                "workspaces": [asked.workspace_id],
            },
        )
        requests, cost, first_day = cursor.fetchone()
    return History(int(requests), cost, first_day)


def is_closed(account_id: int, day: date) -> bool:
    """Whether the day's books are closed; who closes them waits for this transaction."""
    sql = "SELECT * FROM accounts_account WHERE id = %s FOR SHARE"
    until = Account.objects.raw(sql, [account_id])[0].books_closed_until
    return until is not None and day < until


def move_day(asked: Reattribution, day: date, move: Move) -> int:
    """Move one local day, in the caller's transaction; how many requests that were."""
    workspace_id = asked.workspace_id
    where = {**place(workspace_id, day), **move.parameters()}
    with connection.cursor() as cursor:
        # Rows before the lock, in the order in which re-pricing takes both, and again under it:
        # what was recorded in between may be folded already.
        batches = relabelled(cursor, move, where)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
        batches += relabelled(cursor, move, where)
        sums = still_unfolded(cursor, batches, workspace_id) + moved_sums(cursor, move, where)
        drop_zeros(cursor, move, where)
    moves = list(both_sides(sums, move, workspace_id, day))
    for hook in on_reattributed:
        hook(moves, account_id=asked.workspace.account_id)
    return sum(each.requests for each in sums)


def relabelled(cursor: Any, move: Move, where: dict[str, Any]) -> list[tuple[int, Sum]]:
    """Change the log's rows of the day; their sums by batch and owner as they were."""
    cursor.execute(
        f"""
        WITH changed AS (
            UPDATE usage_requestlog l SET {move.column} = %(new)s
            FROM accounts_workspace w JOIN accounts_account z ON z.id = w.account_id
            WHERE w.id = l.workspace_id AND {IN_DAY} AND {move.matches("l")}
            RETURNING l.batch_id, l.project_id, l.member_id, l.api_key_id, l.cost, l.ceiling_cost
        )
        SELECT batch_id, project_id, member_id, api_key_id, count(*),
               coalesce(sum(cost), 0), coalesce(sum(ceiling_cost), 0)
        FROM changed GROUP BY 1, 2, 3, 4""",
        where,
    )
    return [(row[0], Sum(before(Owner(*row[1:4]), move), *row[4:])) for row in cursor.fetchall()]


def before(owner: Owner, move: Move) -> Owner:
    return owner._replace(**{move.column: move.old})


def still_unfolded(cursor: Any, batches: Iterable[tuple[int, Sum]], workspace_id: int) -> list[Sum]:
    """Those of batches that no roll-up has; folding waits for the lock."""
    by_batch = defaultdict(list)
    for batch, each in batches:
        by_batch[batch].append(each)
    cursor.execute(
        "SELECT batch_id FROM usage_batch WHERE workspace_id = %s AND batch_id = ANY(%s)",
        [workspace_id, list(by_batch)],
    )
    return [each for (batch,) in cursor.fetchall() for each in by_batch[batch]]


def moved_sums(cursor: Any, move: Move, where: dict[str, Any]) -> list[Sum]:
    """Take the day's folded sums from the old and add them to the new, in every roll-up."""
    tables = [r for r in ROLLUPS if move.column in r.dimensions and r.grain == "day"]
    cursor.execute(
        f"""
        WITH moved AS MATERIALIZED (
            SELECT * FROM usage_day t
            WHERE workspace_id = %(workspace)s AND day = %(day)s AND {move.matches("t")}
        ), {", ".join(f"into_{table.table} AS ({insert(table, move)})" for table in tables)}
        SELECT project_id, member_id, api_key_id, sum(requests), sum(cost), sum(ceiling_cost)
        FROM moved GROUP BY 1, 2, 3""",
        where,
    )
    return [Sum(Owner(*row[:3]), int(row[3]), *row[4:]) for row in cursor.fetchall()]


def insert(rollup: Rollup, move: Move) -> str:
    """INSERT the moved sums once negative as they were and once as they will be."""
    key = ", ".join(rollup.key)
    taken = ", ".join(f"-sum({name}) AS {name}" for name in MEASURES)
    given = ", ".join(f"sum({name}) AS {name}" for name in MEASURES)
    new_key = ", ".join(
        f"%(new)s::integer AS {name}" if name == move.column else name for name in rollup.key
    )
    others = ", ".join(name for name in rollup.key if name != move.column)
    return f"""
        INSERT INTO {rollup.table} AS t ({key}, {", ".join(MEASURES)})
        SELECT * FROM (
            SELECT {key}, {taken} FROM moved GROUP BY {key}
            UNION ALL SELECT {new_key}, {given} FROM moved GROUP BY {others}
        ) s ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE SET
            {", ".join(f"{m} = t.{m} + EXCLUDED.{m}" for m in MEASURES)}"""


def drop_zeros(cursor: Any, move: Move, where: dict[str, Any]) -> None:
    for rollup in ROLLUPS:
        if move.column in rollup.dimensions:
            cursor.execute(
                f"DELETE FROM {rollup.table} t WHERE workspace_id = %(workspace)s "
                f"AND day = %(day)s AND {rollup.is_zero}",
                where,
            )


def both_sides(sums: Iterable[Sum], move: Move, workspace_id: int, day: date) -> Iterable[Moved]:
    for each in sums:
        for owner, sign in ((each.owner, -1), (each.owner._replace(**{move.column: move.new}), 1)):
            cost, ceiling = (
                sign * int(money * UNITS_PER_DOLLAR) for money in (each.cost, each.ceiling)
            )
            yield Moved(workspace_id, *owner, day, cost, ceiling)
