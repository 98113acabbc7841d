from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from usage import formatting

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        ("0", "$0.00"),
        ("0.0000000001", "$0.0000000001"),
        ("0.000034", "$0.000034"),
        ("0.0000346", "$0.0000346"),
        ("0.0034567", "$0.00346"),
        ("0.5", "$0.50"),
        ("0.99999", "$1.00"),
        ("1", "$1.00"),
        ("1234567.891", "$1,234,567.89"),
        ("-0.25", "-$0.25"),
    ],
)
def test_money_never_rounds_something_to_nothing(value, text):
    assert formatting.money(None if value is None else Decimal(value)) == text


def test_exact_money_has_every_stored_digit():
    assert formatting.exact_money(Decimal("1234.0311750001")) == "$1,234.0311750001"
    assert formatting.exact_money(Decimal("12.0000000000")) == "$12.00"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (0, "0"),
        (9_999, "9,999"),
        (12_345, "12.3K"),
        (123_456, "123K"),
        (4_567_890, "4.57M"),
        (1_200_000_000, "1.20B"),
        (5 * 10**12, "5.00T"),
    ],
)
def test_counts_in_short(value, text):
    assert formatting.compact(value) == text


def test_a_rate_that_is_not_nothing_never_reads_as_zero():
    assert formatting.percent(Decimal("0.0001")) == "< 0.1 %"
    assert formatting.percent(Decimal(0)) == "0.0 %"
    assert formatting.percent(Decimal("0.125")) == "12.5 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "less than a minute"), (60, "1 minute"), (7200, "2 hours"), (8 * 86_400, "8 days")],
)
def test_spans_are_told_in_their_largest_unit(seconds, text):
    assert formatting.span(NOW, NOW + timedelta(seconds=seconds)) == text


def test_durations():
    assert [formatting.duration(ms) for ms in (None, 999, 1500, 61_000)] == [
        "—",
        "999 ms",
        "1.50 s",
        "1 min 1 s",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [("12085.49", "$12,085"), ("-250.5", "-$251"), ("99.99", "$99.99"), ("0.034", "$0.034")],
)
def test_an_estimate_has_no_cents_where_they_say_nothing(value, text):
    assert formatting.estimate(Decimal(value)) == text
