"""A question that PostgreSQL gave up, as one that cannot be asked so."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError

from accounts.errors import is_too_slow
from usage.reports.question import BadQuestion


class TooLong(BadQuestion):
    def __init__(self) -> None:
        super().__init__(
            "This takes too long to answer. Choose a shorter period, or fewer measures and "
            "dimensions: days by workspace, project, member, key, model, provider and endpoint "
            "come from sums, and percentiles by workspace, model and provider from counts."
        )


@contextmanager
def patience() -> Iterator[None]:
    """Raises TooLong where the server's time-out ends a statement."""
    try:
        yield
    except OperationalError as error:
        if is_too_slow(error):
            raise TooLong from error
        raise
