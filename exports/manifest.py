"""What a file is, in words for programs: so that whoever has it can check that it is whole."""

from decimal import Decimal
from typing import Any

from django.utils import timezone

from exports.job_models import Export
from exports.schedule_models import SentFile
from exports.tables import Edge, Table, Tally
from usage.reports.run import plain

VERSION = 1


def manifest_of(
    export: Export, table: Table, tally: Tally, *, sha256: str, size: int, name: str
) -> dict[str, Any]:
    return {
        "id": str(export.pk),
        "format": export.extension,
        "time_zone": export.account.time_zone,
        "requested_at": plain(export.requested_at),
        **described(export.account.slug, table, tally),
        "file": name,
        "sha256": sha256,
        "bytes": size,
    }


def manifest_of_sent(
    file: SentFile, table: Table, tally: Tally, *, sha256: str, size: int, name: str
) -> dict[str, Any]:
    schedule = file.schedule
    return {
        "id": f"schedule-{schedule.pk}-{plain(file.start_at)}-{file.correction}",
        "format": schedule.extension,
        "time_zone": schedule.account.time_zone,
        "schedule": schedule.name,
        "every": schedule.every,
        "correction": file.correction,
        **described(schedule.account.slug, table, tally),
        "file": name,
        "sha256": sha256,
        "bytes": size,
    }


def described(account: str, table: Table, tally: Tally) -> dict[str, Any]:
    return {
        "version": VERSION,
        "dataset": table.name,
        "account": account,
        "workspaces": [workspace.slug for workspace in table.reach.workspaces],
        "from": edge(table.start),
        "to": edge(table.end),
        "filters": table.asked,
        "rows": tally.rows,
        "totals": {name: plain(Decimal(total)) for name, total in tally.totals.items()},
        "columns": [
            {"name": c.name, "type": c.type} | ({"unit": c.unit} if c.unit else {})
            for c in table.columns
        ],
        "made_at": plain(timezone.now()),
    }


def edge(value: Edge) -> str | None:
    return None if value is None else plain(value)
