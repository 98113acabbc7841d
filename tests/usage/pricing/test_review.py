"""Drafts become prices: what each would change, what approval ends, and what stays a draft."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from accounts.models import CacheVersion
from tests.factories import NOW, SINCE_EVER, make_account, make_price, save_prices
from usage.models import Price
from usage.pricing import review
from usage.pricing.ratecard import PRICES_VERSION, compile_rate_card
from usage.pricing.review import changes_of, decide

DRAFT, APPROVED, DISCARDED = Price.Status
DAY = timedelta(days=1)
TODAY = datetime(2026, 11, 20, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def draft(unit_price: str, meter: str = "input", **more: object) -> Price:
    return make_price(meter, unit_price, status=DRAFT, **more)


def approve(**more: bool) -> review.Decision:
    ids = Price.objects.drafts().values_list("pk", flat=True)
    return review.approve(ids, now=NOW, **more)


def book() -> list[tuple[Decimal, str, datetime, datetime | None]]:
    """Every price: what, whether it counts, from when to when."""
    rows = Price.objects.order_by("valid_from", "unit_price")
    return list(rows.values_list("unit_price", "status", "valid_from", "valid_to"))


def test_a_later_price_ends_the_one_before_it():
    save_prices(make_price("input", "2"), draft("3", valid_from=NOW))

    approve()

    assert book() == [(2, APPROVED, SINCE_EVER, NOW), (3, APPROVED, NOW, None)]


def test_a_price_that_is_approved_for_the_past_ends_when_the_next_begins():
    save_prices(make_price("input", "3", valid_from=NOW), draft("2"))

    approve()

    assert book() == [(2, APPROVED, SINCE_EVER, NOW), (3, APPROVED, NOW, None)]


def test_a_promotion_ends_nothing():
    save_prices(make_price("input", "2"), draft("1", valid_from=NOW, valid_to=NOW + DAY))

    approve()

    assert book() == [(2, APPROVED, SINCE_EVER, None), (1, APPROVED, NOW, NOW + DAY)]


def test_prices_for_something_else_are_left_alone():
    acme = make_account("acme")
    others = [
        make_price("output", "8"),
        make_price("input", "1", service_tier="batch"),
        make_price("input", "4", from_input_tokens=200_000),
        make_price("input", "1", account=acme),
        make_price("input", "1", model="gpt-5"),
    ]
    save_prices(*others, draft("3", valid_from=NOW))

    approve()

    assert Price.objects.exclude(valid_to=None).count() == 0


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])))
def test_ending_changes_no_bill(order):
    """Before and after, each moment has the price of the newest that holds then."""
    rows = [
        make_price("input", "2"),
        make_price("input", "1", valid_from=NOW, valid_to=NOW + 2 * DAY),
        make_price("input", "3", valid_from=NOW + DAY, valid_to=NOW + 4 * DAY),
        make_price("input", "4", valid_from=NOW + 3 * DAY),
    ]
    moments = [NOW + timedelta(hours=hours) for hours in range(-24, 140, 6)]
    open_ended = [costs(rows, moment) for moment in moments]
    for price in rows[1:]:
        price.status = DRAFT
    save_prices(*rows)

    for index in order:
        review.approve([rows[1:][index].pk], now=SINCE_EVER)

    assert [costs(Price.objects.all(), moment) for moment in moments] == open_ended
    assert costs(Price.objects.all(), NOW + 9 * DAY) == 4_000_000


def costs(prices, moment):
    lines = compile_rate_card(prices).bill(
        {"input": 1_000_000},
        provider="openai",
        model="gpt-4o",
        account_id=1,
        service_tier=None,
        moment=moment,
    )
    return lines[0].atto // 10**12


def test_a_draft_that_begins_with_an_approved_price_stays_a_draft():
    save_prices(make_price("input", "2"), draft("3"))

    decision = approve()

    assert [price.unit_price for price in decision.clashing] == [3]
    assert [status for _, status, *_ in book()] == [APPROVED, DRAFT]


def test_it_may_begin_today_instead():
    save_prices(make_price("input", "2"), draft("3"))

    approve(from_today=True)

    assert book() == [(2, APPROVED, SINCE_EVER, TODAY), (3, APPROVED, TODAY, None)]


def test_it_begins_at_this_moment_where_today_is_taken_too():
    save_prices(make_price("input", "2", valid_from=TODAY), draft("3", valid_from=TODAY))

    approve(from_today=True)

    assert book() == [(2, APPROVED, TODAY, NOW), (3, APPROVED, NOW, None)]


def test_an_approved_price_that_has_not_begun_is_withdrawn():
    save_prices(make_price("input", "2", valid_from=NOW + DAY), draft("3", valid_from=NOW + DAY))

    decision = approve()

    assert [price.unit_price for price in decision.withdrawn] == [2]
    assert book() == [(2, DISCARDED, NOW + DAY, None), (3, APPROVED, NOW + DAY, None)]


def test_of_two_drafts_that_begin_together_one_counts():
    save_prices(draft("2", valid_from=NOW + DAY), draft("3", valid_from=NOW + DAY))

    decision = approve()

    assert (len(decision.approved), len(decision.clashing)) == (1, 1)
    assert Price.objects.approved().count() == 1


def test_a_draft_that_says_what_is_approved_is_dropped():
    save_prices(make_price("input", "2"), draft("0.002", per=1000))

    decision = approve()

    assert len(decision.repeated) == 1
    assert book() == [(2, APPROVED, SINCE_EVER, None)]


def test_a_draft_of_the_same_price_with_an_end_ends_it():
    save_prices(make_price("input", "2"), draft("2", valid_to=NOW))

    approve()

    assert book() == [(2, APPROVED, SINCE_EVER, NOW)]


def test_every_process_hears_of_an_approval():
    save_prices(draft("2"))

    approve()

    assert CacheVersion.objects.get(name=PRICES_VERSION).version == 1


def test_what_was_discarded_is_not_approved():
    save_prices(draft("2"))
    ids = list(Price.objects.values_list("pk", flat=True))
    review.discard(ids)

    review.approve(ids, now=NOW)

    assert book() == [(2, DISCARDED, SINCE_EVER, None)]


def test_a_price_is_ended_now_and_not_before_it_began():
    save_prices(make_price("input", "2"), make_price("output", "3", valid_from=NOW + DAY))

    review.end(Price.objects.values_list("pk", flat=True), now=NOW)

    assert [row[3] for row in book()] == [NOW, None]


def test_deciding_sets_ends_without_a_database(django_assert_num_queries):
    old, new = make_price("input", "2", id=1), draft("3", id=2, valid_from=NOW)
    with django_assert_num_queries(0):
        decision = decide([new], [old], now=NOW, from_today=False)

    assert (decision.approved, list(decision.rescheduled)) == ([new], [1])


def test_a_draft_is_shown_beside_what_holds_when_it_begins():
    save_prices(
        make_price("input", "1"),
        make_price("input", "2", valid_from=NOW - DAY),
        make_price("input", "4", valid_from=NOW + DAY),
        draft("3", valid_from=NOW),
    )

    [change] = changes_of(Price.objects.drafts(), now=NOW)

    assert (change.before.unit_price, change.kind, change.ratio) == (2, "dearer", Decimal("0.5"))


@pytest.mark.parametrize(
    ("old", "new", "kind", "ratio"),
    [
        ("2", "1", "cheaper", Decimal("-0.5")),
        ("0", "1", "dearer", None),
        ("1", "0", "cheaper", Decimal(-1)),
        ("2", "2", "same", Decimal(0)),
    ],
)
def test_kinds_of_change(old, new, kind, ratio):
    save_prices(make_price("input", old), draft(new, valid_from=NOW))

    [change] = changes_of(Price.objects.drafts(), now=NOW)

    assert (change.kind, change.ratio) == (kind, ratio)


def test_a_contract_rate_is_shown_beside_the_list_price():
    save_prices(
        make_price("input", "2"), draft("1", account=make_account("acme")), draft("9", "output")
    )

    contract, listed = changes_of(Price.objects.drafts().order_by("meter"), now=NOW)

    assert (contract.undercuts_list, contract.before.unit_price) == (True, 2)
    assert (listed.kind, listed.before) == ("new", None)


@pytest.mark.parametrize(("start", "clashes"), [(SINCE_EVER, True), (NOW + DAY, False)])
def test_only_a_price_that_has_begun_is_in_the_way(start, clashes):
    save_prices(make_price("input", "2", valid_from=start), draft("3", valid_from=start))

    [change] = changes_of(Price.objects.drafts(), now=NOW)

    assert change.is_clashing is clashes
    assert bool(approve().clashing) is clashes
