"""What the log does not have any more of a period that is asked about."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, Max, Min, Sum

from usage.models import GoneDay
from usage.reports.question import Question


@dataclass(frozen=True, slots=True)
class Gone:
    """How many requests, of which local days; false where there are none."""

    requests: int
    days: int
    first: date | None
    last: date | None

    def __bool__(self) -> bool:
        return self.requests > 0

    def __str__(self) -> str:
        span = f"{self.first}" if self.days == 1 else f"{self.first} to {self.last}"
        return f"{self.requests:,} requests of {span} are not in the log any more"


def gone_within(question: Question) -> Gone:
    """Of the question's workspaces; of a period of moments all days that it touches."""
    found = GoneDay.objects.within(
        question.reach.workspace_ids, *days_around(question.since, question.end)
    ).aggregate(
        requests=Sum("requests", default=0),
        days=Count("day", distinct=True),
        first=Min("day"),
        last=Max("day"),
    )
    return Gone(**found)


def days_around(start: date | datetime, end: date | datetime) -> tuple[date, date]:
    """Days of whichever zone that moments may be in; days are themselves."""
    if isinstance(start, datetime) and isinstance(end, datetime):
        return earlier(start.date()), later(end.date())
    return start, end


def later(day: date) -> date:
    return day + timedelta(2) if day < date.max - timedelta(1) else date.max


def earlier(day: date) -> date:
    return day - timedelta(1) if day > date.min else day
