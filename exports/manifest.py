"""What a file is, in words for programs: so that whoever has it can check that it is whole."""

from decimal import Decimal
from typing import Any

from django.utils import timezone

from exports.job_models import Export
from exports.tables import Edge, Table, Tally
from usage.reports.run import plain

VERSION = 1


def manifest_of(
    export: Export, table: Table, tally: Tally, *, sha256: str, size: int, name: str
) -> dict[str, Any]:
    return {
        "version": VERSION,
        "id": str(export.pk),
        "dataset": table.name,
        "file": name,
        "format": export.extension,
        "account": export.account.slug,
        "workspaces": [workspace.slug for workspace in table.reach.workspaces],
        "from": edge(table.start),
        "to": edge(table.end),
        "time_zone": export.account.time_zone,
        "filters": table.asked,
        "rows": tally.rows,
        "totals": {name: plain(Decimal(total)) for name, total in tally.totals.items()},
        "columns": [
            {"name": c.name, "type": c.type} | ({"unit": c.unit} if c.unit else {})
            for c in table.columns
        ],
        "sha256": sha256,
        "bytes": size,
        "requested_at": plain(export.requested_at),
        "made_at": plain(timezone.now()),
    }


def edge(value: Edge) -> str | None:
    return None if value is None else plain(value)
