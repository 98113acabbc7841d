"""A state of the database is kept for a download, and not for ever."""

import pytest
from django.db import OperationalError, connection

from exports.snapshot import snapshot
from tests.serving import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

MANY = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 50000)) TO STDOUT"


def is_at_work(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchone() is not None


def test_it_ends_in_the_middle_of_a_copy_that_nobody_takes():
    with pytest.raises(OperationalError):
        take_one_and_wait()


def take_one_and_wait():
    with snapshot(seconds=0.2) as frozen, frozen.cursor().copy(MANY) as copied:
        next(iter(copied))
        pid = frozen.server.info.backend_pid
        wait_until(lambda: not is_at_work(pid), 20)
        list(copied)


def test_whoever_is_done_in_time_notices_nothing():
    with snapshot(seconds=60) as frozen:
        assert frozen.cursor().execute("SELECT 7").fetchone() == (7,)
