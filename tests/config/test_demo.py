import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.test import TestCase

from accounts.models import Account, ApiKey, Client, Member, Project, Workspace
from budgets import ledger
from budgets.models import Alert, Budget, BudgetPeriod
from budgets.standing import standings
from config.demo import seed
from config.demo.organisation import KEYS
from config.demo.traffic import (
    MODELS,
    OUTAGE_HOUR,
    SPIKE_DAYS_AGO,
    UNPRICED_MODEL,
    ZONE,
    Traffic,
    occurred_at,
)
from tests.factories import count, fetch, forget, package_card, reach_of, sums_of, sums_of_log
from usage.ingest.resolve import named
from usage.models import QuarantinedRow
from usage.reports.question import Question
from usage.reports.run import ask
from usage.rollups.tables import ROLLUPS

NOW = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)  # a Sunday
FEW = {"days": 14, "requests": 2_000}


def traffic(*, now=NOW, days=45, requests=5_000):
    return Traffic(now, days, requests, random.Random(1)).requests()


class TheDemo(TestCase):
    @classmethod
    def setUpTestData(cls):
        forget()  # before any fixture of a test does
        cls.seeded = seed.seed(now=NOW, **FEW)
        cls.reach = reach_of(*Workspace.objects.select_related("account"))

    def ask(self, **question):
        first = NOW.date() - timedelta(30)
        return ask(Question(self.reach, first, NOW.date() + timedelta(1), **question), now=NOW)

    def test_everybody_is_there(self):
        everybody = (Account, Workspace, Member, Client, Project, ApiKey, Budget)

        assert [kind.objects.count() for kind in everybody] == [1, 3, 12, 4, 9, 15, 3]

    def test_traffic_makes_no_further_names_and_two_rows_are_quarantined(self):
        assert Member.objects.filter(name="").count() == ApiKey.objects.filter(name="").count() == 0
        assert QuarantinedRow.objects.count() == 2

    def test_it_costs_something_and_one_model_has_no_price(self):
        report = self.ask(group_by=("model",), metrics=("requests", "cost", "unpriced_requests"))

        assert report.totals["requests"] == self.seeded.requests == count("usage_requestlog")
        assert report.totals["cost"] > 10
        assert {row["model"] for row in report.rows if row["unpriced_requests"]} == {UNPRICED_MODEL}

    def test_log_rollups_and_budgets_say_the_same(self):
        sums = sums_of_log()

        assert count("usage_batch") == 0
        for rollup in ROLLUPS:
            assert sums_of(rollup.table) == sums
        assert self.ask(metrics=("cost",)).totals["cost"] == sums["cost"]
        for period in BudgetPeriod.objects.select_related("budget__account"):
            counted = ledger.counted(period.budget, period.start_on, period.end_on, now=NOW)
            assert (period.spent, period.estimated) == counted

    def test_one_budget_is_hard_and_one_has_told_that_it_is_past_80_percent(self):
        percents = {s.name: s.percent for s in standings(self.reach, now=NOW)}

        assert percents["Model evaluations"] > 80
        assert Alert.objects.filter(period__budget__name="Model evaluations", threshold=80).exists()
        assert [b.scope for b in Budget.objects.filter(hard=True)] == [Budget.Scope.WORKSPACE]

    def test_no_stray_lies_in_the_default_partition(self):
        assert fetch("SELECT 1 FROM usage_requestlog_default") == []

    def test_it_is_never_mixed_with_what_is_there(self):
        with pytest.raises(CommandError, match="accounts already"):
            call_command("seed_demo")


def test_the_same_moment_gives_the_same_traffic():
    assert traffic() == traffic()


def test_traffic_comes_in_order_and_ends_now():
    moments = [occurred_at(request) for request in traffic()]

    assert moments == sorted(moments)
    assert NOW - timedelta(days=45, hours=1) <= moments[0]
    assert NOW - timedelta(hours=12) < moments[-1] <= NOW


@pytest.mark.parametrize("days", [1, 3, 45])
@pytest.mark.parametrize("requests", [0, 1, 300])
def test_any_size_will_do(days, requests):
    made = traffic(days=days, requests=requests)

    assert abs(len(made) - requests) <= 12
    assert all(occurred_at(request) <= NOW for request in made)


@pytest.mark.parametrize("later", range(7))
def test_whatever_the_weekday_one_day_and_member_stand_out(later):
    spent = Counter()
    for request in traffic(now=NOW + timedelta(days=later)):
        if request.model == "claude-opus-5-5":
            spent[occurred_at(request).astimezone(ZONE).date(), request.api_key] += (
                request.input_tokens or 0
            )
    ((day, _), most), (_, next_most) = spent.most_common(2)

    assert most > 2 * next_most
    assert day.weekday() < 5
    assert (NOW + timedelta(days=later)).date() - day >= timedelta(days=SPIKE_DAYS_AGO)


def test_one_provider_was_out_for_an_hour():
    failed = Counter(
        occurred_at(request).astimezone(ZONE).replace(minute=0, second=0, microsecond=0)
        for request in traffic(requests=20_000)
        if request.provider == "openai" and request.status == 503
    )
    (hour, most), (_, next_most) = failed.most_common(2)

    assert hour.hour == OUTAGE_HOUR
    assert most > 3 * next_most


def test_one_to_three_in_a_hundred_fail():
    made = traffic(requests=20_000)

    assert 0.01 < sum(request.status >= 400 for request in made) / len(made) < 0.03


@pytest.mark.parametrize("model", MODELS)
def test_the_price_book_has_every_model_but_one(model):
    entry = package_card().entry(*named(MODELS[model].provider, model))

    assert (entry is None) == (model == UNPRICED_MODEL)


def test_batches_are_of_some_size():
    made = traffic(requests=1_200)

    assert [len(batch) for batch in seed.batches(made)] == [500, 500, len(made) - 1000]
    assert Decimal(0) in {request.cost for request in made}


def test_something_is_wasted_in_every_way():
    """A key that nobody uses, prompts that no cache keeps, answers that came too late."""
    made = traffic()
    keys = {name: KEYS[name].identifier for name in ("hackathon-bot", "enrichment")}
    forgotten = [r for r in made if r.api_key == keys["hackathon-bot"]]
    whole = [r for r in made if (r.api_key, r.model) == (keys["enrichment"], "claude-sonnet-5-5")]
    late = [r for r in made if r.status == 504 and r.output_tokens]

    assert max(occurred_at(request) for request in forgotten) < NOW - timedelta(days=31)
    assert len(whole) > 50
    assert not any(request.cache_read_tokens for request in whole)
    again = {(r.input_tokens, r.output_tokens) for r in made if r.status == 200}
    assert late
    assert {(r.input_tokens, r.output_tokens) for r in late} <= again
