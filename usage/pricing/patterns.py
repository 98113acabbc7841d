"""The patterns that priced models answer to: checked before they are kept, compiled with care.

They run wherever a name is seen for the first time while requests are recorded. So one that could
take for ever on a long name is refused, and one that does not compile answers to nothing instead
of stopping all pricing.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from math import prod
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Protocol

logger = logging.getLogger(__name__)

LONGEST_PATTERN = 2_000
LONGEST_NAME = 200
# So many ways to try a name take about a fifth of a second, once for each new name.
MOST_WAYS = (LONGEST_NAME + 2) ** 3
ANSWERS_TO_NOTHING = re.compile(r"(?!)")
REPEATS = frozenset({kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT})
LOOKS_AROUND = frozenset({kinds.ASSERT, kinds.ASSERT_NOT})


class BadPattern(ValueError):
    """A pattern that may not be kept; the message says why, and what to write instead."""


class Named(Protocol):
    pattern: str
    further_names: list[str]


def check(pattern: str) -> None:
    """Raises BadPattern."""
    if not pattern or len(pattern) > LONGEST_PATTERN:
        raise BadPattern(f"Write a pattern of 1 to {LONGEST_PATTERN:,} characters.")
    try:
        re.compile(pattern, re.IGNORECASE)
        tree = parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(f"This is not a regular expression: {error}.") from error
    if any(is_open(body) for body in repeated(tree)):
        raise BadPattern(
            "A repetition holds another repetition or alternatives, as in (a+)* or (a|b)*: some "
            "names would take for ever. Repeat single characters or classes, such as [a-z0-9-]*."
        )
    if ways(tree) > MOST_WAYS:
        raise BadPattern(
            "It has too many repetitions and alternatives in a row: there would be too many ways "
            "to try a name. Write out more of it, or its spellings one by one with | between them."
        )


def parts(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(kind, what is within) of each node that has other nodes within."""
    for kind, within in tree:
        if kind in REPEATS:
            yield kind, within
        elif kind is kinds.BRANCH:
            yield kind, within[1]
        elif kind is kinds.SUBPATTERN:
            yield kind, [within[3]]
        elif kind in LOOKS_AROUND:
            yield kind, [within[1]]
        elif kind is kinds.ATOMIC_GROUP:
            yield kind, [within]
        elif kind is kinds.GROUPREF_EXISTS:
            yield kind, [tree for tree in within[1:] if tree is not None]


def bodies(kind: Any, within: Any) -> Any:
    return [within[2]] if kind in REPEATS else within


def choices(kind: Any, within: Any) -> int:
    """How many lengths a repetition may have: 2 for `?`, 1 for `{8}`."""
    if kind not in REPEATS:
        return 1
    least, most, _ = within
    return min(int(most), LONGEST_NAME) - min(int(least), LONGEST_NAME) + 1


def repeated(tree: Any) -> Iterator[Any]:
    """What each repetition repeats, however deep it is."""
    for kind, within in parts(tree):
        for body in bodies(kind, within):
            if kind in REPEATS and within[1] > 1:
                yield body
            yield from repeated(body)


def is_open(tree: Any) -> bool:
    """Whether it can match in more than one way."""
    return any(
        kind is kinds.BRANCH
        or choices(kind, within) > 1
        or any(is_open(body) for body in bodies(kind, within))
        for kind, within in parts(tree)
    )


def ways(tree: Any) -> int:
    """In how many ways it may be tried on the longest name, at the very most."""
    number, looked = 1, 0
    for kind, within in parts(tree):
        inner = [ways(body) for body in bodies(kind, within)]
        if kind in LOOKS_AROUND:  # tried anew for each way of what stands before it, not after it
            looked += number * sum(inner)
        else:
            number *= sum(inner) if kind is kinds.BRANCH else choices(kind, within) * prod(inner)
    return number + looked


def exactly(names: Iterable[str]) -> str:
    """The pattern of just these names."""
    return f"^(?:{'|'.join(readably_escaped(name) for name in names)})$"


def suggested(name: str) -> str:
    """A pattern for one name, to begin with."""
    return f"^{readably_escaped(name.strip().lower())}$"


def readably_escaped(name: str) -> str:
    return re.escape(name).replace(r"\-", "-").replace(r"\ ", " ")


def names_of(model: Named) -> re.Pattern[str]:
    """What a priced model answers to."""
    pattern = model.pattern
    if model.further_names:
        pattern = f"{pattern}|{exactly(name.lower() for name in model.further_names)}"
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError):
        logger.exception("The pattern of %s does not compile; no request is priced by it", model)
        return ANSWERS_TO_NOTHING
