"""The audit log: who changed what, when, and what it was before.

Changes are noted by PostgreSQL's triggers, so that `update()`, bulk writes, commands and SQL are
noted too; log-ins and downloads by what hears of them here. Request logs, decisions and sums are
not configuration and cost nothing for this.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from accounts.actors import Actor
from config.exact import ExactDecoder
from config.models import AuditEntry

# Model -> columns whose changes tell nothing about who decided what.
AUDITED: dict[str, Sequence[str]] = {
    "accounts.User": ("last_login",),
    "accounts.User_groups": (),
    "accounts.User_user_permissions": (),
    "accounts.Account": (),
    "accounts.Workspace": (),
    "accounts.Client": (),
    "accounts.Project": (),
    "accounts.Member": (),
    "accounts.ApiKey": (),
    "accounts.Role": (),
    "accounts.AccessToken": ("last_used_at",),
    "accounts.AccessToken_workspaces": (),
    "usage.PricedModel": (),
    "usage.Price": (),
    "usage.Repricing": (
        *("days_total", "days_done", "days_gone", "requests_gone", "reached_day"),
        *("reached_workspace", "worked_at", "failures"),
    ),
    "usage.ModelCapability": (),
    "usage.SpikeWatch": (),
    "usage.ProviderCheck": (),
    "usage.OutageWatch": (),
    "usage.SavedView": (),
    "budgets.Budget": (),
    "exports.Export": (
        *("attempt", "beat_at", "rows", "size", "file_name", "key", "manifest", "error"),
    ),
    "exports.Destination": (),
    "exports.ExportSchedule": (),
    "config.SecondFactor": ("last_step",),
}

# Model -> why not.
NOT_AUDITED = {
    "accounts.CacheVersion": "counts changes",
    "accounts.Reattribution": "says itself who asked and what was moved",
    "usage.LlmModel": "a word that requests carry",
    "usage.Provider": "a word that requests carry",
    "usage.Endpoint": "a word that requests carry",
    "usage.QuarantinedRow": "what was posted; says itself what became of it",
    "usage.RepricedModel": "the figures of a re-pricing",
    "usage.Saving": "found anew every night; says itself who decided what",
    "usage.SeriesHour": "a sum",
    "usage.Anomaly": "found by itself; says itself who decided what",
    "usage.ProviderMinute": "a sum",
    "usage.ProviderState": "the last of its changes",
    "usage.ProviderChange": "is itself a record",
    "usage.ZoneChange": "says itself who asked and what became of it",
    "usage.GoneDay": "a sum of what was removed",
    "budgets.BudgetChange": "is itself a record",
    "budgets.Notice": "derived from what was found",
    "budgets.BudgetPeriod": "a sum",
    "budgets.Hold": "a decision",
    "budgets.Alert": "derived from sums",
    "budgets.Delivery": "says itself what became of it",
    "exports.ArchiveFile": "says itself what became of it",
    "exports.SentFile": "says itself what became of it",
    "exports.RetentionRun": "is itself a record",
    "config.Heartbeat": "a sign of life",
    "config.BooksCheck": "says itself who asked",
    "config.AuditEntry": "is the log",
}

# Tables that are there and have no trigger yet; none where migrations stop before the function.
TO_ATTACH = """
SELECT name FROM unnest(%s::text[]) name
WHERE to_regclass(name) IS NOT NULL AND to_regproc('audit_note') IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass(name) AND t.tgname = 'audited')
"""


def audited_tables() -> dict[str, type[Model]]:
    return {apps.get_model(label)._meta.db_table: apps.get_model(label) for label in AUDITED}


def attach(**_: Any) -> None:
    """Give every audited table its trigger; after each migration, and again without harm."""
    with connection.cursor() as cursor:
        cursor.execute(TO_ATTACH, [list(audited_tables())])
        missing = {table for (table,) in cursor.fetchall()}
        for label, ignored in AUDITED.items():
            if (table := apps.get_model(label)._meta.db_table) in missing:
                arguments = ", ".join(f"'{column}'" for column in ignored)
                cursor.execute(
                    f"CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON {table} "
                    f"FOR EACH ROW EXECUTE FUNCTION audit_note({arguments})"
                )


def note(
    action: str,
    *,
    actor: Actor,
    subject: str = "",
    account_id: int | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """What no trigger sees, such as a log-in."""
    AuditEntry.objects.create(
        at=timezone.now(),
        actor=actor.name[:300],
        user_id=actor.user_id,
        token_id=actor.token_id,
        account_id=account_id,
        action=action,
        subject=subject[:300],
        new=details,
    )


NOW_STANDS = """
SELECT audit_hidden(to_jsonb(t)), audit_account(%s, to_jsonb(t)) FROM {table} t
WHERE t.id::text = %s
"""


def stands(table: str, object_id: str) -> tuple[dict[str, Any] | None, int | None]:
    """What the row says now, without its secrets, and the account that it belongs to.

    Raises KeyError for a table that is not audited.
    """
    model = audited_tables()[table]
    with connection.cursor() as cursor:
        cursor.execute(NOW_STANDS.format(table=model._meta.db_table), [table, object_id])
        row = cursor.fetchone()
    return (json.loads(row[0], cls=ExactDecoder), row[1]) if row else (None, None)


def as_of(
    row: dict[str, Any] | None, entries: Iterable[AuditEntry], *, moment: datetime
) -> dict[str, Any] | None:
    """What a row said at a moment; None: it was not there.

    `row` is what it says now, `entries` its own, the newest first. Going back from the present
    also tells of rows that are older than the log.
    """
    for entry in entries:
        if entry.at <= moment:
            break
        if entry.action == AuditEntry.Action.CREATE:
            row = None
        elif entry.action == AuditEntry.Action.DELETE:
            row = dict(entry.old or {})
        elif row is not None:
            row = row | (entry.old or {})
    return row
