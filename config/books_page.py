"""The page on the books: what the last check found, the checks before it, and "Check now".

Platform staff see everything, owners and accountants the lines of their accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from accounts.access import Right
from accounts.models import User
from accounts.scoped_admin import whole_accounts
from config import books
from config.models import BooksCheck
from usage import formatting

RIGHT = Right.EDIT_PRICES_AND_CLIENTS
SHOWN_RUNS = 20
SHOWN_LINES = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A check as one reader sees it."""

    check: BooksCheck
    lines: list[dict[str, Any]]
    difference_count: int
    in_full: bool

    @property
    def state(self) -> str:
        """Balanced is what the reader's accounts are, whatever the others."""
        state = self.check.state
        if state == BooksCheck.State.UNBALANCED and not self.difference_count:
            return BooksCheck.State.BALANCED
        return state

    @property
    def label(self) -> str:
        return str(BooksCheck.State(self.state).label).lower()

    @property
    def tone(self) -> str:
        return {"balanced": "good", "unbalanced": "bad", "failed": "warn"}.get(self.state, "")

    @property
    def took(self) -> str:
        if not (self.check.started_at and self.check.finished_at):
            return formatting.UNKNOWN
        length = self.check.finished_at - self.check.started_at
        return formatting.duration(int(length / timedelta(milliseconds=1)))

    @property
    def summary(self) -> str:
        if not (self.in_full and self.check.compared):
            return ""
        return books.summary(self.check.accounts, self.check.compared)


def may_see(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser) or bool(
        whole_accounts(request, RIGHT)
    )


def account_ids_of(request: HttpRequest) -> list[int] | None:
    """The accounts whose lines the reader sees; None: all. Raises PermissionDenied."""
    if not may_see(request):
        raise PermissionDenied
    return None if request.user.is_superuser else sorted(whole_accounts(request, RIGHT))


def page(request: HttpRequest) -> HttpResponse:
    account_ids = account_ids_of(request)
    runs = visible_runs(account_ids)
    shown = [as_seen(run, account_ids) for run in runs]
    latest = next((one for one in shown if one.check.has_result), None)
    context = {
        **admin.site.each_context(request),
        "title": "Books",
        "latest": latest,
        "lines": [with_link(line) for line in latest.lines[:SHOWN_LINES]] if latest else [],
        "at_work": next((one for one in shown if one.check.is_at_work), None),
        "runs": shown,
        "zone": UTC,
    }
    return TemplateResponse(request, "config/books.html", context)


def check_now(request: HttpRequest) -> HttpResponse:
    account_ids = account_ids_of(request)
    if request.method == "POST":
        user = cast(User, request.user)
        if books.ask(by=user, account_ids=account_ids, now=timezone.now()) is None:
            messages.info(request, "A check is under way already.")
    return HttpResponseRedirect(reverse("admin:books"))


def visible_runs(account_ids: Sequence[int] | None) -> list[BooksCheck]:
    runs = BooksCheck.objects.select_related("requested_by")
    if account_ids is None:
        return list(runs[:SHOWN_RUNS])
    return [run for run in runs[: books.KEPT_RUNS] if run.covers(account_ids)][:SHOWN_RUNS]


def as_seen(run: BooksCheck, account_ids: Sequence[int] | None) -> Shown:
    if account_ids is None:
        return Shown(run, run.differences, run.difference_count, in_full=True)
    own = [line for line in run.differences if line["account_id"] in account_ids]
    in_full = run.account_ids is not None and set(run.account_ids) <= set(account_ids)
    return Shown(run, own, len(own), in_full=in_full)


def with_link(line: dict[str, Any]) -> dict[str, Any]:
    return line | {"link": link_of(line)}


def link_of(line: dict[str, Any]) -> str:
    """The budget, or the requests of that workspace and day."""
    if line["subject_id"]:
        return reverse("admin:budgets_budget_change", args=[line["subject_id"]])
    if not (line["day"] and line["workspace"]):
        return ""
    day = date.fromisoformat(line["day"])
    query = {
        "account": line["account"],
        "workspace": line["workspace"],
        "from": day.isoformat(),
        "to": (day + timedelta(1)).isoformat(),
    }
    return f"{reverse('admin:request_log')}?{urlencode(query)}"
