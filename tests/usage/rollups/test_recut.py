"""An account that moves to another time zone: its days are cut anew, and every sum stays exact."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Account, Workspace
from accounts.zones import CannotChangeZone
from tests.books import assert_books_balance
from tests.factories import NOW, fetch, make_account, native, post, reach_of, rollup_rows
from tests.usage import traffic
from usage.models import Repricing
from usage.pricing import reprice
from usage.reports.question import Question
from usage.reports.run import ask
from usage.rollups.check import check_workspace
from usage.rollups.fold import fold, fold_all
from usage.rollups.tables import HISTOGRAMS, ROLLUPS

pytestmark = pytest.mark.django_db

BERLIN, KOLKATA, NEW_YORK = "Europe/Berlin", "Asia/Kolkata", "America/New_York"
# Both had their clocks changed: on 25 October in Berlin, on 1 November in New York.
DAYS = [date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 31), date(2026, 11, 1)]
START, END = date(2026, 10, 22), date(2026, 11, 4)


def account_with_traffic(zone: str, count: int = 200) -> Account:
    account = make_account(time_zone=zone)
    rows = traffic.rows(count, days=DAYS, zone=zone)
    # Also around the midnights of the zones that it moves to.
    rows += traffic.rows(count // 4, days=DAYS, zone=NEW_YORK, seed=2)
    traffic.record(account, rows)
    return account


def move(account: Account, zone: str) -> None:
    account.time_zone = zone
    account.save()


def report(account: Account, granularity: str = "day") -> dict[object, tuple[object, ...]]:
    """Bucket -> the figures of METRICS, of the service."""
    workspaces = Workspace.objects.filter(account=account).select_related("account")
    question = Question(
        reach=reach_of(*workspaces), start=START, end=END,
        granularity=granularity, metrics=traffic.METRICS,
    )  # fmt: skip
    rows = ask(question, now=NOW).rows
    return {row[granularity]: tuple(row[name] for name in traffic.METRICS) for row in rows}


def expected(zone: str, granularity: str = "day") -> dict[object, tuple[object, ...]]:
    counted = traffic.grouped(traffic.logged(), (), granularity, zone)
    return {bucket: figures for (bucket,), figures in counted.items()}


def product_check(now: datetime = NOW) -> list[object]:
    workspaces = Workspace.objects.select_related("account")
    return [d for workspace in workspaces for d in check_workspace(workspace, now=now)[1]]


@pytest.mark.parametrize("folded", ["all", "half", "none"])
@pytest.mark.parametrize("granularity", ["day", "hour"])
def test_reports_are_exact_at_once_and_after_every_step(folded, granularity):
    account = account_with_traffic(BERLIN)
    if folded != "none":
        fold(rows_at_once=1000 if folded == "all" else 100)
    for zone in (KOLKATA, NEW_YORK, BERLIN):
        move(account, zone)
        assert report(account, granularity) == expected(zone, granularity)
        assert_books_balance()
        fold(rows_at_once=100)
        assert report(account, granularity) == expected(zone, granularity)
    fold_all()
    assert_books_balance()
    assert report(account, granularity) == expected(BERLIN, granularity)


def test_after_folding_the_rows_are_those_of_an_account_that_was_always_there():
    account = account_with_traffic(BERLIN)
    fold_all()
    move(account, KOLKATA)
    fold_all()
    moved = all_rows()
    fetch("INSERT INTO usage_batch SELECT batch_id, min(occurred_at), max(occurred_at), "
          "workspace_id, count(*) FROM usage_requestlog GROUP BY 1, 4 RETURNING 1")  # fmt: skip
    for table in moved:
        fetch(f"DELETE FROM {table} RETURNING 1")

    fold_all()

    assert all_rows() == moved


def all_rows() -> dict[str, object]:
    key = {h.table: fetch(f"SELECT * FROM {h.table} ORDER BY {', '.join(h.key)}")
           for h in HISTOGRAMS}  # fmt: skip
    return rollup_rows() | key


def test_other_accounts_are_left_alone():
    account_with_traffic(BERLIN)
    other = make_account("globex", time_zone=BERLIN)
    post(other, native(workspace="lab", occurred_at="2026-10-31T22:30:00Z"))
    fold_all()

    move(other, NEW_YORK)

    assert {
        row["requests"] for row in fetch("SELECT sum(requests) AS requests FROM usage_day")
    } == {250}
    assert_books_balance()


def gone_before(moment: datetime) -> None:
    """As retention leaves it: no single request from before the moment."""
    for table in ("usage_requestlog", "usage_requestkey"):
        fetch(f"DELETE FROM {table} WHERE occurred_at < %s RETURNING 1", [moment])


@pytest.mark.parametrize("hour", [0, 15])
@pytest.mark.parametrize("zones", [(KOLKATA, NEW_YORK), (NEW_YORK, KOLKATA), (KOLKATA, BERLIN)])
def test_days_that_are_gone_or_partly_gone_keep_every_request(zones, hour):
    account = account_with_traffic(BERLIN)
    fold_all()
    totals = total(account)
    gone_before(datetime(2026, 10, 25, hour, tzinfo=ZoneInfo(BERLIN)))
    later = datetime(2026, 11, 30, tzinfo=ZoneInfo(BERLIN))

    for zone in zones:
        move(account, zone)
        assert total(account) == totals
        fold_all()
        assert total(account) == totals
        assert product_check(later) == []
    kept = {day: figures for day, figures in report(account).items() if day > date(2026, 10, 28)}
    assert kept == {d: f for d, f in expected(zones[-1]).items() if d > date(2026, 10, 28)}


def total(account: Account) -> list[tuple[object, ...]]:
    """Of every table, whichever answers."""
    return [
        tuple(fetch(f"SELECT sum(requests) AS n, sum(cost) AS c, sum(latency_ms) AS l FROM ("
                    f"SELECT requests, cost, latency_ms FROM {r.table} UNION ALL "
                    f"SELECT 1, coalesce(cost, 0), coalesce(latency_ms, 0) FROM usage_requestlog "
                    f"JOIN usage_batch USING (workspace_id, batch_id)) t")[0].values())
        for r in ROLLUPS
    ]  # fmt: skip


def test_a_save_without_another_zone_changes_nothing():
    account = account_with_traffic(BERLIN)
    fold_all()
    before = all_rows()

    account.name = "Acme Worldwide"
    account.save()
    Account(pk=account.pk, time_zone=KOLKATA).save(update_fields=["archived_at"])

    assert all_rows() == before
    assert fetch("SELECT 1 FROM usage_batch") == []


def test_an_account_without_requests_moves():
    account = make_account(time_zone=BERLIN)
    Workspace.objects.create(account=account, slug="empty", name="Empty")

    move(account, KOLKATA)

    assert Account.objects.get().time_zone == KOLKATA


def test_a_save_that_fails_leaves_zone_and_days(monkeypatch):
    account = account_with_traffic(BERLIN)
    fold_all()
    before = all_rows()
    account.slug = None

    with pytest.raises(Exception, match="slug"):
        move(account, KOLKATA)

    # The failed statement rolled its savepoint back, and with it what was taken out before.
    assert all_rows() == before
    assert Account.objects.get().time_zone == BERLIN


def test_it_is_refused_while_a_re_pricing_is_at_work():
    account = account_with_traffic(BERLIN)
    reprice.request(account, start_on=START, end_on=END, only_unpriced=False, by=None, now=NOW)

    with pytest.raises(CannotChangeZone, match="re-pricing of this account is at work"):
        move(account, KOLKATA)
    Repricing.objects.update(state="done")
    move(account, KOLKATA)


@pytest.mark.parametrize(
    ("closed", "zone", "refused"),
    [
        (date(2026, 11, 1), KOLKATA, True),
        (date(2026, 10, 1), KOLKATA, False),
        # Its first request is at 00:30 of 23 October, which in New York is the day before.
        (date(2026, 10, 23), NEW_YORK, True),
        (date(2026, 10, 23), KOLKATA, False),
    ],
)
def test_it_is_refused_where_closed_days_would_change(closed, zone, refused):
    account = make_account(time_zone=BERLIN)
    post(account, native(workspace="lab", occurred_at="2026-10-22T22:30:00Z"))
    account.books_closed_until = closed

    if refused:
        with pytest.raises(CannotChangeZone, match=f"closed before {closed}"):
            move(account, zone)
        assert Account.objects.get().time_zone == BERLIN
    else:
        move(account, zone)


def test_of_a_day_that_is_partly_gone_just_the_rest_is_taken_out():
    account = account_with_traffic(BERLIN)
    fold_all()
    gone_before(datetime(2026, 10, 25, 13, tzinfo=ZoneInfo(BERLIN)))
    before = fetch("SELECT sum(cost) AS cost FROM usage_day")[0]["cost"]

    move(account, KOLKATA)

    left = fetch("SELECT sum(cost) AS cost, min(requests) AS least FROM usage_day")[0]
    unfolded = fetch("SELECT sum(cost) AS cost FROM usage_requestlog")[0]["cost"]
    assert (left["cost"] + unfolded, left["least"] > 0) == (before, True)
