"""Copies in memory: made anew after a bump, and not before."""

from itertools import count

import pytest

from accounts.models import CacheVersion
from accounts.versions import CHECK_EVERY_SECONDS, Versioned, bump
from tests.factories import Clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def copy(clock: Clock) -> Versioned[int]:
    """A copy whose value says how often it was made."""
    made = count(1)
    return Versioned("numbers", lambda: next(made))


def test_a_copy_is_made_at_its_first_use(copy):
    assert copy.get() == 1


def test_a_copy_stays_without_a_bump(copy, clock):
    copy.get()
    clock.now += 1000

    assert copy.get() == 1


def test_a_bump_is_seen_within_the_time_and_not_before(copy, clock):
    copy.get()
    bump("numbers")

    clock.now += CHECK_EVERY_SECONDS - 0.01
    assert copy.get() == 1
    clock.now += 0.01
    assert copy.get() == 2
    assert copy.get() == 2


def test_a_bump_of_another_name_changes_nothing(copy, clock):
    copy.get()
    bump("letters")
    clock.now += 10

    assert copy.get() == 1


def test_a_forgotten_copy_is_made_anew_at_once(copy):
    copy.get()
    copy.forget()

    assert copy.get() == 2


def test_nothing_is_asked_between_two_checks(copy, django_assert_num_queries):
    copy.get()

    with django_assert_num_queries(0):
        copy.get()


def test_bumps_are_counted():
    for _ in range(3):
        bump("numbers")

    assert CacheVersion.objects.get(name="numbers").version == 3


def test_a_change_that_lands_while_the_copy_is_made_is_seen_next_time(clock):
    values = iter(["old", "new"])

    def load() -> str:
        value = next(values)
        if value == "old":
            bump("race")
        return value

    copy = Versioned("race", load)

    assert copy.get() == "old"
    clock.now += CHECK_EVERY_SECONDS
    assert copy.get() == "new"
