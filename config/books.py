"""The check of the books: the log = every roll-up = every budget, for every account.

A check is a row (`BooksCheck`) from the moment that somebody asks for it; the worker runs it. The
command `check_books` runs one without a row.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django_q.tasks import async_task

from accounts.models import Account, User, Workspace
from budgets.check import check_counters
from config.attention import plural
from config.models import BooksCheck
from usage.formatting import count
from usage.reports.run import plain
from usage.rollups.check import Compared, Difference, check_workspace
from usage.rollups.fold import WORK_MEM

KEPT_RUNS = 100
SHOWN_DIFFERENCES = 500  # of an account
CHECK_LOCK = 7_150_003  # with the check's id
LONGEST_SECONDS = 4 * 3600
GIVEN_UP_AFTER = timedelta(hours=6)

State = BooksCheck.State


@dataclass(slots=True)
class Findings:
    """What was compared, and what differed, over all accounts that were checked."""

    accounts: int = 0
    workspaces: int = 0
    requests: int = 0
    unfolded: int = 0
    days: int = 0
    days_gone: int = 0
    counters: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    difference_count: int = 0

    def compared(self) -> dict[str, int]:
        names = ("workspaces", "requests", "unfolded", "days", "days_gone", "counters")
        return {name: getattr(self, name) for name in names}

    def add_workspace(self, compared: Compared) -> None:
        self.workspaces += 1
        self.requests += compared.requests + compared.unfolded
        self.unfolded += compared.unfolded
        self.days += compared.days
        self.days_gone += compared.days_gone

    def add_differences(
        self, account: Account, names: dict[int, str], found: Sequence[Difference]
    ) -> None:
        self.difference_count += len(found)
        self.differences += [
            as_json(account, names, difference) for difference in found[:SHOWN_DIFFERENCES]
        ]


def check(accounts: Iterable[Account], *, now: datetime) -> Findings:
    """Check the books of those accounts, all of them as they are at one moment."""
    findings = Findings()
    with one_snapshot():
        for account in accounts:
            check_account(account, findings, now=now)
    return findings


def check_account(account: Account, findings: Findings, *, now: datetime) -> None:
    # Read in the snapshot: its zone and the days of its roll-ups belong together.
    account = Account.objects.get(pk=account.pk)
    workspaces = Workspace.objects.filter(account=account).select_related("account")
    names, found = {}, []
    for workspace in workspaces.order_by("slug"):
        compared, differences = check_workspace(workspace, now=now)
        names[workspace.pk] = workspace.slug
        findings.add_workspace(compared)
        found += differences
    counters, differences = check_counters(account)
    findings.accounts += 1
    findings.counters += counters
    findings.add_differences(account, names, found + differences)


@contextlib.contextmanager
def one_snapshot() -> Iterator[None]:
    """Everything in the block sees the same moment, whoever commits meanwhile.

    In a transaction that is under way already it sees what that one sees.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if outermost:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # Before anything is seen: retention drops no day that the snapshot still counts on.
            cursor.execute("LOCK TABLE ONLY usage_requestlog IN ACCESS SHARE MODE")
        cursor.execute("SELECT set_config('work_mem', %s, true)", [WORK_MEM])
        yield


def as_json(account: Account, names: dict[int, str], difference: Difference) -> dict[str, Any]:
    """As a row keeps it: exact figures as text."""
    return {
        "account_id": account.pk,
        "account": account.slug,
        "workspace": names.get(difference.workspace_id or 0, ""),
        "place": difference.place,
        "subject": difference.subject,
        "subject_id": difference.subject_id,
        "day": difference.day.isoformat() if difference.day else None,
        "measure": difference.measure,
        "expected": exact(difference.expected),
        "found": exact(difference.found),
        "rows": difference.rows,
    }


def exact(value: Decimal) -> str:
    return str(plain(Decimal(value)))


def sentence(line: dict[str, Any]) -> str:
    """A difference as the command prints it."""
    where = "/".join(part for part in (line["account"], line["workspace"]) if part)
    what = f"{line['place']} {line['subject']}".strip()
    rows = f", {line['rows']} rows differ" if line["rows"] > 1 else ""
    return (
        f"{where} {line['day']} {what} {line['measure']}: "
        f"expected {line['expected']}, found {line['found']}{rows}"
    )


def summary(accounts: int, compared: dict[str, int]) -> str:
    gone = compared["days_gone"]
    return (
        f"{plural(accounts, 'account')}, {plural(compared['workspaces'], 'workspace')}: "
        f"{plural(compared['requests'], 'request')} ({count(compared['unfolded'])} not folded yet) "
        f"on {plural(compared['days'], 'day')}"
        + (f", of {count(gone)} only the roll-ups with each other" if gone else "")
        + f", and {plural(compared['counters'], 'counter')}."
    )


def ask(*, by: User | None, account_ids: Sequence[int] | None, now: datetime) -> BooksCheck | None:
    """Put a check of those accounts (None: all) into the queue, for the worker.

    None where one of the same accounts is waiting or running already.
    """
    asked = None if account_ids is None else sorted(account_ids)
    if asked == []:
        return None
    same = Q(account_ids=None) if asked is None else Q(account_ids=asked)
    with transaction.atomic():
        queued = BooksCheck.objects.at_work().filter(same)
        if queued.filter(requested_at__gt=now - GIVEN_UP_AFTER).exists():
            return None
        queued.update(state=State.FAILED, error="It never came to an end.")
        check = BooksCheck.objects.create(requested_by=by, requested_at=now, account_ids=asked)
        async_task("config.tasks.check_books", check.pk, timeout=LONGEST_SECONDS)
    return check


def run(check_id: int, *, now: datetime) -> None:
    """Do a check that was asked for. Of two workers that try, the second leaves it to the first."""
    with held(check_id) as is_ours:
        mine = BooksCheck.objects.at_work().filter(pk=check_id)
        if not is_ours or mine.update(state=State.RUNNING, started_at=now) != 1:
            return
        try:
            findings = check(accounts_of(mine.get()), now=now)
        except Exception as error:
            mine.update(
                state=State.FAILED,
                error=f"{type(error).__name__}: {error}".strip(),
                finished_at=timezone.now(),
            )
            raise
        mine.update(finished_at=timezone.now(), **result_of(findings))
        forget_old_runs()


@contextlib.contextmanager
def held(check_id: int) -> Iterator[bool]:
    """Whether nobody else does that check; nobody else will until the block, or its session, ends.

    A check whose worker was killed is taken up again by whoever gets its task next.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [CHECK_LOCK, check_id])
        (is_ours,) = cursor.fetchone()
    try:
        yield is_ours
    finally:
        if is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [CHECK_LOCK, check_id])


def accounts_of(asked: BooksCheck) -> list[Account]:
    accounts = Account.objects.order_by("slug")
    if asked.account_ids is not None:
        accounts = accounts.filter(pk__in=asked.account_ids)
    return list(accounts)


def result_of(findings: Findings) -> dict[str, Any]:
    return {
        "state": State.UNBALANCED if findings.difference_count else State.BALANCED,
        "accounts": findings.accounts,
        "compared": findings.compared(),
        "differences": findings.differences,
        "difference_count": findings.difference_count,
    }


def forget_old_runs() -> None:
    kept = BooksCheck.objects.order_by("-requested_at", "-pk").values("pk")[:KEPT_RUNS]
    BooksCheck.objects.exclude(pk__in=list(kept.values_list("pk", flat=True))).delete()
