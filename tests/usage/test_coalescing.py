"""Calls made together: who waits, who gets which result, and whose error it is."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from usage.coalescing import Coalescer, Interrupted


class Unreachable(Exception):
    pass


class Acts:
    """What a coalescer acts through: it notes each call and lets it go when it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.error: Callable[[Sequence[int]], BaseException | None] = lambda items: None

    def __call__(self, key: str, items: Sequence[int]) -> list[int]:
        self.calls.append((key, list(items)))
        self.begun.release()
        assert self.may_end.acquire(timeout=10)
        if error := self.error(items):
            raise error
        return [item * 10 for item in items]


@pytest.fixture
def acts() -> Acts:
    return Acts()


@pytest.fixture
def together(acts: Acts) -> Coalescer[str, int, int]:
    return Coalescer(
        acts,
        weight=lambda item: item,
        most=10,
        is_everybodys=lambda error: isinstance(error, Unreachable),
    )


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def queue(together: Coalescer[str, int, int], pool: ThreadPoolExecutor, items: list[int]) -> list:
    """Calls that arrive one after the other while an earlier one is being made."""
    futures = []
    for number, item in enumerate(items, 1):
        futures.append(pool.submit(together, "a", item))
        while len(together.queues["a"]) < number:
            pass
    return futures


def test_an_idle_coalescer_acts_at_once(together, acts):
    acts.may_end.release()

    assert together("a", 3) == 30
    assert acts.calls == [("a", [3])]


def test_calls_that_arrive_meanwhile_are_made_together_in_their_order(together, acts, pool):
    first = pool.submit(together, "a", 1)
    acts.begun.acquire()
    others = queue(together, pool, [2, 3, 4])
    acts.may_end.release(2)

    assert [future.result(10) for future in (first, *others)] == [10, 20, 30, 40]
    assert acts.calls == [("a", [1]), ("a", [2, 3, 4])]


def test_no_more_are_made_together_than_weigh_the_most(together, acts, pool):
    first = pool.submit(together, "a", 1)
    acts.begun.acquire()
    others = queue(together, pool, [8, 2, 1, 99])
    acts.may_end.release(4)

    assert [future.result(10) for future in (first, *others)] == [10, 80, 20, 10, 990]
    assert acts.calls[1:] == [("a", [8, 2]), ("a", [1]), ("a", [99])]


def test_other_keys_do_not_wait(together, acts, pool):
    slow = pool.submit(together, "a", 1)
    acts.begun.acquire()
    quick = pool.submit(together, "b", 2)
    acts.begun.acquire()
    acts.may_end.release(2)

    assert (slow.result(10), quick.result(10)) == (10, 20)


def test_an_error_is_told_to_the_one_it_belongs_to(together, acts, pool):
    acts.error = lambda items: ValueError("three") if 3 in items else None
    first = pool.submit(together, "a", 1)
    acts.begun.acquire()
    others = queue(together, pool, [2, 3, 4])
    acts.may_end.release(5)

    assert [first.result(10), others[0].result(10), others[2].result(10)] == [10, 20, 40]
    with pytest.raises(ValueError, match="three"):
        others[1].result(10)


def test_an_error_that_is_everybodys_is_not_tried_again(together, acts, pool):
    acts.error = lambda items: Unreachable() if len(items) > 1 else None
    first = pool.submit(together, "a", 1)
    acts.begun.acquire()
    others = queue(together, pool, [2, 3])
    acts.may_end.release(2)

    assert first.result(10) == 10
    assert all(isinstance(future.exception(10), Unreachable) for future in others)
    assert len(acts.calls) == 2


def test_after_an_error_the_next_call_goes_on(together, acts):
    acts.error = lambda items: ValueError() if items == [1] else None
    acts.may_end.release(2)

    with pytest.raises(ValueError):  # noqa: PT011 (ours, just above)
        together("a", 1)
    assert together("a", 2) == 20
    assert (dict(together.queues), together.busy) == ({}, set())


def test_who_waits_for_one_that_is_told_to_end_hears_that_there_is_no_answer(together, acts, pool):
    acts.error = lambda items: SystemExit() if 2 in items else None
    first = pool.submit(together, "a", 1)
    acts.begun.acquire()
    others = queue(together, pool, [2, 3, 4])
    acts.may_end.release(2)

    assert first.result(10) == 10
    errors = [future.exception(10) for future in others]
    assert [type(error) for error in errors] == [SystemExit, Interrupted, Interrupted]
    assert (dict(together.queues), together.busy) == ({}, set())
