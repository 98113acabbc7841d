import os
import re

import pytest
from django.conf import settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from config import metrics
from config.models import Heartbeat
from tests.factories import bearer, make_account, native, post
from usage import tally

TOKEN = "a-token-for-scraping"


@pytest.fixture
def scrape(client, db, settings):
    settings.METRICS_TOKEN = TOKEN

    def scrape():
        response = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200
        families = text_string_to_metric_families(response.content.decode())
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }

    return scrape


def test_without_a_token_in_the_settings_there_are_no_metrics(client, db):
    assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "é"}])
def test_without_the_right_token_nothing_is_told(client, db, settings, header):
    settings.METRICS_TOKEN = TOKEN

    response = client.get("/metrics", headers=header)

    assert (response.status_code, b"tokenbook_" in response.content) == (401, False)


def test_an_access_token_of_the_api_does_not_open_them(client, db, settings):
    settings.METRICS_TOKEN = TOKEN

    assert client.get("/metrics", headers=bearer(make_account())).status_code == 401


def test_what_the_database_knows_is_asked_at_each_scrape(scrape):
    post(make_account(), native(), native(), {"request_id": "bad"})
    Heartbeat.objects.beat(Heartbeat.QUEUE, at=timezone.now())
    told = scrape()

    assert told["tokenbook_unfolded_requests",] == 2
    assert told["tokenbook_quarantined",] == 1
    assert told["tokenbook_partition_days_ahead",] > 5
    assert told["tokenbook_heartbeat_age_seconds", "queue"] < 60
    assert abs(told["tokenbook_clock_skew_seconds",]) < 1


def test_rows_are_counted_by_what_became_of_them(scrape):
    names = [("tokenbook_rows_total", name) for name in ("accepted", "duplicate", "rejected")]
    before = scrape()
    row = native()
    post(make_account(), row, row, {"request_id": "bad"})
    after = scrape()

    assert [after[name] - before[name] for name in names] == [1, 1, 1]


def test_every_counter_is_described(scrape):
    assert {name for name, _, _ in tally.counted()} <= set(metrics.COUNTERS)


def test_a_scrape_asks_the_database_for_little(scrape, django_assert_max_num_queries):
    with django_assert_max_num_queries(6):
        scrape()


def test_counts_of_all_processes_are_added_up():
    one = tally.counter("answers", place="other", status="2xx")
    before = total_of(one)
    child = os.fork()
    if child == 0:
        one.add(5)
        os._exit(0)
    os.waitpid(child, 0)
    one.add(2)

    assert total_of(one) - before == 7


def total_of(counter):
    cells = tally.own.cells
    return sum(cells[row * tally.COLUMNS + counter.column] for row in range(tally.ROWS))


def test_every_metric_is_explained_to_whoever_runs_it(scrape):
    text = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    explained = {f"tokenbook_{name}" for name in re.findall(r"`([a-z_]+)(?:\{[a-z,]+\})?`", text)}
    Heartbeat.objects.beat(Heartbeat.of_schedule("books"), at=timezone.now())

    assert {name for name, *_ in scrape()} <= explained
