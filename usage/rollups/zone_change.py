"""An account with many requests moves to another time zone beside requests, by the worker.

The change itself is the save that it always is, in one transaction (`recut`): every report is exact
in the old days until its commit and in the new ones from then on. What dies begins again.
"""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from accounts import zones
from accounts.actors import acting, of_user
from accounts.models import Account, User
from usage.models import ZoneChange
from usage.reports.question import plural

# Fewer than that are cut while whoever saves the account waits.
AT_ONCE = 100_000

KEPT = """
SELECT coalesce(sum(r.requests), 0) FROM usage_day_model r
JOIN accounts_workspace w ON w.id = r.workspace_id
WHERE w.account_id = %s AND r.day >= %s::date - w.retention_days
"""


def requests_kept(account: Account, *, now: datetime) -> int:
    """About how many single requests of the account there are."""
    with connection.cursor() as cursor:
        cursor.execute(KEPT, [account.pk, now.astimezone(account.zone).date()])
        return int(cursor.fetchone()[0])


def ask_later(account: Account, time_zone: str, *, by: User) -> str:
    """Leave the change to the worker where it takes a while, and say so; else nothing is said."""
    now = timezone.now()
    requests = requests_kept(account, now=now)
    if requests <= AT_ONCE:
        return ""
    change = ZoneChange.objects.create(
        account=account, time_zone=time_zone, requests=requests, requested_by=by, requested_at=now
    )
    return on_its_way(change, now=now)


def work() -> None:
    """Make the change that has waited longest."""
    change = ZoneChange.objects.waiting().select_related("account", "requested_by").first()
    if change is None:
        return
    ZoneChange.objects.filter(pk=change.pk).update(started_at=timezone.now())
    try:
        with acting(of_user(change.requested_by)), transaction.atomic():
            make(change)
    except zones.CannotChangeZone as error:
        ZoneChange.objects.filter(pk=change.pk, finished_at=None).update(
            finished_at=timezone.now(), problem=" ".join(error.messages)
        )


def make(change: ZoneChange) -> None:
    # First, because nobody may move an account that is on its way.
    if not ZoneChange.objects.waiting().filter(pk=change.pk).update(finished_at=timezone.now()):
        return
    change.account.time_zone = change.time_zone
    change.account.save(update_fields=["time_zone"])


def check_not_on_its_way(account: Account) -> None:
    if change := ZoneChange.objects.waiting().filter(account=account).first():
        raise zones.CannotChangeZone(
            f"The account is on its way to {change.time_zone} already. Wait until it is there."
        )


def how_far(account: Account) -> str:
    """What became of the last change that the worker had to make, while that is news."""
    now = timezone.now()
    change = ZoneChange.objects.filter(account=account).order_by("pk").last()
    if change is None:
        return ""
    if change.finished_at is None:
        return on_its_way(change, now=now)
    is_news = now - change.finished_at < timedelta(days=1)
    failed = f"The account was not moved to {change.time_zone}: {change.problem}"
    return failed if change.problem and is_news else ""


def on_its_way(change: ZoneChange, *, now: datetime) -> str:
    state = "Being cut" if change.started_at else "To be cut"
    return (
        f"{state} into the days of {change.time_zone}: {plural(change.requests, 'request')}. "
        f"Figures follow in about {in_minutes(change.left(now=now))}; until then days and budget "
        f"periods are those of {change.account.time_zone}, and every report is exact."
    )


def in_minutes(left: timedelta) -> str:
    minutes = int(left.total_seconds() // 60) + 1
    return "a minute" if minutes == 1 else f"{minutes} minutes"
