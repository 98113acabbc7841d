"""What could be saved: to the last digit where prices decide, and what becomes of the advice."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import ApiKey, Project
from tests.factories import NOW, make_price, make_user, native, post, save_prices
from tests.usage.insight.traffic import (
    CHEAP,
    DEAR,
    TINY,
    capabilities,
    capable,
    price_book,
    spread,
)
from usage.insight import savings
from usage.insight.repriced import Seller, cost_on
from usage.insight.traffic import traffic_of
from usage.insight_models import Saving
from usage.models import ModelCapability
from usage.pricing.ratecard import rate_card
from usage.rollups.fold import fold_all

SINCE = NOW - timedelta(days=30)
MIXED = (
    {"input_tokens": 1000, "output_tokens": 10},
    {"input_tokens": 1001, "output_tokens": 10},
    {"input_tokens": 5000, "cache_read_tokens": 4000, "output_tokens": 333},
    {"input_tokens": 900, "cache_write_tokens": 300, "output_tokens": 7, "reasoning_tokens": 3},
    {"input_tokens": 2000, "output_tokens": 0, "service_tier": "batch"},
    {"input_tokens": 100, "output_tokens": 10, "meters": {"input_audio": 950}},
    {"input_tokens": 50, "output_tokens": 0, "status": 500},
)


@pytest.fixture
def book(workspace):
    price_book()
    capabilities()
    return workspace.account


def found(account, **filters):
    savings.refresh(account, now=NOW)
    return list(Saving.objects.filter(account=account, **filters))


def substitutions(account):
    return {s.candidate: s for s in found(account, kind="substitution")}


def test_summed_traffic_costs_what_its_requests_cost(book, workspace):
    """The bill of the sums is the sum of the bills: tiers, caches, batches and further meters."""
    post(book, *(native(model=DEAR, workspace="research", **mixed) for mixed in MIXED))

    traffic = traffic_of(book.pk, [workspace.pk], since=SINCE, until=NOW + timedelta(1))
    [key] = traffic.bands
    seller = Seller("openai", DEAR, book.pk, NOW)

    paid = sum(row["cost"] for row in costs())
    assert cost_on(traffic.bands[key], seller, rate_card()) == paid == traffic.by_key[key].paid


def test_on_another_model_it_costs_what_each_request_would(book, workspace):
    post(book, *(native(model=DEAR, workspace="research", **mixed) for mixed in MIXED))
    post(
        book,
        *(native(model=CHEAP, workspace="research", project="x", **mixed) for mixed in MIXED),
    )

    traffic = traffic_of(book.pk, [workspace.pk], since=SINCE, until=NOW + timedelta(1))
    cheap, dear = sorted(traffic.bands, key=traffic.name)

    on_cheap = cost_on(traffic.bands[dear], Seller("openai", CHEAP, book.pk, NOW), rate_card())
    assert on_cheap == traffic.by_key[cheap].paid


def costs():
    with connection.cursor() as cursor:
        cursor.execute("SELECT cost FROM usage_requestlog")
        return [{"cost": cost} for (cost,) in cursor.fetchall()]


def test_the_cheapest_of_those_as_capable_is_recommended(book):
    """1,120 requests of 900 tokens in ($10 a million) and 100 out ($50): 28 days, $15.68."""
    spread(book, 1120, model=DEAR, input_tokens=900, output_tokens=100)

    saving = substitutions(book)[CHEAP]

    assert saving.paid == saving.cost_now == Decimal("15.68")
    assert saving.cost_then == Decimal("1.568")
    assert saving.share == Decimal("0.9")
    assert saving.project == Project.objects.get(tag="chat")
    assert saving.confidence == "medium"  # nobody uses it yet
    assert saving.evidence["now"]["prompt_p50"] == 900


def test_the_month_is_what_thirty_such_days_would_save(book):
    spread(book, 1120, model=DEAR, input_tokens=900, output_tokens=100)

    saving = substitutions(book)[CHEAP]

    days = Decimal(28) - Decimal(28) / 1120 / 2  # from the first request on
    assert abs(saving.monthly - Decimal("14.112") * 30 / days) < Decimal("1e-6")
    assert saving.yearly == saving.monthly * 365 / 30


def test_a_step_down_is_offered_with_a_doubt(book):
    spread(book, 1120, model=DEAR, input_tokens=900, output_tokens=100)

    saving = substitutions(book)[TINY]

    assert saving.confidence == "low"
    assert saving.evidence["steps_down"] == 1
    assert "less capable" in saving.evidence["why"][0]


def test_what_is_used_here_and_fails_no_more_often_is_sure(book):
    spread(book, 1120, model=DEAR)
    spread(book, 300, model=CHEAP, project="other", latency_ms=200)

    saving = substitutions(book)[CHEAP]

    assert saving.confidence == "high"
    assert saving.evidence["candidate"]["latency_p50"] == 200
    assert saving.evidence["why"] == []


def test_what_fails_more_often_is_less_sure(book):
    spread(book, 1120, model=DEAR)
    spread(book, 300, model=CHEAP, project="other")
    spread(book, 30, model=CHEAP, project="other", status=500, source="failing")

    assert substitutions(book)[CHEAP].confidence == "medium"


@pytest.mark.parametrize(
    "change",
    [
        {"context_window": 500},
        {"context_window": None},
        {"offered": False},
        {"tier": 4},
    ],
)
def test_what_cannot_take_its_place_is_not_recommended(book, change):
    capable(CHEAP, change.pop("tier", 2), **change)
    spread(book, 1120, model=DEAR)

    assert CHEAP not in substitutions(book)


def test_models_without_a_judgement_are_left_alone(book):
    ModelCapability.objects.filter(name=DEAR).delete()
    spread(book, 1120, model=DEAR)

    assert substitutions(book) == {}


def test_only_providers_that_the_account_uses_are_recommended(book):
    ModelCapability.objects.filter(name=CHEAP).update(provider="mistral")
    spread(book, 1120, model=DEAR)

    assert CHEAP not in substitutions(book)


def test_little_or_old_traffic_is_no_reason_to_switch(book):
    spread(book, 40, model=DEAR, input_tokens=50_000)
    spread(book, 500, model=DEAR, project="over", until=NOW - timedelta(days=10), days=10)

    assert substitutions(book) == {}


def test_failed_requests_that_cost_something_are_found_with_their_retries(book):
    """Ten time-outs of $0.20 each, of which every second one was sent again within a minute."""
    for i in range(10):
        at = NOW - timedelta(days=2, hours=i)
        fields = {"model": DEAR, "workspace": "research", "input_tokens": 20_000 - i}
        fields["output_tokens"] = 0
        post(book, native(status=504, occurred_at=at.isoformat(), **fields))
        if i % 2:
            later = at + timedelta(minutes=1)
            post(book, native(occurred_at=later.isoformat(), **fields))

    [saving] = found(book, kind="errors")

    assert saving.cost_now == sum(Decimal(20_000 - i) * 20 / 1_000_000 for i in range(10))
    assert saving.cost_then == 0
    assert saving.evidence["retried"] == 5
    assert saving.evidence["by_status"] == {"504": 10}


def test_long_prompts_in_a_row_that_no_cache_holds_are_found(book):
    """100 prompts of 4,000 tokens a minute apart: 99 read 2,000 at $1 instead of $10, one writes
    2,000 at $12.50."""
    spread(book, 100, days=100 / 1440, model=DEAR, input_tokens=4000, output_tokens=0)

    [saving] = found(book, kind="caching")

    expected = 99 * 2000 * Decimal("0.000009") - 2000 * Decimal("0.0000025")
    assert saving.cost_now - saving.cost_then == expected
    assert saving.evidence["following"] == 99
    assert Decimal(saving.evidence["pays_from"]) == Decimal("0.2174")


def test_prompts_that_are_cached_already_are_not(book):
    fields = {"input_tokens": 4000, "cache_read_tokens": 3000}
    spread(book, 100, days=100 / 1440, model=DEAR, **fields)

    assert found(book, kind="caching") == []


def test_keys_that_nobody_used_for_a_month_are_found(book, workspace):
    type(book).objects.update(created_at=NOW - timedelta(days=90))
    book.refresh_from_db()
    for name in ("used", "idle", "never", "disabled"):
        ApiKey.objects.create(workspace=workspace, identifier=name, name=name)
    ApiKey.objects.filter(name="disabled").update(disabled_at=NOW)
    post(book, native(api_key="used"))
    long_ago = (NOW - timedelta(days=45)).isoformat()
    post(book, native(api_key="idle", occurred_at=long_ago), now=NOW - timedelta(days=45))
    fold_all()

    idle = {s.api_key.name: s.evidence["last_used_on"] for s in found(book, kind="idle_key")}

    assert idle == {"idle": "2026-10-06", "never": None}
    assert Saving.objects.filter(kind="idle_key").first().monthly is None


def test_finding_twice_changes_nothing(book):
    spread(book, 1120, model=DEAR)
    first = {s.key: (s.pk, s.monthly) for s in found(book)}

    assert {s.key: (s.pk, s.monthly) for s in found(book)} == first


def test_what_is_found_no_more_is_gone_unless_it_was_decided_on(book):
    spread(book, 1120, model=DEAR)
    alike = substitutions(book)[CHEAP]
    savings.decide(alike.pk, "accepted", reason="", by=make_user(), now=NOW)
    ModelCapability.objects.filter(name=DEAR).delete()

    assert [s.pk for s in found(book)] == [alike.pk]


def test_a_dismissal_needs_a_reason_and_stays(book):
    spread(book, 1120, model=DEAR)
    saving = substitutions(book)[CHEAP]

    with pytest.raises(savings.CannotDecide):
        savings.decide(saving.pk, "dismissed", reason=" ", by=None, now=NOW)
    savings.decide(saving.pk, "dismissed", reason="Quality", by=make_user(), now=NOW)

    assert substitutions(book)[CHEAP].state == "dismissed"


def test_the_next_best_comes_after_what_was_dismissed(book):
    capable("fair-1", 2)
    save_prices(make_price("input", "2", model="fair-1"), make_price("output", "9", model="fair-1"))
    spread(book, 1120, model=DEAR)
    saving = substitutions(book)[CHEAP]
    savings.decide(saving.pk, "dismissed", reason="Quality", by=make_user(), now=NOW)

    assert substitutions(book)["fair-1"].state == "open"


def test_a_decision_is_made_once(book):
    spread(book, 1120, model=DEAR)
    saving = substitutions(book)[CHEAP]
    savings.decide(saving.pk, "done", reason="", by=None, now=NOW)

    with pytest.raises(savings.CannotDecide):
        savings.decide(saving.pk, "accepted", reason="", by=None, now=NOW)


def test_what_a_switch_saved_is_measured(book):
    """After the decision 100 requests of $0.014 go to cheap-1 for $0.0014 each."""
    spread(book, 1120, model=DEAR, input_tokens=900, output_tokens=100)
    saving = substitutions(book)[CHEAP]
    savings.decide(saving.pk, "accepted", reason="", by=None, now=NOW)
    later = NOW + timedelta(days=2)
    spread(book, 100, days=2, until=later, model=CHEAP, input_tokens=900, output_tokens=100)

    savings.refresh(book, now=later)
    savings.refresh(book, now=later)  # each moment counts once

    saving.refresh_from_db()
    assert saving.realised == Decimal("1.26")
    assert saving.measured_until == later


def test_what_the_project_used_before_is_not_counted_as_saved(book):
    """28 requests a day went to cheap-1 before: of 112 in two days, one half is the switch's."""
    spread(book, 1120, model=DEAR, input_tokens=900, output_tokens=100)
    spread(book, 784, model=CHEAP, input_tokens=900, output_tokens=100)
    saving = substitutions(book)[CHEAP]
    savings.decide(saving.pk, "accepted", reason="", by=None, now=NOW)
    later = NOW + timedelta(days=2)
    spread(book, 112, days=2, until=later, model=CHEAP, input_tokens=900, output_tokens=100)

    savings.refresh(book, now=later)

    saving.refresh_from_db()
    assert abs(saving.realised - 56 * Decimal("0.0126")) < Decimal("0.001")


def test_errors_that_ceased_are_measured_as_saved(book):
    """Half of 200 requests failed at $0.20; of 100 later ones none: ten dollars of waste less."""
    fields = {"model": DEAR, "input_tokens": 10_000, "output_tokens": 0}
    spread(book, 100, status=504, source="failing", **fields)
    spread(book, 100, **fields)
    [saving] = found(book, kind="errors")
    savings.decide(saving.pk, "done", reason="", by=None, now=NOW)
    later = NOW + timedelta(days=1)
    spread(book, 100, days=1, until=later, **fields)

    savings.refresh(book, now=later)

    saving.refresh_from_db()
    assert saving.realised == Decimal(10)


def test_another_accounts_traffic_is_not_looked_at(book, outsiders_workspace):
    spread(outsiders_workspace.account, 1120, model=DEAR)

    assert found(book, kind="substitution") == []
