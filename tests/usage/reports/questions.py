"""Questions about all of an account, as tests ask them."""

from datetime import date
from typing import Any

from accounts.access import Reach
from accounts.models import Account, Workspace
from tests.factories import NOW
from tests.usage import traffic
from usage.reports.question import Question
from usage.reports.run import Report, ask


def question(account: Account, **fields: Any) -> Question:
    workspaces = (
        Workspace.objects.select_related("account").filter(account=account).order_by("name")
    )
    fields = {
        "start": date(2026, 1, 1),
        "end": date(2027, 1, 1),
        "metrics": traffic.METRICS,
    } | fields
    return Question(reach=Reach((account,), tuple(workspaces)), **fields)


def answer_to(account: Account, **fields: Any) -> Report:
    return ask(question(account, **fields), now=NOW)
