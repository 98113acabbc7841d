"""The same requests at once, from several writers: one row each, and nobody waits for ever."""

import random
from collections import Counter
from functools import partial
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Account, Scope
from tests import serving
from tests.books import assert_books_balance
from tests.factories import NOW, bearer, count, fetch, make_account, native, post, small_price_book
from tests.faults.gateway import Gateway, in_threads
from usage.ingest.quarantine import Rejected
from usage.ingest.receive import Call, store
from usage.ingest.schema import RowError
from usage.models import QuarantinedRow

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 3
# Two days with a partition, one without, and none at all.
TIMES = ["2026-11-19T12:00:00Z", "2026-11-20T12:00:00Z", "2021-01-01T00:00:00Z", None]


@pytest.fixture
def acme() -> Account:
    small_price_book()
    return make_account()


def closing(act: Any) -> Any:
    try:
        return act()
    finally:
        connection.close()


def at_once(*acts: Any) -> list[Any]:
    return in_threads([partial(closing, act) for act in acts])


def test_the_same_request_with_other_times_is_stored_in_one_partition_only(acme):
    for n in range(10):
        row = native(request_id=f"r{n}")
        answers = at_once(*(partial(post, acme, row | {"occurred_at": at}) for at in TIMES))

        assert sorted(answer.accepted for answer in answers) == [0, 0, 0, 1]

    assert count("usage_requestlog") == count("usage_requestkey") == 10
    assert_books_balance()


@pytest.mark.parametrize("first", TIMES)
@pytest.mark.parametrize("second", TIMES)
def test_a_time_that_is_left_out_or_differs_makes_no_other_request(acme, first, second):
    row = native(request_id="one")
    post(acme, row | {"occurred_at": first})

    assert post(acme, row | {"occurred_at": second}).duplicates == 1
    assert count("usage_requestlog") == 1


def test_a_request_sent_again_while_the_first_is_in_flight_is_known(acme):
    post(acme, native(request_id="other"))
    row = native(request_id="one")
    stored, answers = Event(), []

    def first() -> None:
        with transaction.atomic():
            answers.append(("first", post(acme, row).accepted))
            stored.set()
            wait_for_a_waiting_writer()

    def again() -> None:
        stored.wait(30)
        answers.append(("again", post(acme, row).accepted))

    at_once(first, again)

    assert answers == [("first", 1), ("again", 0)]
    assert count("usage_requestlog") == 2


def wait_for_a_waiting_writer() -> None:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
    serving.wait_until(lambda: bool(fetch(waiting)), 30)


def test_a_call_with_an_id_many_times_beside_another_with_the_same_ids(acme):
    ids = [f"r{n}" for n in range(20)]

    def write(seed: int) -> tuple[int, int]:
        rng = random.Random(seed)
        answer = post(acme, *(native(request_id=rng.choice(ids)) for _ in range(200)))
        return answer.accepted, answer.duplicates

    answers = at_once(*(partial(write, seed) for seed in range(WRITERS)))

    assert sum(accepted for accepted, _ in answers) == count("usage_requestlog")
    assert sum(accepted + duplicates for accepted, duplicates in answers) == WRITERS * 200
    assert count("usage_requestlog") == len(ids)
    assert_books_balance()


@pytest.fixture
def two_servers(transactional_db: None):
    """Two processes: what one of them does together the other knows nothing of."""
    with serving.web(WEB_WORKERS="2", WEB_THREADS="4") as server:
        yield server


def token_of(account: Account) -> str:
    return bearer(account, Scope.INGEST)["authorization"].removeprefix("Bearer ")


@pytest.mark.slow
def test_writers_that_send_the_same_batches_in_other_orders_store_each_row_once(acme, two_servers):
    token = token_of(acme)
    batches = [[native(request_id=f"b{n}-{i}") for i in range(200)] for n in range(12)]

    def write(seed: int) -> Counter[str]:
        rng, sums = random.Random(seed), Counter[str]()
        gateway = Gateway(two_servers.url, token)
        for batch in rng.sample(batches, len(batches)):
            answer = gateway.post("requests/", rng.sample(batch, len(batch)))
            sums.update(accepted=answer["accepted"], duplicates=answer["duplicates"])
        return sums

    sums = sum(in_threads([partial(write, seed) for seed in range(2 * WRITERS)]), Counter[str]())

    assert sums == {"accepted": 2400, "duplicates": (2 * WRITERS - 1) * 2400}
    assert count("usage_requestlog") == count("usage_requestkey") == 2400
    assert_books_balance()


@pytest.mark.slow
def test_writers_that_send_the_same_rows_one_by_one_store_each_once(acme, two_servers):
    """Calls that are recorded together in one process meet those of the other."""
    token = token_of(acme)
    rows: list[Any] = [native(request_id=f"r{n}") for n in range(60)]
    rows += [{"request_id": f"bad-{n}"} for n in range(60)]

    def write(seed: int) -> tuple[int, int]:
        gateway = Gateway(two_servers.url, token)
        answers = [gateway.post("requests/", row) for row in random.Random(seed).sample(rows, 120)]
        return sum(a["accepted"] for a in answers), sum(len(a["rejected"]) for a in answers)

    answers = in_threads([partial(write, seed) for seed in range(8)])

    assert sum(accepted for accepted, _ in answers) == count("usage_requestlog") == 60
    assert {rejected for _, rejected in answers} == {60}
    assert set(QuarantinedRow.objects.values_list("times_sent", flat=True)) == {8}
    assert_books_balance()


def test_calls_that_are_stored_together_set_bad_rows_aside_in_one_order(acme):
    error = RowError("model", "x")
    bad = [Rejected(0, f"bad-{n}", error, f'"{n}"'.encode()) for n in range(60)]

    def writes(seed: int) -> None:
        for round in range(10):
            rows = random.Random(seed * 100 + round).sample(bad, len(bad))
            store(acme.pk, [Call([], [row], "native", None, NOW) for row in rows])

    at_once(*[partial(writes, seed) for seed in range(WRITERS)])

    assert set(QuarantinedRow.objects.values_list("times_sent", flat=True)) == {10 * WRITERS}
