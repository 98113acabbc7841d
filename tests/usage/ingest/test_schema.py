"""What a native row may be, and what is said about one that may not."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.factories import NOW, native
from usage.ingest.schema import RowError, check, decode_with, milliseconds, moment
from usage.ingest.sources import NATIVE


def error_of(raw: bytes) -> tuple[str, str]:
    with pytest.raises(RowError) as caught:
        check(decode_with(NATIVE.decode, raw), now=NOW)
    return caught.value.field, caught.value.message


def error_with(**fields) -> tuple[str, str]:
    return error_of(json.dumps(native(**fields)).encode())


def accepted(**fields) -> datetime:
    return check(decode_with(NATIVE.decode, json.dumps(native(**fields)).encode()), now=NOW)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"tokens": 5}, "tokens", "There is no field 'tokens'. Put what has no field into tags."),
        ({"model": None}, "model", "Expected `str`, got `null`."),
        ({"model": ""}, "model", "Expected `str` of length >= 1."),
        ({"model": "m" * 201}, "model", "Expected `str` of length <= 200."),
        ({"input_tokens": -1}, "input_tokens", "Expected `int` >= 0."),
        ({"input_tokens": 2_000_000_001}, "input_tokens", "Expected `int` <= 2000000000."),
        ({"input_tokens": 10**30}, "input_tokens", "<= 2000000000"),
        ({"output_tokens": "many"}, "output_tokens", "Expected `int | null`, got `str`."),
        ({"output_tokens": 1.5}, "output_tokens", "Expected `int | null`, got `float`."),
        ({"cache_read_tokens": 1001}, "input_tokens", "(1001) are parts of input_tokens (1000)"),
        ({"cache_write_tokens": 600, "cache_write_1h_tokens": 401}, "input_tokens", "(1001)"),
        ({"reasoning_tokens": 101}, "output_tokens", "a part of output_tokens (100)"),
        ({"status": 99}, "status", ">= 100"),
        ({"status": 600}, "status", "<= 599"),
        ({"meters": {"tokens": 1}}, "meters", "There is no meter 'tokens'. Meters: audio_second,"),
        ({"meters": {"request": 1}}, "meters", "There is no meter 'request'."),
        ({"meters": {"image": -1}}, "meters[...]", ">= 0"),
        ({"cost": -0.01}, "cost", "US dollars"),
        ({"cost": "NaN"}, "cost", "US dollars"),
        ({"cost": "Infinity"}, "cost", "US dollars"),
        ({"cost": "1e999999"}, "cost", "US dollars"),
        ({"cost": 10**8}, "cost", "US dollars"),
        ({"occurred_at": "yesterday"}, "occurred_at", "Invalid RFC3339 encoded datetime."),
        ({"occurred_at": "2026-11-20T12:00:00"}, "occurred_at", "timezone"),
        ({"occurred_at": 1_795_000_000_000}, "occurred_at", "are these milliseconds?"),
        ({"occurred_at": -1}, "occurred_at", "not in unix seconds"),
        ({"occurred_at": "2014-12-31T23:59:59Z"}, "occurred_at", "before 2015"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "occurred_at", "before 2015"),
        ({"occurred_at": "9999-12-31T23:59:59-23:59"}, "occurred_at", "in the future"),
        ({"tags": {"a": "x" * 8000}}, "tags", "8,000 characters"),
        ({"hold_id": "h"}, "hold_id", "UUID"),
        ({"project": "a\x00b"}, "", "NUL"),
        ({"tags": {"a\x00": 1}}, "", "NUL"),
        ({"x" * 10_000: 1}, "x" * 200, "There is no field 'xxx"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_cannot_be_recorded_is_said_with_its_field(fields, field, said):
    where, message = error_with(**fields)

    assert where == field
    assert said in message


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"7", "Expected `object`, got `int`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"request_id": ', "truncated"),
        (b'{"request_id": "\\ud800", "model": "m"}', "malformed"),
        (b'{"request_id": "\xff", "model": "m"}', "codec"),
        (b'{"request_id": "a", "model": "m", "tags": {"a": ' + b"[" * 5000, "recursion"),
        (b'{"request_id": "a", "model": "m", "tags": {"a": ' + b"9" * 5000 + b"}}", "out of range"),
        (b'{"request_id": "a", "model": "m", "tags": {"a": 1e400}}', "out of range"),
        (b'{"request_id": "a", "model": "m", "\\u0000": 1}', "There is no field '\ufffd'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_row_that_cannot_be_read_is_an_error_of_its_own(raw, said):
    assert said in error_of(raw)[1]


@pytest.mark.parametrize("missing", ["request_id", "model"])
def test_what_is_missing_is_said_by_name(missing):
    row = native()
    del row[missing]

    assert error_of(json.dumps(row).encode()) == (missing, f"{missing!r} is required.")


@pytest.mark.parametrize("opening", [b'{"a":', b"["])
def test_tags_may_be_nested_but_not_without_end(opening):
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    for depth in (51, 60, 200, 600):
        nested = opening * depth + b"1" + closing * depth
        raw = b'{"request_id": "a", "model": "m", "tags": {"t": ' + nested + b"}}"
        assert error_of(raw)[0] == "tags"


def test_a_backslash_before_u0000_is_no_nul():
    assert accepted(tags={"code": "\\u0000", "more": "\\\\u0000"}) == NOW


@pytest.mark.parametrize(
    ("sent", "when"),
    [
        ("2026-11-20T12:00:00Z", NOW),
        ("2026-11-20T17:30:00+05:30", NOW),
        (NOW.timestamp(), NOW),
        (int(NOW.timestamp()), NOW),
        (None, NOW),
        ("2015-01-01T00:00:00Z", datetime(2015, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_moment_or_unix_seconds_or_now(sent, when):
    assert accepted(occurred_at=sent) == when


def test_an_offset_that_the_database_does_not_know_is_a_moment_too():
    assert accepted(occurred_at="2026-11-21T08:00:00+20:00").isoformat() == NOW.isoformat()


def test_clocks_may_be_a_day_ahead():
    assert moment(NOW + timedelta(days=1), now=NOW) == NOW + timedelta(days=1)
    with pytest.raises(RowError):
        moment(NOW + timedelta(days=1, microseconds=1), now=NOW)


@pytest.mark.parametrize("cost", ["1e-999999999", "0e999999999", "-0", "99999999.9999999999"])
def test_strange_costs_that_are_costs_are_accepted(cost):
    assert accepted(cost=cost) == NOW


def test_a_claim_may_be_a_number_or_a_string():
    row = decode_with(NATIVE.decode, json.dumps(native(cost="0.1")).encode())
    same = decode_with(NATIVE.decode, json.dumps(native(cost=0.1)).encode())

    assert row.cost == same.cost == Decimal("0.1")


@pytest.mark.parametrize(
    ("value", "rounded"), [(None, None), (0, 0), (1.4, 1), (2_000_000_000, 2_000_000_000)]
)
def test_times_are_whole_milliseconds(value, rounded):
    assert milliseconds("latency_ms", value) == rounded


@pytest.mark.parametrize("value", [-0.1, 2_000_000_000.5])
def test_a_time_that_is_none_names_its_field(value):
    with pytest.raises(RowError) as caught:
        milliseconds("time_to_first_token_ms", value)

    assert caught.value.field == "time_to_first_token_ms"
