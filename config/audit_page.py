"""The audit log's pages: what happened, and what one object said on any day.

Platform staff see everything, managers what belongs to the accounts that they manage. Who may
change a row sees what became of that row.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from accounts import moments
from accounts.access import Right
from accounts.models import Account
from accounts.scoped_admin import is_platform, reach_of, whole_accounts
from config import audit
from config.audit_words import Change, Names, changes_of, kinds, label, names_in, names_of_ids, text
from config.models import AuditEntry
from exports import downloads
from exports.formats import defused
from usage.query_strings import cleaned, tidied

PAGE_SIZE = 50
SHOWN_CHANGES = 6
SHOWN_HISTORY = 200
CHUNK = 1000
HEADER = ("at", "actor", "action", "account", "kind", "object_id", "subject", "old", "new")


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as a reader sees it."""

    entry: AuditEntry
    kind: str
    account: str
    changes: list[Change]
    further: int

    @property
    def has_history(self) -> bool:
        return bool(self.entry.object_id and self.kind)

    @property
    def tone(self) -> str:
        tones = {"create": "good", "delete": "bad", "refused": "warn", "locked": "bad"}
        return tones.get(self.entry.action, "")


def may_see(request: HttpRequest) -> bool:
    return is_platform(request) or bool(whole_accounts(request, Right.MANAGE))


def visible(request: HttpRequest) -> QuerySet[AuditEntry]:
    """Raises PermissionDenied."""
    if not may_see(request):
        raise PermissionDenied
    if is_platform(request):
        return AuditEntry.objects.all()
    return AuditEntry.objects.filter(account_id__in=whole_accounts(request, Right.MANAGE))


def page(request: HttpRequest) -> HttpResponse:
    tidy = tidied(request.GET)
    if tidy is not None:
        return HttpResponseRedirect(f"{request.path}?{tidy}")
    zone = moments.zone_of(reach_of(request))
    found = chosen(visible(request), request.GET, zone)
    before = whole(request.GET.get("before"))
    rows = list((found.filter(id__lt=before) if before else found)[: PAGE_SIZE + 1])
    names = account_names(request)
    return render(
        request,
        "config/audit.html",
        title="Audit log",
        lines=lines_of(rows[:PAGE_SIZE], names, zone),
        older=with_changed(request.GET, before=str(rows[PAGE_SIZE - 1].pk))
        if len(rows) > PAGE_SIZE
        else None,
        newest=with_changed(request.GET, before=None) if before else None,
        filters=with_changed(request.GET, before=None),
        is_filtered=bool(set(request.GET) - {"before"}),
        given=request.GET,
        last_day=last_day(request.GET),
        accounts=sorted(names.items(), key=lambda item: item[1].lower()),
        kinds=sorted(kinds().items(), key=lambda item: item[1]),
        actions=AuditEntry.Action.choices,
        zone=zone,
    )


def history(request: HttpRequest) -> HttpResponse:
    """One object: what it said at a moment, and what became of it."""
    table, object_id = request.GET.get("table", ""), request.GET.get("id", "")
    if table not in kinds() or cleaned(object_id) != object_id:
        raise Http404
    row, account_id = audit.stands(table, object_id)
    of_it = AuditEntry.objects.of_object(table, object_id)
    entries = list(of_it[:SHOWN_HISTORY])
    if not (may_change(request, table, object_id) or may_see_object(request, account_id, entries)):
        raise Http404
    zone = moments.zone_of(reach_of(request))
    moment = moment_of(request.GET.get("on"), zone) or timezone.now()
    then = audit.as_of(row, of_it.iterator(), moment=moment)
    named = names_of_ids([(table, then)])
    return render(
        request,
        "config/audit_object.html",
        title=entries[0].subject if entries else kinds()[table],
        kind=kinds()[table],
        table=table,
        object_id=object_id,
        moment=moment,
        on=request.GET.get("on", ""),
        facts=[
            (label(table, column), text(table, column, value, zone, named))
            for column, value in sorted((then or {}).items())
        ],
        lines=lines_of(entries, account_names(request), zone),
        zone=zone,
        form=form_of(request, table, object_id) if row else "",
        may_see_all=may_see(request),
    )


def address_for(request: HttpRequest, row: Model) -> str:
    """Where the history of a row stands; nothing for those who may not read it."""
    table, key = row._meta.db_table, str(row.pk)
    if table not in kinds() or not (
        may_change(request, table, key) or manages(request, audit.stands(table, key)[1])
    ):
        return ""
    return f"{reverse('admin:audit_object')}?{urlencode({'table': table, 'id': key})}"


def may_change(request: HttpRequest, table: str, object_id: str) -> bool:
    """By the row's own admin."""
    model = audit.audited_tables()[table]
    if not admin.site.is_registered(model):
        return False
    model_admin = admin.site.get_model_admin(model)
    row = model_admin.get_object(request, object_id)
    return row is not None and model_admin.has_change_permission(request, row)


def form_of(request: HttpRequest, table: str, object_id: str) -> str:
    """Where the caller looks at the row; nothing where there is no such page for them."""
    opts = audit.audited_tables()[table]._meta
    if not admin.site.is_registered(opts.model):
        return ""
    model_admin = admin.site.get_model_admin(opts.model)
    if (row := model_admin.get_object(request, object_id)) is None:
        return ""
    allowed = model_admin.has_view_permission(request, row)
    name = f"admin:{opts.app_label}_{opts.model_name}_change"
    return reverse(name, args=[object_id]) if allowed else ""


def may_see_object(request: HttpRequest, account_id: int | None, entries: list[AuditEntry]) -> bool:
    """By the account that it belongs to, or, where it is gone, belonged to. Raises
    PermissionDenied."""
    if not may_see(request):
        raise PermissionDenied
    if not entries and account_id is None:
        return False
    owner = account_id if account_id is not None or not entries else entries[0].account_id
    return manages(request, owner)


def manages(request: HttpRequest, account_id: int | None) -> bool:
    return is_platform(request) or account_id in whole_accounts(request, Right.MANAGE)


def download(request: HttpRequest) -> HttpResponseBase:
    """All entries that the filters leave, the newest first."""
    found = chosen(visible(request), request.GET, moments.zone_of(reach_of(request)))
    return downloads.download(
        csv_file(found, account_names(request)),
        "text/csv; charset=utf-8",
        "tokenbook-audit-log.csv",
        caller=downloads.caller_of(reach_of(request)),
    )


def csv_file(found: QuerySet[AuditEntry], names: dict[int, str]) -> Iterator[bytes]:
    yield csv_line(HEADER)
    try:
        yield from csv_lines(found, names)
    except Exception:
        yield csv_line(["INCOMPLETE"] * len(HEADER))
        raise


def csv_lines(found: QuerySet[AuditEntry], names: dict[int, str]) -> Iterator[bytes]:
    entries = found.iterator(chunk_size=CHUNK)
    while chunk := list(islice(entries, CHUNK)):
        named = names_in(chunk)
        for entry in chunk:
            yield csv_line(
                (
                    entry.at.astimezone(UTC).isoformat(),
                    entry.actor,
                    entry.action,
                    account_name(entry, names),
                    kinds().get(entry.table_name, entry.table_name),
                    entry.object_id,
                    entry.subject,
                    *(pairs(entry.table_name, side, named) for side in (entry.old, entry.new)),
                )
            )


def csv_line(values: Any) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([defused(value) for value in values])
    return line.getvalue().encode()


def pairs(table: str, side: dict[str, Any] | None, names: Names) -> str:
    return "; ".join(
        f"{column}={text(table, column, value, names=names)}"
        for column, value in sorted((side or {}).items())
    )


def chosen(found: QuerySet[AuditEntry], given: QueryDict, zone: tzinfo) -> QuerySet[AuditEntry]:
    """What the filters leave; one that makes no sense leaves everything."""
    if start := parse_day(given.get("from"), zone):
        found = found.filter(at__gte=start)
    if end := parse_day(given.get("to"), zone):
        found = found.filter(at__lt=end)
    if given.get("account") == "none":
        found = found.filter(account_id=None)
    elif account_id := whole(given.get("account")):
        found = found.filter(account_id=account_id)
    for name, column in (("kind", "table_name"), ("action", "action")):
        if value := cleaned(given.get(name, "")):
            found = found.filter(**{column: value})
    for word in cleaned(given.get("q", "")).split():
        found = found.filter(
            Q(actor__icontains=word) | Q(subject__icontains=word) | Q(object_id=word)
        )
    return found


def lines_of(entries: Iterable[AuditEntry], accounts: dict[int, str], zone: tzinfo) -> list[Line]:
    entries = list(entries)
    names = names_in(entries)
    return [
        line_of(entry, account_name(entry, accounts), changes_of(entry, zone, names))
        for entry in entries
    ]


def line_of(entry: AuditEntry, account: str, changes: list[Change]) -> Line:
    return Line(
        entry,
        kinds().get(entry.table_name, ""),
        account,
        changes[:SHOWN_CHANGES],
        len(changes) - SHOWN_CHANGES,
    )


def account_names(request: HttpRequest) -> dict[int, str]:
    accounts = Account.objects.all()
    if not is_platform(request):
        accounts = accounts.filter(pk__in=whole_accounts(request, Right.MANAGE))
    return dict(accounts.values_list("pk", "name"))


def account_name(entry: AuditEntry, names: dict[int, str]) -> str:
    return "" if entry.account_id is None else names.get(entry.account_id, str(entry.account_id))


def whole(given: str | None) -> int | None:
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 19 else None


def parse_day(given: str | None, zone: tzinfo = UTC) -> datetime | None:
    """The midnight that begins the day."""
    try:
        day = parse_date(given or "")
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=zone) if day else None


def moment_of(given: str | None, zone: tzinfo) -> datetime | None:
    """A day means its end: what stood there when it was over."""
    if day := parse_day(given, zone):
        return day + timedelta(days=1, microseconds=-1)  # by the wall: a day may have 23 hours
    try:
        moment = parse_datetime((given or "").replace(" ", "+"))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None


def last_day(given: QueryDict) -> str:
    end = parse_day(given.get("to"))
    return (end - timedelta(days=1)).date().isoformat() if end else ""


def with_changed(given: QueryDict, *, before: str | None) -> str:
    changed = given.copy()
    changed.pop("before", None)
    if before:
        changed["before"] = before
    return changed.urlencode()


def render(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
