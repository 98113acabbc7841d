"""Says on whose behalf a request changes rows, and notes what no trigger sees: log-ins, downloads.

An answer that a browser keeps as a file is a download, whichever page or route it came from.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts import actors
from accounts.access import Right
from accounts.models import AccessToken, User
from accounts.scoped_admin import is_platform, reach_of
from config import audit, throttle
from config.client_address import address_of
from config.models import AuditEntry

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
LONGEST_QUERY = 1000


class Acting:
    """Requests of people: the actor is known before the view. Those of tokens tell it themselves
    (`accounts/authentication.py`), and whichever it was, it ends with the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            if may_write(request):
                actors.act_as(actors.of_user(request.user))
            response = self.get_response(request)
        finally:
            actors.stop_acting()
        if is_download(response):
            note_download(request)
        return response


def may_write(request: HttpRequest) -> bool:
    return request.method not in SAFE_METHODS and request.path.startswith("/admin/")


def is_download(response: HttpResponseBase) -> bool:
    kept = response.headers.get("Content-Disposition", "").startswith("attachment")
    return kept and response.status_code == 200


def note_download(request: HttpRequest) -> None:
    token = getattr(request, "auth", None)
    if isinstance(token, AccessToken):
        actor = actors.of_token(token)
        account_ids: Sequence[int | None] = [token.account_id]
    else:
        actor = actors.of_user(request.user)
        account_ids = accounts_of(request)
    for account_id in account_ids:
        audit.note(
            AuditEntry.Action.DOWNLOAD,
            actor=actor,
            subject=request.path,
            account_id=account_id,
            details={"query": request.META.get("QUERY_STRING", "")[:LONGEST_QUERY]},
        )


def accounts_of(request: HttpRequest) -> Sequence[int | None]:
    """Whose managers hear of it; of what platform staff take from several accounts, none."""
    reach = reach_of(request, Right.EXPORT).within(account=request.GET.get("account"))
    if len(reach.accounts) > 1 and is_platform(request):
        return [None]
    return reach.account_ids or [None]


def note_log_out(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if user is not None:
        note_person(AuditEntry.Action.LOG_OUT, request, user)


def note_refused(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    """Of somebody unknown not what was typed: it may be a password."""
    if request is None:
        return
    username = str(credentials.get(User.USERNAME_FIELD, ""))
    user = User.objects.filter(username=username.replace("\x00", "")).first()
    note_person(AuditEntry.Action.REFUSED, request, user)
    user_id = user.pk if user else None
    if throttle.is_locked(user_id, address_of(request), now=timezone.now()):
        note_person(AuditEntry.Action.LOCKED, request, user)


def note_person(action: str, request: HttpRequest | None, user: Any) -> None:
    actor = actors.of_user(user) if user else actors.Actor("somebody unknown")
    details = {"address": address_of(request)} if request else None
    audit.note(action, actor=actor, details=details)


user_logged_out.connect(note_log_out, dispatch_uid="audit-log-out")
user_login_failed.connect(note_refused, dispatch_uid="audit-refused")
