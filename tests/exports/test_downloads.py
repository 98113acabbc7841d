import contextlib
import re
from datetime import UTC, date, datetime

import pytest
from django.db import OperationalError
from rest_framework.exceptions import Throttled

from accounts.access import Reach
from accounts.models import Account
from accounts.rates import downloads
from exports.downloads import Started, TookTooLong, file_name
from exports.formats import Csv, Json
from usage.reports.run import Column

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
    assert not downloads.number


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


def test_who_takes_it_too_slowly_gets_a_file_that_does_not_look_whole(settings):
    settings.DOWNLOAD_SECONDS = 0
    columns = [Column("a", "integer")]
    texts = []
    for one in (Csv(), Json()):
        started = Started(one.whole(columns, iter([one.row(columns, [1])] * 9)))
        with contextlib.closing(started):
            texts.append(taken_until(TookTooLong, started))

    assert texts[0].endswith(b"1\r\nINCOMPLETE,INCOMPLETE\r\n")
    assert b"]" not in texts[1]


def test_only_so_many_downloads_are_under_way_at_once(settings):
    settings.WEB_THREADS = 12
    with contextlib.ExitStack() as stack:
        for caller in (1, 1, 2):
            stack.enter_context(contextlib.closing(Started(iter_of(b"a"), caller=caller)))
        downloads.patience_seconds, patience = 0.0, downloads.patience_seconds
        try:
            for caller in (1, 3):
                with pytest.raises(Throttled):
                    Started(iter_of(b"a"), caller=caller)
        finally:
            downloads.patience_seconds = patience
    assert not downloads.number


def taken_until(end, started):
    taken = b""
    with contextlib.suppress(end):
        for piece in started:
            taken += piece
        raise AssertionError("it did not end")
    return taken


def iter_of(*pieces):
    yield from pieces
