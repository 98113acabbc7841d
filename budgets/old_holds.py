"""Holds that ended are kept for as long as somebody may ask what was held for a request: until the
request is gone from the log, or, where none was ever logged, past the workspace's retention.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from accounts.models import Workspace

AT_ONCE = 5000

# In the order of the index `ended_holds_by_request`: a hold that is kept is looked at once a run.
# Deleted are those that nobody locks: open ones, which decisions and recording wait for, never.
FORGET = """
WITH looked_at AS (
    SELECT id, request_id, coalesce(ended_at, expires_at) AS ended_at FROM budgets_hold
    WHERE workspace_id = %(workspace)s AND state <> 'open'
        AND request_id >= %(request_id)s AND (request_id, id) > (%(request_id)s, %(id)s::uuid)
    ORDER BY request_id, id LIMIT %(at_once)s
), forgotten AS (
    DELETE FROM budgets_hold h USING looked_at l
    WHERE h.id = l.id AND h.state <> 'open' AND l.ended_at < %(before)s AND NOT EXISTS (
        SELECT FROM usage_requestkey k
        WHERE k.workspace_id = %(workspace)s AND k.request_id = l.request_id)
    RETURNING h.id
)
SELECT request_id, id, (SELECT count(*) FROM forgotten), (SELECT count(*) FROM looked_at)
FROM looked_at ORDER BY request_id DESC, id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run has come in its workspace's holds."""

    request_id: str = ""
    id: str = "00000000-0000-0000-0000-000000000000"


def forget(workspace: Workspace, *, now: datetime, at_once: int = AT_ONCE) -> int:
    """How many were forgotten, in steps of one short transaction each."""
    before = now - timedelta(days=workspace.retention_days)
    place: Place | None = Place()
    total = 0
    while place is not None:
        place, number = forget_some(workspace.pk, place, before=before, at_once=at_once)
        total += number
    return total


def forget_some(
    workspace_id: int, place: Place, *, before: datetime, at_once: int
) -> tuple[Place | None, int]:
    """Where to go on, if anywhere, and how many were forgotten."""
    values: dict[str, Any] = {"workspace": workspace_id, "before": before, "at_once": at_once}
    with connection.cursor() as cursor:
        cursor.execute(FORGET, values | {"request_id": place.request_id, "id": place.id})
        last = cursor.fetchone()
    if last is None:
        return None, 0
    request_id, hold_id, forgotten, looked_at = last
    return Place(request_id, str(hold_id)) if looked_at == at_once else None, forgotten
