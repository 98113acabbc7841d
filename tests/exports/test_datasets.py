import itertools
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psutil
import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.http import QueryDict

from exports import datasets
from exports.datasets import LOG_COLUMNS, log_table, overlap, stretches
from exports.formats import Csv
from exports.kinds import FORMATS
from exports.snapshot import snapshot
from exports.tables import Tally
from tests.factories import NOW, make_workspace, native, post, reach_of
from usage import partitions
from usage.reports import question, run
from usage.requests import RequestQuery

pytestmark = pytest.mark.django_db(transaction=True)

EVER = (None, None)


def log_pieces(query, file_format):
    table = log_table(query, EVER, start=None, end=None, asked={})
    return table.unpacked(file_format, Tally(adds=False))


def total(rows, name):
    return sum(Decimal(row[name] or 0) for row in rows)


def ask(research, **parameters):
    query = QueryDict(mutable=True)
    query.update({"from": "2026-11-01", "to": "2026-12-01"} | parameters)
    workspaces = research.account.workspaces.select_related("account")
    return run.ask(question.parse(query, reach_of(*workspaces), now=NOW), now=NOW)


def test_csv_json_and_report_say_the_same_to_the_last_digit(requests, research, downloads):
    totals = ask(research, metrics="requests,cost,ceiling_cost,reported_cost,total_tokens").totals
    assert totals["cost"] > 2

    for rows in (downloads.csv("requests"), downloads.json("requests")):
        assert len(rows) == totals["requests"] == 4
        assert total(rows, "cost") == totals["cost"]
        assert total(rows, "ceiling_cost") == totals["ceiling_cost"]
        assert total(rows, "reported_cost") == totals["reported_cost"]
        tokens = total(rows, "input_tokens") + total(rows, "output_tokens")
        assert tokens == totals["total_tokens"]


def test_the_same_filter_leaves_the_same_requests(requests, research, downloads):
    filters = {"workspace": "research", "from": "2026-11-19", "to": "2026-11-20"}

    assert [row["request_id"] for row in downloads.csv("requests", **filters)] == ["b"]
    assert ask(research, **filters).totals["requests"] == 1


def test_a_report_file_has_the_reports_rows(requests, research, downloads):
    asked = {"group_by": "member,model", "from": "2026-11-01", "to": "2026-12-01"}
    rows = run.as_json(ask(research, **asked))["rows"]

    assert downloads.json("usage", **asked) == rows
    assert downloads.csv("usage", **asked) == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in rows
    ]


def test_a_report_file_has_all_rows_where_an_answer_would_end(requests, downloads, monkeypatch):
    monkeypatch.setattr("usage.reports.sql.MAX_ROWS", 1)
    asked = {"group_by": "model", "from": "2026-11-01", "to": "2026-12-01"}

    assert len(downloads.csv("usage", **asked)) == 2
    assert len(downloads.csv("usage", **asked, limit=1)) == 1


def test_columns_come_in_the_documented_order(requests, downloads):
    names = [column.name for column in LOG_COLUMNS]

    assert list(downloads.csv("requests")[0]) == list(downloads.json("requests")[0]) == names
    documented = (settings.BASE_DIR / "docs" / "exports.md").read_text()
    positions = [documented.index(f"| `{name}` |") for name in names]
    assert positions == sorted(positions)


def test_one_request_is_written_field_by_field(requests, downloads):
    row = {
        name: value for name, value in downloads.json("requests")[-1].items() if value is not None
    }

    for name in [name for name in row if name.endswith("_id") and name != "request_id"]:
        assert isinstance(row.pop(name), int)
    assert row == {
        "request_id": "d",
        "occurred_at": "2026-11-20T12:00:00.000000Z",
        "received_at": "2026-11-20T12:00:00.000000Z",
        "day": "2026-11-20",
        "account": "acme",
        "workspace": "research",
        "workspace_name": "Research",
        "model": "unheard-of",
        "provider": "openai",
        "status": 200,
        "input_tokens": 1000,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": 100,
        "reasoning_tokens": 0,
        "ceiling_cost": "0.0225",
    }


def test_the_oldest_come_first_over_all_days(acme, research, downloads):
    moments = ["2026-11-20T12:00:00Z", "2026-11-18T12:00:00Z", "2019-05-01T00:00:00Z"]
    post(
        acme,
        *(native(request_id=m[:4] + m[8:10], occurred_at=m, workspace="research") for m in moments),
    )

    assert [row["request_id"] for row in downloads.csv("requests")] == [
        "201901",
        "202618",
        "202620",
    ]


def test_formulas_are_defused_in_csv_and_kept_in_json(acme, research, downloads):
    post(
        acme,
        native(workspace="research", request_id="=cmd|' /C calc'!A0", project="@sum", member="+1"),
    )

    (row,) = downloads.csv("requests")
    assert (row["request_id"], row["project"], row["member"]) == (
        "'=cmd|' /C calc'!A0",
        "'@sum",
        "'+1",
    )
    assert downloads.json("requests")[0]["request_id"] == "=cmd|' /C calc'!A0"
    assert (
        downloads.csv("usage", **{"group_by": "project", "from": "2026-11-01"})[0]["project"]
        == "'@sum"
    )


def test_quotes_line_breaks_backslashes_and_unicode_come_back_as_they_went(
    acme, research, downloads
):
    nasty = 'Zoë "Ω", \\n \\\\ 東京\r\nnext\tline 🙂'
    post(acme, native(workspace="research", request_id=nasty, tags={"note": nasty}))

    (row,) = downloads.json("requests")
    assert (row["request_id"], row["tags"]) == (nasty, {"note": nasty})
    assert downloads.csv("requests")[0]["request_id"] == nasty


def test_a_csv_ends_each_line_as_its_rfc_says(requests, downloads):
    text = downloads.text("requests.csv")

    assert text.count("\n") == text.count("\r\n") == 5


def test_nothing_found_is_a_header_or_an_empty_array(requests, downloads):
    header = ",".join(column.name for column in LOG_COLUMNS) + "\r\n"

    assert downloads.text("requests.csv", model="none-such") == header
    assert downloads.json("requests", model="none-such") == []
    assert downloads.json("usage", model="none-such", group_by="model") == []


def test_a_file_is_one_state_of_the_database(requests, research):
    with snapshot() as frozen:
        rows = datasets.log_rows(frozen, RequestQuery(reach_of(research)), EVER, Csv())
        first = next(rows)
        post(research.account, native(workspace="research"))

        assert (first + b"".join(rows)).count(b"\r\n") == 3


def test_no_day_is_dropped_while_it_is_exported(research):
    with snapshot(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '100ms'")
        with pytest.raises(OperationalError), transaction.atomic():
            cursor.execute("LOCK TABLE usage_requestlog IN ACCESS EXCLUSIVE MODE")


def test_a_file_whose_database_went_away_says_so(requests, research):
    pieces = log_pieces(RequestQuery(reach_of(research)), Csv())
    got = [next(pieces)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND state = 'idle in transaction'"
        )
    with pytest.raises(OperationalError):
        got.extend(pieces)

    assert b"".join(got).splitlines()[-1] == b",".join([b"INCOMPLETE"] * (len(LOG_COLUMNS) + 1))


def test_a_snapshot_only_reads(research):
    with pytest.raises(DatabaseError), snapshot() as frozen:
        frozen.cursor().execute("DELETE FROM usage_requestlog")


def test_a_download_that_is_broken_off_leaves_no_connection_behind(requests, research):
    query = RequestQuery(reach_of(research))
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with connection.cursor() as cursor:
        cursor.execute(others)
        before = cursor.fetchone()
        pieces = log_pieces(query, FORMATS["json"])
        next(pieces)
        pieces.close()
        for _ in range(100):  # a backend takes a moment to go
            cursor.execute("SELECT pg_sleep(0.02)")
            cursor.execute(others)
            if cursor.fetchone() == before:
                return
    pytest.fail("its connection is still there")


def test_every_moment_is_in_exactly_one_stretch(research):
    found = stretches(
        {"usage_requestlog_20261120", "usage_requestlog_20261122", "usage_day_202611"}
    )
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in (20, 21, 22, 23)]

    assert found == list(itertools.pairwise([None, *days, None]))
    assert stretches(set()) == [(None, None)]


def test_stretches_outside_the_period_are_left_out():
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in range(1, 5)]

    assert overlap((days[0], days[1]), (None, None))
    assert overlap((None, days[1]), (days[0], None))
    assert not overlap((days[0], days[1]), (days[1], days[2]))
    assert not overlap((days[2], None), (days[0], days[2]))


MANY = 200_000

FILL = """
INSERT INTO usage_requestlog (occurred_at, received_at, batch_id, workspace_id, model_id, input,
    cache_read, cache_write_5m, cache_write_1h, output, reasoning, status, cost, request_id, tags)
SELECT %s::timestamptz + n * interval '100 milliseconds', now(), 0, %s, %s, n, 0, 0, 0, n, 0, 200,
    0.0000000001 * n, 'request-' || n, '{"some": "words to make a row as long as they are"}'
FROM generate_series(1, %s) n"""


@pytest.mark.slow
def test_200_000_requests_of_one_day_take_no_memory(acme):
    support = make_workspace(acme, "support")
    post(acme, native(workspace="support"))  # makes the model
    with connection.cursor() as cursor:
        partitions.make_between(NOW.date(), NOW.date())
        cursor.execute("SELECT min(model_id) FROM usage_requestlog")
        midnight = NOW.replace(hour=0) + timedelta(minutes=1)
        cursor.execute(FILL, [midnight, support.pk, cursor.fetchone()[0], MANY])

    resident = psutil.Process().memory_info().rss
    tracemalloc.start()
    size = lines = 0
    for piece in log_pieces(RequestQuery(reach_of(support)), Csv()):
        size += len(piece)
        lines += piece.count(b"\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert lines == MANY + 2
    assert size > 40_000_000
    assert peak < 12_000_000
    assert psutil.Process().memory_info().rss - resident < 60_000_000
