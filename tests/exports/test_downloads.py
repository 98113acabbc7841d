import re
from datetime import UTC, date, datetime

import pytest
from django.db import OperationalError

from accounts.access import Reach
from accounts.models import Account
from exports.downloads import Started, file_name

ACME = Reach((Account(slug="acme", time_zone="America/New_York"),), ())


def test_a_file_is_named_by_its_days_both_included():
    name = file_name("requests", ACME, date(2026, 10, 24), date(2026, 11, 23), "csv")

    assert name == "tokenbook-acme-requests-2026-10-24-to-2026-11-22.csv"


def test_moments_are_named_by_the_accounts_days():
    midnights = [datetime(2026, 11, day, 5, tzinfo=UTC) for day in (1, 2)]

    assert file_name("usage", ACME, *midnights, "json") == (
        "tokenbook-acme-usage-2026-11-01-to-2026-11-01.json"
    )


def test_what_has_no_end_is_named_without_one():
    assert file_name("requests", ACME, None, None, "csv") == "tokenbook-acme-requests.csv"


@pytest.mark.parametrize("slug", ['a"b', "a/../b", "a\r\nb"])
def test_a_name_is_safe_in_a_header(slug):
    name = file_name("usage", Reach((Account(slug=slug),), ()), None, None, "csv")

    assert re.fullmatch(r"tokenbook-a-[.b-]+-usage\.csv", name)


def test_what_fails_at_once_fails_before_the_headers():
    def failing():
        raise OperationalError
        yield b""

    with pytest.raises(OperationalError):
        Started(failing())


def test_all_pieces_come_and_closing_closes_their_source():
    closed = []

    def pieces():
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    started = Started(pieces())
    assert list(started) == [b"a", b"b"]
    started.close()
    assert closed == [True]
