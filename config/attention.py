"""What needs a person: spikes, models without a price, rows set aside, mails not delivered."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, QuerySet, Value
from django.urls import reverse

from budgets.models import Delivery
from budgets.standing import Standing
from config.models import BooksCheck
from config.unfold import address
from config.view import View
from exports.models import RetentionRun, SentFile
from usage import formatting
from usage.ingest.quarantine import MOST_WAITING
from usage.insight.availability_page import providers_of
from usage.models import Anomaly, ProviderState, QuarantinedRow
from usage.reports.question import Question
from usage.reports.run import Report

SHOWN_MODELS = 3
FAILED_DAYS = 7
BOOKS_DAYS = 2
SHOWN_RUNS = 20
LONGEST_NAME = 40
WAITING, FAILED, SPIKES, DOWN = "waiting", "failed", "spikes", "down"
UNSENT, ARCHIVE = "unsent", "archive"


@dataclass(frozen=True, slots=True)
class Item:
    icon: str
    title: str
    detail: str
    link: str


def items(
    view: View,
    *,
    unpriced: Report | None,
    quarantine: QuerySet[QuarantinedRow],
    budgets: list[Standing],
    whose_books: Collection[int],
) -> list[Item]:
    """All of it, what costs money first."""
    waiting = waiting_rows(view, quarantine)
    failed = failed_deliveries(view, budgets)
    spikes = counted(SPIKES, Anomaly.objects.open().filter(workspace__in=view.reach.workspace_ids))
    down = counted(DOWN, ProviderState.objects.filter(is_up=False))
    files, runs = unsent_files(view, whose_books), failed_runs(whose_books)
    counts = waiting.union(failed, spikes, down, files, runs, all=True)
    rows = counts.values_list("which", "number")
    numbers = dict(rows)
    return [
        *outages(view, numbers.get(DOWN, 0)),
        *open_spikes(numbers.get(SPIKES, 0)),
        *unpriced_models(view, unpriced),
        *set_aside(numbers.get(WAITING, 0)),
        *not_delivered(numbers.get(FAILED, 0)),
        *not_sent(numbers.get(UNSENT, 0)),
        *not_archived(numbers.get(ARCHIVE, 0)),
        *books(view, whose_books),
    ]


def unpriced_question(view: View) -> Question:
    return view.question(metrics=("unpriced_requests",), group_by=("model",), limit=SHOWN_MODELS)


def unpriced_models(view: View, report: Report | None) -> list[Item]:
    if report is None:
        return []
    names = [shortened(row["model"]) for row in report.rows if row["unpriced_requests"]]
    return [
        Item(
            "price_change",
            f"{plural(report.totals['unpriced_requests'], 'request')} without a price",
            f"Spend does not include them. Models: {', '.join(names)}"
            + (" and others" if report.other and report.other["unpriced_requests"] else ""),
            view.log_url(unpriced="1"),
        )
    ]


def waiting_rows(view: View, quarantine: QuerySet[QuarantinedRow]) -> QuerySet[Any, Any]:
    return counted(
        WAITING,
        quarantine.filter(account__in=view.reach.account_ids, state=QuarantinedRow.State.WAITING),
    )


def failed_deliveries(view: View, budgets: list[Standing]) -> QuerySet[Any, Any]:
    """Of the last days only: older alerts are not worth sending any more."""
    return counted(
        FAILED,
        Delivery.objects.filter(
            state=Delivery.State.FAILED,
            alert__period__budget__in=[budget.id for budget in budgets],
            alert__crossed_at__gt=view.now - timedelta(days=FAILED_DAYS),
        ),
    )


def outages(view: View, anywhere: int) -> list[Item]:
    """Of the providers that the reader's own requests go to; asked only while any is down."""
    if not anywhere:
        return []
    used = providers_of(view.reach, now=view.now)
    states = ProviderState.objects.filter(is_up=False, provider__in=used)
    names = [shortened(state.provider.name) for state in states.select_related("provider")]
    if not names:
        return []
    return [
        Item(
            "cloud_off",
            f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not answer",
            "Checks or requests have failed for minutes.",
            address("admin:availability"),
        )
    ]


def open_spikes(number: int) -> list[Item]:
    if not number:
        return []
    return [
        Item(
            "crisis_alert",
            plural(number, "spike"),
            "Spent more than usual, and nobody has looked at it yet.",
            address("admin:spikes"),
        )
    ]


def unsent_files(view: View, whose: Collection[int]) -> QuerySet[Any, Any]:
    """Files of schedules that failed at least once, of those who keep the books."""
    accounts = set(whose) & set(view.reach.account_ids)
    unsent = SentFile.objects.exclude(state=SentFile.State.SENT).exclude(error="")
    return counted(UNSENT, unsent.filter(schedule__account__in=accounts, schedule__active=True))


def failed_runs(whose: Collection[int]) -> QuerySet[Any, Any]:
    """The last run of retention, where something stopped it."""
    last = RetentionRun.objects.order_by("-pk").values("pk")[: 1 if whose else 0]
    return counted(ARCHIVE, RetentionRun.objects.filter(pk__in=last).exclude(error=""))


def not_sent(number: int) -> list[Item]:
    if not number:
        return []
    return [
        Item(
            "schedule_send",
            f"{plural(number, 'scheduled file')} not sent",
            "They are tried again, for about two days. See why.",
            address("admin:exports_sentfile_changelist"),
        )
    ]


def not_archived(number: int) -> list[Item]:
    if not number:
        return []
    return [
        Item(
            "inventory_2",
            "The archive could not be written",
            "Nothing is removed meanwhile; it is tried again every hour.",
            address("admin:exports_archivefile_changelist"),
        )
    ]


def counted(kind: str, rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    """How many they are, beside a word: counts of several tables are asked for at once."""
    number = rows.order_by().annotate(which=Value(kind)).values("which")
    return number.annotate(number=Count("pk")).values("which", "number")


def set_aside(number: int) -> list[Item]:
    if not number:
        return []
    query = urlencode({"state__exact": QuarantinedRow.State.WAITING})
    return [
        Item(
            "report",
            f"{plural(number, 'row')} set aside",
            "They could not be recorded as they were sent. Correct them or discard them."
            + (" No more are kept until then." if number >= MOST_WAITING else ""),
            f"{reverse('admin:usage_quarantinedrow_changelist')}?{query}",
        )
    ]


def not_delivered(number: int) -> list[Item]:
    if not number:
        return []
    query = urlencode({"state__exact": Delivery.State.FAILED})
    return [
        Item(
            "unsubscribe",
            f"{plural(number, 'alert mail')} not delivered",
            f"Given up in the last {FAILED_DAYS} days; the recipients do not know.",
            f"{address('admin:budgets_delivery_changelist')}?{query}",
        )
    ]


def books(view: View, whose: Collection[int]) -> list[Item]:
    """Of the accounts in view whose books are the reader's business."""
    accounts = {account.pk: account for account in view.reach.accounts if account.pk in whose}
    if not accounts:
        return []
    link = reverse("admin:books")
    runs = BooksCheck.objects.ended().defer("differences")[:SHOWN_RUNS]
    last = next((run for run in runs if run.covers(accounts)), None)
    since = (last and last.started_at) or min(a.created_at for a in accounts.values())
    if last and (wrong := sum(line["account_id"] in accounts for line in last.differences)):
        detail = "The log, roll-ups and budgets do not all say the same. See which."
        return [Item("balance", f"{plural(wrong, 'figure')} out of balance", detail, link)]
    if view.now - since < timedelta(days=BOOKS_DAYS):
        return []
    detail = f"Not for {formatting.span(since, view.now)}; they are checked every night."
    return [Item("balance", "Books not checked", detail, link)]


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def plural(number: int, noun: str) -> str:
    return f"{formatting.count(number)} {noun}{'' if number == 1 else 's'}"
