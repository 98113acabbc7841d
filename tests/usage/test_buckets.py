from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from config.spend_chart import labels
from usage.buckets import cut


def hours(day: date, zone: str):
    return cut(day, date.fromordinal(day.toordinal() + 1), "hour", ZoneInfo(zone))


@pytest.mark.parametrize(
    ("day", "zone", "number"),
    [
        (date(2026, 10, 25), "Europe/Berlin", 25),
        (date(2026, 3, 29), "Europe/Berlin", 23),
        (date(2026, 4, 5), "Australia/Lord_Howe", 25),
        (date(2026, 10, 4), "Australia/Lord_Howe", 24),
        (date(2026, 7, 1), "Asia/Kathmandu", 24),
    ],
)
def test_a_day_has_the_hours_that_its_clock_shows(day, zone, number):
    assert len(hours(day, zone)) == number


def test_hours_meet_even_where_clocks_change_by_half_an_hour():
    buckets = hours(date(2026, 10, 4), "Australia/Lord_Howe")

    assert [a.ends for a in buckets[:-1]] == [b.begins for b in buckets[1:]]
    # From 01:59 the clock goes to 02:30: that hour is half as long, and named by its own clock.
    short = buckets[2]
    assert short.begins == datetime(2026, 10, 3, 15, 30, tzinfo=UTC)
    assert short.key == datetime(2026, 10, 3, 15, tzinfo=UTC)
    assert labels(buckets, "hour", ZoneInfo("Australia/Lord_Howe"))[1:4] == [
        "01:00", "02:30", "03:00"
    ]  # fmt: skip


def test_weeks_and_months_are_cut_by_the_period():
    weeks = cut(date(2026, 11, 4), date(2026, 11, 17), "week", ZoneInfo("UTC"))

    assert [(w.key.day, w.begins.day, w.ends.day) for w in weeks] == [
        (2, 4, 9), (9, 9, 16), (16, 16, 17)
    ]  # fmt: skip


@pytest.mark.parametrize("day", ["2026-04-05", "2026-10-04"])
def test_postgresql_cuts_the_same_hours(db, day):
    from tests.factories import fetch

    zone = "Australia/Lord_Howe"
    buckets = hours(date.fromisoformat(day), zone)
    cut = fetch(
        "SELECT DISTINCT date_trunc('hour', m, %s) AS hour FROM generate_series(%s::timestamptz, "
        "%s::timestamptz - interval '1 minute', interval '1 minute') m ORDER BY hour",
        [zone, buckets[0].begins, buckets[-1].ends],
    )

    assert [bucket.key for bucket in buckets] == [row["hour"] for row in cut]
