from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Reach
from config import daily, home
from config.view import view_of
from exports.models import Destination, ExportSchedule, RetentionRun, SentFile
from tests.factories import (
    NOW,
    make_account,
    make_workspace,
    native,
    post,
    reach_of,
    small_price_book,
)
from tests.people import People, make_people
from usage.changes import relative_change
from usage.models import QuarantinedRow
from usage.reports.question import Question
from usage.reports.run import ask

DASHBOARD = "/admin/"
MOST_QUERIES = 12


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


def record(people, number=3, **fields):
    for index in range(number):
        row = {"workspace": "research", "project": f"p{index}", "member": f"m{index}"} | fields
        post(people.acme, native(**row))


def dashboard(people, **parameters):
    reach = reach_of(people.research, people.support)
    return home.dashboard(reach, parameters, now=NOW, quarantine=QuarantinedRow.objects.all())


def tile(context, label):
    return next(tile for tile in context["tiles"] if tile.label == label)


def test_the_figures_are_those_of_the_report_service(people):
    record(people, 5)
    record(people, 1, model="unheard-of", status=500)
    totals = ask(
        Question(
            reach=reach_of(people.research, people.support),
            start=date(2026, 10, 22),
            end=date(2026, 11, 21),
            metrics=("cost", "requests", "total_tokens", "error_rate", "unpriced_requests"),
        ),
        now=NOW,
    ).totals

    context = dashboard(people)

    assert tile(context, "Spend").exact == f"${totals['cost'].normalize():f}" == "$0.0175"
    assert tile(context, "Spend").note == "1 request unpriced"
    assert tile(context, "Requests").value == str(totals["requests"]) == "6"
    assert tile(context, "Tokens").exact == f"{totals['total_tokens']:,}" == "6,600"
    assert tile(context, "Error rate").note == "1 of 6 failed"


def test_models_and_other_models_add_up_to_the_spend(people):
    for index in range(10):
        record(
            people, 1, model="gpt-4o", input_tokens=1000 * (index + 1), requested_model=f"r{index}"
        )
    context = dashboard(people)

    drawn = sum(sum(series["values"]) for series in context["chart"]["datasets"])
    models = context["tops"][0]
    listed = sum((row.cost for row in models.rows), models.other or Decimal(0))

    assert drawn == pytest.approx(0.1475)
    assert listed == Decimal("0.1475")


def test_without_an_earlier_period_no_percentage_is_made_up(people):
    record(people)

    changes = {tile.label: tile.change.text for tile in dashboard(people)["tiles"][:6]}

    assert set(changes.values()) == {"no earlier data"}


def test_a_period_before_that_began_without_data_is_not_compared_with(people):
    """Half a period of data would make every change look twice as large."""
    record(people, 1, occurred_at="2026-10-10T12:00:00Z")
    record(people)

    changes = {tile.label: tile.change.text for tile in dashboard(people, range="30d")["tiles"][:6]}

    assert set(changes.values()) == {"earlier data is partial"}


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        (Decimal(150), Decimal(100), "50.0 %"),
        (Decimal(50), Decimal(100), "50.0 %"),
        (Decimal(100), Decimal(100), "unchanged"),
        (Decimal(5), Decimal(0), "from nothing"),
        (Decimal(5000), Decimal(100), "50 times"),
        (Decimal(5), None, "no earlier data"),
    ],
)
def test_changes_are_told_in_words(now, before, text):
    assert relative_change(now, before).text == text


def test_today_is_cut_in_hours_of_the_accounts_zone(people):
    people.acme.time_zone = "America/New_York"
    people.acme.save()
    view = view_of(Reach((people.acme,), (people.research,)), {"range": "today"}, now=NOW)
    record(people)

    labels = home.figures(view, QuarantinedRow.objects.all())["chart"]["labels"]

    assert (labels[0], labels[-1], len(labels)) == ("00:00", "23:00", 24)


@pytest.mark.parametrize("dimension", ["project", "member", "api_key", "provider", "workspace"])
def test_every_stack_adds_up_to_the_spend(people, dimension):
    record(people, 9)
    record(people, 1, workspace="support", api_key="k", provider=None)

    context = dashboard(people, by=dimension, grain="day")

    drawn = sum(sum(series["values"]) for series in context["chart"]["datasets"])
    assert drawn == pytest.approx(0.035)
    assert context["chart"]["totals"][-2:] == ["$0.00", "$0.035"]


def test_what_is_shown_of_somebody_is_what_the_log_lists(people, client):
    record(people, 2, occurred_at=None, member="ada@acme.test")
    record(people, 3, occurred_at=None, member="bob@acme.test")
    client.force_login(people.viewer)
    members = client.get(DASHBOARD).context["tops"][2]

    listed = [client.get(row.link).context["summary"] for row in members.rows]

    assert [row.cost for row in members.rows] == [summary["cost"] for summary in listed]
    assert [row.share_in_words for row in members.rows] == ["60 %", "40 %"]


def test_what_is_shown_of_a_provider_is_what_the_log_lists(people, client):
    record(people, 3, occurred_at=None)
    record(people, 1, occurred_at=None, status=503)
    record(people, 1, occurred_at=None, status=429)
    client.force_login(people.viewer)
    (provider,) = client.get(DASHBOARD).context["providers"]

    listed = client.get(provider.link).context["summary"]
    failed = client.get(provider.failed_link).context["page"].rows

    assert (provider.requests, provider.cost) == (listed["requests"], listed["cost"])
    assert provider.errors == len(failed) == 2


def test_every_tile_leads_to_the_explorer_with_the_same_figure(people, client):
    record(people, 3, occurred_at=None, latency_ms=200, cache_read_tokens=100)
    record(people, 1, occurred_at=None, status=500)
    client.force_login(people.viewer)
    tiles = client.get(DASHBOARD).context["tiles"][:6]

    pages = [client.get(tile.link) for tile in tiles]

    assert all(page.status_code == 200 for page in pages)
    for tile, page in zip(tiles, pages, strict=True):
        assert tile.value in page.content.decode(), tile.label


def test_projects_of_one_tag_are_told_apart(people):
    record(people, 1, project="app")
    record(people, 1, project="app", workspace="support")

    rows = dashboard(people)["tops"][1].rows

    assert sorted(row.name for row in rows) == ["app (Research)", "app (Support)"]


def test_an_account_without_a_workspace_says_so_and_can_be_left(people, client):
    make_account("initech")
    client.force_login(people.staff)

    page = client.get(DASHBOARD, {"account": "initech"}).content.decode()

    assert "Initech has no workspace yet" in page
    assert 'value="acme"' in page


def test_keys_are_listed_with_their_share_and_change(people):
    record(people, 1, api_key="k1", occurred_at="2026-11-10T12:00:00Z")
    record(people, 1, occurred_at="2026-11-06T12:00:00Z")
    record(people, 2, api_key="k1")

    keys = dashboard(people)["tops"][3]

    assert [(row.name, row.share_in_words, row.change.text) for row in keys.rows] == [
        ("k1", "100 %", "100.0 %")
    ]


def test_lines_end_with_today(people):
    record(people, 2)
    record(people, 1, occurred_at="2026-11-18T12:00:00Z")

    lines = daily.lines(view_in(people, range="month"), rows_of(people, range="month"), "day")

    assert [int(value) for value in lines["requests"]] == [0] * 17 + [1, 0, 2]


def test_the_month_ends_as_its_last_days_went(people):
    for day in range(13, 21):
        record(people, 1, occurred_at=f"2026-11-{day}T01:00:00Z")

    projection = daily.projection(view_in(people), rows_of(people))

    assert projection.spent == 8 * Decimal("0.0035")
    end = projection.at_the_end
    assert end.expected == projection.spent + Decimal("0.04")  # ten days and a half
    assert projection.spent <= end.low < end.expected < end.high


def test_two_days_are_too_few_to_look_ahead(people):
    record(people, 1)
    record(people, 1, occurred_at="2026-11-19T12:00:00Z")

    assert tile(dashboard(people), "End of November").value == "—"


def test_providers_are_told_with_their_errors_and_latency(people):
    record(people, 3, latency_ms=100)
    record(people, 1, status=503, latency_ms=4000)

    (provider,) = dashboard(people)["providers"]

    assert (provider.name, provider.requests, provider.errors) == ("openai", 4, 1)
    assert provider.error_rate == Decimal("0.25")
    assert provider.slowest_ms == pytest.approx(4000, rel=Decimal("0.05"))


def test_an_unknown_choice_of_chart_is_the_usual_one(people):
    view = view_in(people, by="shoe_size", grain="minute")

    assert (view.by, view.grain) == ("model", "day")


def view_in(people, **parameters):
    return view_of(reach_of(people.research, people.support), parameters, now=NOW)


def rows_of(people, **parameters):
    return ask(daily.question(view_in(people, **parameters)), now=NOW).rows


def test_today_is_compared_with_yesterday_up_to_this_time(people):
    record(people, 1, occurred_at="2026-11-19T11:00:00Z")
    record(people, 5, occurred_at="2026-11-19T13:00:00Z")
    record(people, 2)

    assert tile(dashboard(people, range="today"), "Requests").change.text == "100.0 %"


def test_a_log_shows_at_the_next_load(people, client):
    client.force_login(people.viewer)
    before = client.get(DASHBOARD).context["there_is_any"]
    post(people.acme, native(workspace="research", occurred_at=None), now=datetime.now(UTC))

    after = client.get(DASHBOARD).context["there_is_any"]

    assert (before, after) == (False, True)


def test_an_outsider_sees_nothing_of_it(people, client):
    post(people.acme, native(workspace="research", member="ada@acme.test", occurred_at=None))
    client.force_login(people.outsider)

    for parameters in ({}, {"account": "acme"}, {"account": "acme", "workspace": "research"}):
        page = client.get(DASHBOARD, parameters)
        assert "acme" not in page.content.decode().lower()
        assert not page.context["there_is_any"]


def test_a_role_in_one_workspace_shows_that_workspace_only(people, client):
    post(people.acme, native(workspace="research", occurred_at=None), now=datetime.now(UTC))
    client.force_login(people.support_manager)

    page = client.get(DASHBOARD)

    assert not page.context["there_is_any"]
    assert [workspace.slug for workspace in page.context["workspaces"]] == ["support"]


def test_who_has_no_role_is_told_whom_to_ask(people, client):
    client.force_login(people.newcomer)

    assert "Ask an owner" in client.get(DASHBOARD).content.decode()


def test_strangers_are_asked_to_log_in(client, db):
    response = client.get(DASHBOARD)

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_an_empty_account_is_told_how_to_begin(people, client):
    client.force_login(people.owner)

    assert "/api/v1/requests/" in client.get(DASHBOARD).content.decode()


def test_what_cannot_be_recorded_needs_attention(people):
    post(people.acme, native(input_tokens=-1), b"{")
    record(people, 1, model="unheard-of")

    titles = [item.title for item in dashboard(people)["attention"]]

    assert titles == ["1 request without a price", "2 rows set aside"]


def test_files_that_were_not_sent_and_a_failed_archive_need_attention(people):
    post(people.acme, native(workspace="research"))
    folder = Destination.objects.create(account=people.acme, name="disk", kind="folder")
    close = ExportSchedule.objects.create(
        account=people.acme, name="Close", dataset="month-end", destination=folder, starts_at=NOW
    )
    SentFile.objects.create(
        schedule=close, start_at=NOW, end_at=NOW, next_attempt_at=NOW, error="No space left"
    )
    RetentionRun.objects.create(started_at=NOW, mode="archive", error="There is no bucket b.")

    context = home.dashboard(
        reach_of(people.research, people.support),
        {},
        now=NOW,
        quarantine=QuarantinedRow.objects.all(),
        whose_books=[people.acme.pk],
    )
    titles = [item.title for item in context["attention"]]
    assert {"1 scheduled file not sent", "The archive could not be written"} <= set(titles)


def test_calm_is_said_too(people, client):
    post(people.acme, native(workspace="research", occurred_at=None), now=datetime.now(UTC))
    client.force_login(people.owner)

    assert "Nothing needs attention" in client.get(DASHBOARD).content.decode()


def test_bad_dates_are_told_and_the_page_still_works(people, client):
    client.force_login(people.owner)

    page = client.get(DASHBOARD, {"from": "yesterday", "to": "2026-01-01"})

    assert "Write days like 2026-01-31." in page.content.decode()


def test_the_last_day_that_people_name_is_kept_as_the_day_after(people, client):
    client.force_login(people.owner)

    response = client.get(DASHBOARD, {"from": "2026-11-01", "through": "2026-11-19", "account": ""})

    assert response["Location"] == "/admin/?from=2026-11-01&to=2026-11-20"


def test_more_data_takes_no_more_queries(people, client):
    client.force_login(people.owner)
    client.get(DASHBOARD)
    few = queries_of(client, people, rows=1)

    many = queries_of(client, people, rows=12)

    assert many <= few <= MOST_QUERIES


def queries_of(client, people, *, rows):
    for index in range(rows):
        make_workspace(people.acme, f"team-{rows}-{index}")
        row = native(workspace=f"team-{rows}-{index}", model=f"m{index}", occurred_at=None)
        post(people.acme, row, native(workspace="research"), now=datetime.now(UTC))
    with CaptureQueriesContext(connection) as queries:
        assert client.get(DASHBOARD).status_code == 200
    return len(queries)
