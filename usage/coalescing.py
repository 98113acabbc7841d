"""Calls that arrive while one is being made are made together, as one.

A commit costs the same for one row and for a hundred, and callers that share a locked row only
queue for it. Nobody waits for company: an idle coalescer makes a call at once.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Interrupted(RuntimeError):
    """The call was broken off before it had an answer."""


class Waiting(Generic[Item, Result]):
    """One caller's item, and what becomes of it."""

    __slots__ = ("error", "is_answered", "item", "leads", "result", "woken")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None
        self.error: Exception | None = None
        self.is_answered = False
        self.leads = False
        self.woken = threading.Lock()  # the cheapest way to sleep until somebody wakes us
        self.woken.acquire()


class Coalescer(Generic[Key, Item, Result]):
    """Makes `act(key, items)`, which returns a result for each item, for one key at a time.

    Items of a key are taken in the order they came, as many as weigh no more than `most` together.
    An error of a shared call is nobody's in particular: each of its items is then tried alone,
    unless `is_everybodys` says that trying again is in vain.
    """

    def __init__(
        self,
        act: Callable[[Key, Sequence[Item]], Sequence[Result]],
        *,
        weight: Callable[[Item], int],
        most: int,
        is_everybodys: Callable[[Exception], bool],
    ) -> None:
        self.act = act
        self.weight = weight
        self.most = most
        self.is_everybodys = is_everybodys
        self.lock = threading.Lock()
        self.queues: dict[Key, list[Waiting[Item, Result]]] = defaultdict(list)
        self.busy: set[Key] = set()

    def __call__(self, key: Key, item: Item) -> Result:
        """Raises whatever `act` raises for this item."""
        mine: Waiting[Item, Result] = Waiting(item)
        with self.lock:
            self.queues[key].append(mine)
            mine.leads = key not in self.busy
            self.busy.add(key)
        if not mine.leads:
            mine.woken.acquire()
        if mine.leads:
            self.lead(key)
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]

    def lead(self, key: Key) -> None:
        """Act for those who wait, of whom the leader is the first, and hand the lead on."""
        with self.lock:
            together = self.take(self.queues[key])
        try:
            self.settle(key, together)
        finally:
            with self.lock:
                waiting = self.queues[key]
                if waiting:
                    waiting[0].leads = True
                    together.append(waiting[0])
                else:
                    self.busy.discard(key)
                    del self.queues[key]
            for one in together[1:]:
                # The leader was told to end: nobody takes nothing for an answer, or ends with it.
                if not (one.is_answered or one.leads):
                    one.error = Interrupted("the call was broken off; make it again")
                one.woken.release()

    def take(self, waiting: list[Waiting[Item, Result]]) -> list[Waiting[Item, Result]]:
        number, weight = 1, self.weight(waiting[0].item)
        while number < len(waiting) and (weight := weight + self.weight(waiting[number].item)) <= (
            self.most
        ):
            number += 1
        taken = waiting[:number]
        del waiting[:number]
        return taken

    def settle(self, key: Key, together: Sequence[Waiting[Item, Result]]) -> None:
        try:
            results = self.act(key, [one.item for one in together])
        except Exception as error:
            if len(together) > 1 and not self.is_everybodys(error):
                for one in together:
                    self.settle(key, [one])
                return
            for one in together:
                one.error, one.is_answered = error, True
        else:
            for one, result in zip(together, results, strict=True):
                one.result, one.is_answered = result, True
