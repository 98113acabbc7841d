"""Guessing passwords and codes is stopped: too many refusals lock who and where they came from.

What counts is the audit log itself, so that all processes agree and a restart forgets nothing.
While a lock lasts nothing is tried and nothing is written. It ends by itself.
"""

from datetime import datetime, timedelta

from django.db.models import Count, Q

from config.models import AuditEntry

WINDOW = timedelta(minutes=15)
KNOWN_FOR = timedelta(days=30)
# Refusals in a row of one user from one address; of one user from anywhere; from one address.
MOST_IN_A_ROW = 5
MOST_OF_USER = 30
MOST_OF_ADDRESS = 30

Action = AuditEntry.Action


def is_locked(user_id: int | None, address: str, *, now: datetime) -> bool:
    recent = AuditEntry.objects.filter(
        action__in=(Action.REFUSED, Action.LOG_IN), at__gt=now - WINDOW
    )
    refused = recent.filter(action=Action.REFUSED).aggregate(
        of_address=Count("pk", filter=Q(new__address=address)),
        of_user=Count("pk", filter=Q(user_id=user_id)),
    )
    if refused["of_address"] >= MOST_OF_ADDRESS:
        return True
    if user_id is None:
        return False
    if refused["of_user"] >= MOST_OF_USER and not is_known_at(user_id, address, now=now):
        return True
    last = recent.filter(user_id=user_id, new__address=address).order_by("-id")
    actions = list(last.values_list("action", flat=True)[:MOST_IN_A_ROW])
    return actions == [Action.REFUSED] * MOST_IN_A_ROW


def is_known_at(user_id: int, address: str, *, now: datetime) -> bool:
    """Strangers elsewhere cannot lock somebody out of where they usually are."""
    lately = AuditEntry.objects.filter(action=Action.LOG_IN, at__gt=now - KNOWN_FOR)
    return lately.filter(user_id=user_id, new__address=address).exists()
