"""What is usual and what is too much: arithmetic, without a database."""

import pytest

from usage.insight.seasons import Spent, baseline, excess_long, excess_now, rhythm_of

OFFICE = [0.0] * 8 + [10.0] * 10 + [0.0] * 6
WEEKEND = [0.0] * 24
NORMAL = {"spreads": 5.5, "least": 1.0}


def weeks(number, week=(*[OFFICE] * 5, *[WEEKEND] * 2)):
    """Hours from a Monday's midnight on."""
    return [value for _ in range(number) for day in week for value in day]


def found_in(history, *, request=0.1):
    """The baseline after a history whose requests cost so much each."""
    rhythm = rhythm_of([round(value / request) for value in history])
    return rhythm and baseline(history, rhythm, request=request)


def at(history, hour):
    """The baseline of an hour of the day after the history."""
    return found_in(history + (OFFICE * 7)[:hour])


def spent(amounts, *, request=0.1):
    return {minutes: Spent(amount, round(amount / request)) for minutes, amount in amounts.items()}


def test_nothing_is_judged_in_the_first_day():
    assert found_in([1.0] * 23) is None
    assert found_in([1.0] * 24) is not None
    assert found_in([0.0] * 400) is None


def test_the_same_hour_of_the_week_is_expected():
    assert at(weeks(4), 12).hours.this.expected == 10
    assert at(weeks(4), 3).hours.this.expected == 0
    assert found_in(weeks(4) + OFFICE * 5 + WEEKEND[:12]).hours.this.expected == 0


def test_one_odd_day_changes_nothing():
    odd = weeks(2) + [value * 50 for value in weeks(1)[:24]] + weeks(1)[24:] + weeks(1)

    assert at(odd, 12).hours.this == at(weeks(4), 12).hours.this


def test_from_the_second_day_on_the_hour_of_the_day_is_expected():
    assert at(OFFICE, 12).hours.this.expected == 10
    assert at(OFFICE, 3).hours.this.expected == 0


@pytest.mark.parametrize(("minutes", "amount"), [(5, 6), (15, 14), (60, 40)])
def test_a_burst_is_found_in_any_window(minutes, amount):
    [found] = excess_now(at(weeks(4), 12), spent({minutes: float(amount)}), minute=30, **NORMAL)

    assert found.minutes == minutes
    assert found.expected == pytest.approx(10 * minutes / 60)


def test_as_much_as_usual_is_none():
    amounts = {5: 10 / 12, 15: 2.5, 60: 10.0}
    assert excess_now(at(weeks(4), 12), spent(amounts), minute=30, **NORMAL) == []


def test_less_than_the_least_amount_is_none():
    small = [value / 1000 for value in weeks(4)]
    found = found_in(small + OFFICE[:12], request=0.0001)

    assert (
        excess_now(found, spent({5: 0.9, 15: 0.9, 60: 0.9}, request=0.0001), minute=30, **NORMAL)
        == []
    )


def test_a_usual_hour_at_an_unusual_time_is_none():
    """Somebody who works on a Saturday for once."""
    saturday = found_in(weeks(4) + OFFICE * 5 + WEEKEND[:12])

    assert excess_now(saturday, spent({60: 3.0}), minute=59, **NORMAL) == []
    assert excess_now(saturday, spent({60: 30.0}), minute=59, **NORMAL)


def test_coming_back_from_a_holiday_is_none():
    history = weeks(3) + WEEKEND * 7
    found = found_in(history + OFFICE[:12])

    assert excess_now(found, spent({5: 0.8, 60: 10.0}), minute=30, **NORMAL) == []


def test_twice_as_much_for_a_day_is_found_as_a_shift():
    history = weeks(4) + [value * 2.5 for value in OFFICE]

    [found] = excess_long(found_in(history), **NORMAL)

    assert (found.minutes, found.actual) == (24 * 60, 250)
    assert found.expected == pytest.approx(100)
    assert excess_long(found_in(weeks(4) + OFFICE), **NORMAL) == []


def test_a_few_large_requests_more_are_found_by_their_number():
    """Ten within ten minutes, where four an hour are usual: $5 in two would be no wonder."""
    found = found_in([2.0] * 4 * 168, request=0.5)

    [excess] = excess_now(found, {10: Spent(5.0, 10)}, minute=30, **NORMAL)

    assert excess.expected < excess.upper < excess.actual == 5
    assert excess_now(found, {10: Spent(5.0, 2)}, minute=30, **NORMAL) == []


def test_what_comes_in_fits_may_come_in_fits():
    fits = [20.0 if (hour * 7919) % 11 == 0 else 0.0 for hour in range(4 * 168)]
    found = found_in(fits, request=0.5)

    assert found.rhythm.clump > 10
    assert excess_now(found, {10: Spent(20.0, 40)}, minute=30, **NORMAL) == []
    assert excess_now(found, {10: Spent(200.0, 400)}, minute=30, **NORMAL)
