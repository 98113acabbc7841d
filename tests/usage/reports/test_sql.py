"""Every report from every table: the same figures, and those that Python counts."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import chain, combinations

import pytest
from django.db import connection

from accounts.access import Reach
from accounts.models import Workspace
from tests.factories import NOW, make_account, native, post, reach_of
from tests.usage import traffic
from tests.usage.reports.questions import question
from usage.reports import catalogue
from usage.reports.question import Filter, Question
from usage.reports.rows import pick
from usage.reports.run import Report, answer, ask
from usage.reports.sql import compile_question
from usage.rollups.fold import fold, fold_all
from usage.rollups.tables import ROLLUPS, Rollup

DAYS = [date(2026, 11, 14), date(2026, 11, 15), date(2026, 11, 16)]  # a Saturday, and a new week
DIMENSIONS = {
    "workspace_id": ["workspace"],
    "project_id": ["project", "client"],
    "api_key_id": ["api_key"],
    "member_id": ["member"],
    "model_id": ["model"],
    "provider_id": ["provider"],
    "endpoint_id": ["endpoint"],
}


def ask_of(rollup: Rollup, asked: Question) -> Report:
    compiled = compile_question(asked, source=rollup)
    with connection.cursor() as cursor:
        cursor.execute(compiled.sql, compiled.parameters)
        return answer(asked, compiled, cursor.fetchall(), now=NOW)


def names_of(rollup: Rollup) -> list[str]:
    return [name for column in ("workspace_id", *rollup.dimensions) for name in DIMENSIONS[column]]


def sets_of(rollup: Rollup) -> list[tuple[str, ...]]:
    """Sets of up to two dimensions, and all of them."""
    names = names_of(rollup)
    small = chain.from_iterable(combinations(names, size) for size in range(min(3, len(names))))
    return [*small, tuple(names)]


def leave_unfolded(share: str) -> None:
    if share == "half":
        fold(rows_at_once=100)
    elif share == "none":
        fold_all()


@pytest.mark.parametrize("unfolded", ["all", "half", "none"])
@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.table)
def test_every_roll_up_answers_every_question_that_it_covers(account, rollup, unfolded):
    traffic.record(account, traffic.rows(240, days=DAYS))
    leave_unfolded(unfolded)
    requests = traffic.logged()
    grain = "hour" if rollup.grain == "hour" else "none"

    for names in sets_of(rollup):
        report = ask_of(rollup, question(account, group_by=names, granularity=grain))

        assert report.source == rollup.table
        expected = traffic.grouped(requests, names, grain)
        assert traffic.answered(report) == (expected if names or grain != "none" else {})
        assert tuple(report.totals.values()) == traffic.figures(requests)


ZONES = {
    "UTC": DAYS,
    "Asia/Kolkata": DAYS,
    "Pacific/Kiritimati": DAYS,
    "Europe/Berlin": [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)],
    "America/New_York": [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)],
    "Australia/Lord_Howe": [date(2026, 4, 4), date(2026, 4, 5), date(2026, 4, 6)],
    # Midnight comes twice in Havana, and never in Cairo.
    "America/Havana": [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)],
    "Africa/Cairo": [date(2026, 4, 23), date(2026, 4, 24), date(2026, 4, 25)],
}


@pytest.mark.parametrize("unfolded", ["half", "none"])
@pytest.mark.parametrize("zone", ZONES)
def test_time_is_cut_in_the_accounts_zone(zone, unfolded, db):
    acme = make_account("acme", time_zone=zone)
    traffic.record(acme, traffic.rows(160, days=ZONES[zone], zone=zone))
    leave_unfolded(unfolded)
    requests = traffic.logged()

    for grain in ("hour", "day", "week", "month"):
        for names in ((), ("member", "project"), ("status_class",)):
            report = ask(question(acme, granularity=grain, group_by=names), now=NOW)
            assert traffic.answered(report) == traffic.grouped(requests, names, grain, zone)


@pytest.mark.parametrize("zone", ZONES)
def test_a_period_of_days_begins_and_ends_at_the_accounts_midnights(zone, db):
    acme = make_account("acme", time_zone=zone)
    traffic.record(acme, traffic.rows(160, days=ZONES[zone], zone=zone))
    fold(rows_at_once=100)
    middle = ZONES[zone][1]
    on_the_day = [
        r for r in traffic.logged() if traffic.bucket(r["occurred_at"], "day", zone) == middle
    ]
    assert on_the_day

    for more in ({}, {"group_by": ("streamed",)}, {"granularity": "hour"}, {"time_zone": zone}):
        asked = question(acme, start=middle, end=middle + timedelta(1), **more)
        assert tuple(ask(asked, now=NOW).totals.values()) == traffic.figures(on_the_day)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Asia/Kolkata", date(2026, 3, 29), 24),
        ("America/Havana", date(2026, 11, 1), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),
    ],
)
def test_a_day_has_as_many_hours_as_its_clocks_show(zone, day, hours, db):
    acme = make_account("acme", time_zone=zone)
    midnight = datetime.combine(day, datetime.min.time(), tzinfo=acme.zone).astimezone(UTC)
    traffic.record(
        acme,
        [
            native(occurred_at=(midnight + timedelta(minutes=30 * n + 1)).isoformat())
            for n in range(54)
        ],
    )
    fold(rows_at_once=30)

    for time_zone in (None, zone):
        asked = question(
            acme,
            start=day,
            end=day + timedelta(1),
            granularity="hour",
            order=("hour",),
            time_zone=time_zone,
        )
        report = ask(asked, now=NOW)

        assert [row["hour"] for row in report.rows] == [
            midnight + timedelta(hours=n) for n in range(hours)
        ]
        assert {row["requests"] for row in report.rows} == {2}


@pytest.mark.parametrize("unfolded", [True, False])
def test_an_hour_that_the_clock_shows_twice_is_two_hours(unfolded, db):
    """02:30 in Berlin, before and after the clock is turned back."""
    berlin = make_account(time_zone="Europe/Berlin")
    post(
        berlin,
        native(occurred_at="2026-10-25T00:30:00Z"),
        native(occurred_at="2026-10-25T01:30:00Z"),
    )
    if not unfolded:
        fold_all()

    for names in ((), ("streamed",)):
        rows = ask(question(berlin, granularity="hour", group_by=names), now=NOW).rows
        assert [row["hour"] for row in rows] == [
            datetime(2026, 10, 25, 0, tzinfo=UTC),
            datetime(2026, 10, 25, 1, tzinfo=UTC),
        ]


@pytest.mark.parametrize("unfolded", [True, False])
def test_a_clock_turned_by_half_an_hour_merges_nothing(unfolded, db):
    """In Lord Howe 01:30 to 02:00 comes twice: the second half hour is not of the first hour."""
    lord_howe = make_account(time_zone="Australia/Lord_Howe")
    midnight = datetime(2026, 4, 4, 13, tzinfo=UTC)
    moments = [midnight + timedelta(minutes=30 * n + 1) for n in range(8)]
    post(lord_howe, *(native(occurred_at=moment.isoformat()) for moment in moments))
    if not unfolded:
        fold_all()

    rows = ask(question(lord_howe, granularity="hour", order=("hour",)), now=NOW).rows

    # 00:00 and 01:00, the half hour from 01:30 again, 02:00, and half of 03:00.
    assert [row["requests"] for row in rows] == [2, 2, 1, 2, 1]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_days_and_hours_may_be_cut_in_another_zone(account, zone):
    traffic.record(account, traffic.rows(200, days=DAYS, zone=zone))
    fold(rows_at_once=100)
    requests = traffic.logged()

    for grain in ("hour", "day", "week", "month"):
        report = ask(question(account, granularity=grain, time_zone=zone), now=NOW)
        assert report.source == "usage_requestlog"
        assert traffic.answered(report) == traffic.grouped(requests, (), grain, zone)


def test_the_last_hour_by_minute(account):
    moments = [NOW - timedelta(seconds=seconds) for seconds in (1, 60, 61, 3599, 3601)]
    post(account, *(native(occurred_at=moment.isoformat()) for moment in moments))
    fold(rows_at_once=1)

    report = ask(
        question(account, start=NOW - timedelta(hours=1), end=NOW, granularity="minute"), now=NOW
    )

    assert report.source == "usage_requestlog"
    assert [(NOW - row["minute"], row["requests"]) for row in report.rows] == [
        (timedelta(minutes=60), 1),
        (timedelta(minutes=2), 1),
        (timedelta(minutes=1), 2),
    ]


def test_a_day_by_minute_in_a_zone_of_half_hours(db):
    kolkata = make_account(time_zone="Asia/Kolkata")
    post(kolkata, native(occurred_at="2026-11-19T18:30:30Z"), native(occurred_at=NOW.isoformat()))

    report = ask(
        question(kolkata, start=date(2026, 11, 20), end=date(2026, 11, 21), granularity="minute"),
        now=NOW,
    )

    assert [row["minute"] for row in report.rows] == [
        datetime(2026, 11, 19, 18, 30, tzinfo=UTC),
        NOW,
    ]


def test_all_dimensions_at_once(account):
    traffic.record(account, traffic.rows(60, days=DAYS))
    fold(rows_at_once=30)

    report = ask(question(account, group_by=tuple(catalogue.DIMENSIONS)), now=NOW)

    assert sum(row["requests"] for row in report.rows) == report.totals["requests"] == 60


def test_a_period_may_be_given_by_moments(account):
    traffic.record(account, traffic.rows(200, days=DAYS))
    fold(rows_at_once=100)
    start, end = (datetime(2026, 11, 15, hour, 30, tzinfo=UTC) for hour in (6, 18))
    within = [r for r in traffic.logged() if start <= r["occurred_at"] < end]

    report = ask(question(account, start=start, end=end, group_by=("model",)), now=NOW)

    assert traffic.answered(report) == traffic.grouped(within, ("model",))


def test_accounts_in_different_zones_keep_their_own_days(db):
    acme, globex = make_account("acme", time_zone="Asia/Tokyo"), make_account("globex")
    for account in (acme, globex):
        post(account, native(occurred_at="2026-11-14T20:00:00Z"))
    workspaces = Workspace.objects.select_related("account").order_by("account__slug")
    asked = Question(
        reach=reach_of(*workspaces),
        start=date(2026, 11, 1),
        end=date(2026, 12, 1),
        granularity="day",
        metrics=("requests",),
    )

    for _ in range(2):
        rows = ask(asked, now=NOW).rows
        assert [(row["day"].day, row["requests"]) for row in rows] == [(14, 1), (15, 1)]
        fold_all()


FILTERS: list[dict[str, Filter]] = [
    {"model": Filter(keys=("gpt-4o",))},
    {"model": Filter(keys=("no-such-model",))},
    {"project": Filter(none=True)},
    {"project": Filter(keys=("alpha",), none=True)},
    {"client": Filter(keys=("initech",))},
    {"client": Filter(none=True)},
    {"member": Filter(keys=("jane", "joe")), "api_key": Filter(none=True)},
    {
        "workspace": Filter(keys=("support",)),
        "endpoint": Filter(keys=("/v1/responses",), none=True),
    },
    {"status_class": Filter(keys=("5xx", "4xx"))},
    {"error_type": Filter(none=True)},
    {"streamed": Filter(keys=("true",), none=True)},
    {"service_tier": Filter(keys=("batch",)), "provider": Filter(keys=("azure",))},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_filters_choose_the_rows_that_are_meant(account, filters):
    traffic.record(account, traffic.rows(120, days=DAYS))
    fold(rows_at_once=60)
    chosen = [
        row
        for row in traffic.logged()
        if all(row[name] in f.keys or (f.none and row[name] is None) for name, f in filters.items())
    ]

    for names in ((), ("project",), ("client", "member"), ("status_class",)):
        report = ask(question(account, filters=filters, group_by=names), now=NOW)
        assert traffic.answered(report) == (traffic.grouped(chosen, names) if names else {})
        assert tuple(report.totals.values()) == traffic.figures(chosen)


def test_filters_by_id_and_by_key_add_up(account):
    traffic.record(account, traffic.rows(100, days=DAYS))
    rows = ask(question(account, group_by=("member",)), now=NOW).rows
    jane = next(row for row in rows if row["member"] == "jane")
    chosen = {"member": Filter(ids=(jane["member_id"],), keys=("joe",))}

    report = ask(question(account, filters=chosen), now=NOW)

    assert report.totals["requests"] == sum(row["requests"] for row in rows if row["member"])


@pytest.mark.parametrize(
    "group_by", [("model",), ("service_tier", "member"), ("streamed", "client")]
)
def test_dimensions_without_a_roll_up_come_from_the_log(account, group_by):
    traffic.record(account, traffic.rows(150, days=DAYS))
    fold(rows_at_once=80)

    report = ask(question(account, group_by=(*group_by, "error_type")), now=NOW)

    assert report.source == "usage_requestlog"
    assert traffic.answered(report) == traffic.grouped(traffic.logged(), (*group_by, "error_type"))


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_what_is_past_the_limit_is_summed_in_other(account, limit):
    traffic.record(account, traffic.rows(150, days=DAYS))
    fold(rows_at_once=80)
    names = ("member", "model", "project")
    whole = ask(question(account, group_by=names, order=("-cost",)), now=NOW)

    report = ask(question(account, group_by=names, order=("-cost",), limit=limit), now=NOW)

    groups = {traffic.ids(row, names) for row in whole.rows[limit:]}
    rest = [request for request in traffic.logged() if traffic.ids(request, names) in groups]
    assert report.rows == whole.rows[:limit]
    assert report.row_count == len(whole.rows)
    assert report.totals == whole.totals
    assert report.other == (
        dict(zip(traffic.METRICS, traffic.figures(rest), strict=True)) if rest else None
    )


@pytest.mark.parametrize("order", ["cost", "-cost", "requests", "member", "-member", "model"])
def test_rows_come_in_the_order_that_is_asked_for(account, order):
    traffic.record(account, traffic.rows(150, days=DAYS))
    rows = ask(question(account, group_by=("member", "model"), order=(order,)), now=NOW).rows
    values = [row[order.removeprefix("-")] for row in rows]
    known = [value for value in values if value is not None]

    assert known == sorted(known, reverse=order.startswith("-"))
    assert values == known + [None] * (len(values) - len(known))  # what is unknown comes last


def test_without_an_order_time_comes_first_and_the_first_metric_decides(account):
    traffic.record(account, traffic.rows(150, days=DAYS))
    asked = question(account, granularity="day", group_by=("model",), metrics=("cost", "requests"))

    rows = ask(asked, now=NOW).rows

    assert [row["day"] for row in rows] == sorted(row["day"] for row in rows)
    first_day = [
        row["cost"] for row in rows if row["day"] == rows[0]["day"] and row["cost"] is not None
    ]
    assert first_day == sorted(first_day, reverse=True)


def test_another_reachs_requests_are_never_counted(account, workspace, outsiders_workspace):
    post(outsiders_workspace.account, native(workspace="research", project="x", member="jane"))
    post(account, native(workspace="research", project="x", member="jane"))
    for _ in range(2):
        for names in ((), ("workspace",), ("project",), ("member",), ("model",), ("error_type",)):
            report = ask(question(account, group_by=names), now=NOW)
            assert report.totals["requests"] == 1
        fold_all()


def test_a_workspace_out_of_reach_is_not_counted(account, workspace, colleagues_workspace):
    post(account, native(workspace="research"), native(workspace="support"))
    whole = question(account)
    narrow = Reach((account,), (workspace,))

    for unfolded in (True, False):
        asked = Question(reach=narrow, start=whole.start, end=whole.end)
        assert ask(asked, now=NOW).totals["requests"] == 1
        if unfolded:
            fold_all()


def test_an_outsiders_ids_filter_nothing_in(account, outsiders_workspace):
    post(outsiders_workspace.account, native(member="jane"))
    post(account, native(member="joe"))
    theirs = outsiders_workspace.account.members.get()

    report = ask(question(account, filters={"member": Filter(ids=(theirs.pk,))}), now=NOW)

    assert report.totals["requests"] == 0


def test_an_empty_reach_has_no_rows_and_no_requests(db):
    asked = Question(reach=Reach((), ()), start=DAYS[0], end=DAYS[-1], group_by=("model",))

    report = ask(asked, now=NOW)

    assert (report.rows, report.row_count, report.other) == ([], 0, None)
    assert report.totals == {
        "requests": 0,
        "errors": 0,
        "total_tokens": 0,
        "cost": 0,
        "unpriced_requests": 0,
    }


def test_a_report_is_one_statement(account, django_assert_num_queries):
    traffic.record(account, traffic.rows(100, days=DAYS))
    asked = question(account, group_by=("client", "member", "model"), granularity="day")

    with django_assert_num_queries(1):
        ask(asked, now=NOW)


@pytest.mark.parametrize(
    ("fields", "table"),
    [
        ({}, "usage_day_model"),
        ({"group_by": ("model", "endpoint")}, "usage_day_model"),
        ({"group_by": ("member",)}, "usage_day_member"),
        ({"group_by": ("client",)}, "usage_day_project"),
        ({"filters": {"client": Filter(none=True)}, "group_by": ("api_key",)}, "usage_day_key"),
        ({"group_by": ("api_key", "model")}, "usage_day"),
        ({"granularity": "hour", "group_by": ("model",)}, "usage_hour"),
        ({"granularity": "month"}, "usage_day_model"),
        ({"granularity": "hour", "group_by": ("member",)}, None),
        ({"group_by": ("streamed",)}, None),
        ({"metrics": ("latency_ms_p95",), "group_by": ("model",)}, "usage_day_model"),
        ({"metrics": ("latency_ms_p95",), "group_by": ("member",)}, None),
        ({"metrics": ("latency_ms_p95",), "granularity": "hour"}, None),
        ({"metrics": ("meter_web_search",)}, None),
        ({"granularity": "minute", "start": DAYS[0], "end": DAYS[1]}, None),
        ({"time_zone": "Asia/Tokyo"}, None),
        ({"start": NOW - timedelta(days=1), "end": NOW}, None),
    ],
    ids=str,
)
def test_the_smallest_table_that_covers_a_question_answers_it(account, fields, table, monkeypatch):
    """Where all are equally small, the first; what former tests left in the files is no matter."""
    monkeypatch.setattr("usage.reports.rows.megabytes", lambda: defaultdict(int))

    rollup = pick(question(account, **fields))

    assert (rollup.table if rollup else None) == table
