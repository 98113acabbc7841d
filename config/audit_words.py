"""What the audit log says, in words: columns by their labels, ids by what they name."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import DecimalField, Field, Model

from config import audit
from config.models import AuditEntry
from usage.formatting import exact_money

MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$")
NOTHING = "—"
# Columns that a line has beside its changes.
SAID_ALREADY = frozenset({"id", "account_id", "created_at", "date_joined"})
# Tables that only tie one thing to another.
TIES = {
    "accounts_accesstoken_workspaces": "access token's workspace",
    "accounts_user_groups": "user's group",
    "accounts_user_user_permissions": "user's permission",
}
# Lists of ids, which no foreign key explains.
LISTED = {"workspace_ids": "accounts.Workspace", "model_ids": "usage.LlmModel"}

Names = dict[tuple[type[Model], str], str]


@dataclass(frozen=True, slots=True)
class Change:
    name: str
    old: str
    new: str


def changes_of(entry: AuditEntry, zone: tzinfo, names: Names) -> list[Change]:
    if entry.action == AuditEntry.Action.DOWNLOAD:
        return asked_for(entry, zone)
    old, new = entry.old or {}, entry.new or {}
    table = entry.table_name
    return [
        Change(
            label(table, column),
            text(table, column, old.get(column), zone, names),
            text(table, column, new.get(column), zone, names),
        )
        for column in sorted(old.keys() | new.keys())
        if column not in SAID_ALREADY
        and not (is_empty(old.get(column)) and is_empty(new.get(column)))
    ]


def asked_for(entry: AuditEntry, zone: tzinfo) -> list[Change]:
    """The question that a downloaded file answered."""
    asked = dict(entry.new or {})
    query = parse_qsl(str(asked.pop("query", "")))
    return [
        Change(label("", name), NOTHING, text("", name, value, zone))
        for name, value in (*asked.items(), *query)
    ]


def is_empty(value: Any) -> bool:
    return value is None or value == "" or value == []


def label(table: str, column: str) -> str:
    """As the forms call it."""
    field = fields().get(table, {}).get(column)
    return str(field.verbose_name) if field else column.replace("_", " ")


def text(
    table: str, column: str, value: Any, zone: tzinfo = UTC, names: Names | None = None
) -> str:
    """As people write it: nothing where there is nothing, lists with commas."""
    if is_empty(value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(text(table, column, one, zone, names) for one in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    if (target := named_by(table, column)) is not None:
        return (names or {}).get((target, str(value)), str(value))
    if isinstance(value, str) and MOMENT.match(value):
        return f"{datetime.fromisoformat(value).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    return of_field(fields().get(table, {}).get(column), value)


def of_field(field: Field | None, value: Any) -> str:
    if isinstance(field, DecimalField):  # all that are audited are US dollars
        return exact_money(Decimal(value))
    return str(dict(getattr(field, "flatchoices", ())).get(value, value))


@cache
def fields() -> dict[str, dict[str, Field]]:
    return {
        table: {str(field.column): field for field in model._meta.concrete_fields}
        for table, model in audit.audited_tables().items()
    }


@cache
def named_by(table: str, column: str) -> type[Model] | None:
    """What the ids in a column are ids of."""
    if column in LISTED:
        return apps.get_model(LISTED[column])
    field = fields().get(table, {}).get(column)
    return field.related_model if field is not None and field.is_relation else None  # type: ignore[return-value]


@cache
def kinds() -> dict[str, str]:
    return {
        table: TIES.get(table, str(model._meta.verbose_name))
        for table, model in audit.audited_tables().items()
    }


def names_in(entries: Iterable[AuditEntry]) -> Names:
    """What the entries' ids name: a query for each kind of thing, however many entries."""
    sides = [(entry.table_name, side) for entry in entries for side in (entry.old, entry.new)]
    return names_of_ids(sides)


def names_of_ids(rows: Iterable[tuple[str, dict[str, Any] | None]]) -> Names:
    wanted: dict[type[Model], set[str]] = defaultdict(set)
    for table, row in rows:
        for column, value in (row or {}).items():
            if (target := named_by(table, column)) is not None:
                wanted[target].update(ids_in(value))
    return {
        (target, key): name
        for target, keys in wanted.items()
        for key, name in names_of(target, keys).items()
    }


def ids_in(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if one is not None:
            yield str(one)


def names_of(model: type[Model], keys: set[str]) -> dict[str, str]:
    """As they are called now; of what is gone, as it was called last."""
    try:
        there = model._base_manager.select_related().filter(pk__in=keys)
        known = {str(row.pk): str(row) for row in there}
    except (ValueError, ValidationError):  # of an earlier kind of key
        known = {}
    return gone(model, keys - known.keys()) | known


def gone(model: type[Model], keys: set[str]) -> dict[str, str]:
    last = (
        AuditEntry.objects.filter(table_name=model._meta.db_table, object_id__in=keys)
        .exclude(subject="")
        .order_by("object_id", "-id")
        .distinct("object_id")
    )
    found = last.values_list("object_id", "subject") if keys else ()
    return {key: f"{subject} (deleted)" for key, subject in found}
