"""Links to the explorer from everywhere else."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from usage.explorer.exploration import Values, changed, filter_parameters
from usage.reports.question import Question


def explorer_url(question: Question, **also: str | Iterable[str] | None) -> str:
    """Where the explorer answers this question.

    `also` are parameters beside it, or in place of its own: `account` and `workspace` (slugs, where
    the reader chose one), `columns` ("time", or one of the dimensions) and `chart`; `range` instead
    of its days.
    """
    found: Values = {
        "from": [question.start.isoformat()],
        "to": [question.end.isoformat()],
        "metrics": [",".join(question.metrics)],
        "group_by": [",".join(question.group_by)],
        "granularity": [] if question.granularity == "none" else [question.granularity],
        **filter_parameters(question.filters),
        "order": [",".join(question.order)],
        "limit": [str(question.limit)] if question.limit else [],
        "compare": [question.compare] if question.compare else [],
        "timezone": [question.time_zone] if question.time_zone else [],
    }
    parameters: dict[str, Any] = changed(found, also)
    given = {name: [v for v in values if v] for name, values in parameters.items()}
    query = urlencode({name: values for name, values in given.items() if values}, doseq=True)
    return f"{reverse('admin:explorer')}?{query}"
