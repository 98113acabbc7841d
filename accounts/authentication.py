"""From a bearer token to a caller, and what its scopes allow."""

import hmac
from datetime import datetime
from typing import Any, cast

from django.db import connection
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import actors
from accounts.models import TOKENS_VERSION, AccessToken, Account, Scope, digest_of
from accounts.rates import is_from, rates
from accounts.versions import Versioned

REFUSED = "This access token is unknown, expired or revoked."


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer tb_<public id>_<secret>`; `request.auth` is then the token."""

    def authenticate(self, request: Request) -> tuple[None, AccessToken] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        token = token_for(header)
        rates.take(token.pk)
        is_from(request.META, token.account_id)
        return None, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def token_of(request: Request) -> AccessToken:
    """The access token that a request came with; views run only where there is one."""
    return cast(AccessToken, request.auth)


TOKEN_FIELDS = [field.attname for field in AccessToken._meta.concrete_fields]
ACCOUNT_FIELDS = [field.attname for field in Account._meta.concrete_fields]

# Asked for every call of every gateway: in SQL, because building it anew with the ORM takes ten
# times as long as PostgreSQL takes to answer it.
USABLE_TOKEN = f"""
SELECT {", ".join(f"t.{name}" for name in TOKEN_FIELDS)},
    {", ".join(f"a.{name}" for name in ACCOUNT_FIELDS)},
    ARRAY(SELECT w.workspace_id FROM accounts_accesstoken_workspaces w
          WHERE w.accesstoken_id = t.id)
FROM accounts_accesstoken t JOIN accounts_account a ON a.id = t.account_id
WHERE t.public_id = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > %s)
    AND a.archived_at IS NULL"""


def token_for(header: str) -> AccessToken:
    """The usable token of an Authorization header, with its account.

    Raises AuthenticationFailed.
    """
    public_id, secret = parts_of(header)
    now = timezone.now()
    return proven(usable_token(public_id, now=now), secret, now=now)


def remembered_token(header: str, *, now: datetime) -> AccessToken:
    """`token_for` out of memory: what becomes of a token is known here within a second.

    Raises AuthenticationFailed.
    """
    public_id, secret = parts_of(header)
    remembered = TOKENS.get()
    token = remembered.get(public_id)
    if token is None:
        token = usable_token(public_id, now=now)
        if token is not None:
            remembered[public_id] = token
    elif token.expires_at is not None and token.expires_at <= now:
        token = None
    return proven(token, secret, now=now)


TOKENS: Versioned[dict[str, AccessToken]] = Versioned(TOKENS_VERSION, dict)


def parts_of(header: str) -> tuple[str, str]:
    """(public id, secret). Raises AuthenticationFailed."""
    kind, _, text = header.partition(" ")
    prefix, _, rest = text.strip().partition("_")
    public_id, _, secret = rest.partition("_")
    if kind.lower() != "bearer" or prefix != "tb" or not public_id.isalnum():
        raise AuthenticationFailed("Send the header: Authorization: Bearer tb_...")
    return public_id, secret


def proven(token: AccessToken | None, secret: str, *, now: datetime) -> AccessToken:
    # The comparison is made in any case, so that its time tells nothing about public ids.
    expected = token.digest if token else digest_of("")
    if not hmac.compare_digest(expected, digest_of(secret)) or token is None:
        raise AuthenticationFailed(REFUSED)
    token.note_use(now=now)
    return token


def usable_token(public_id: str, *, now: datetime) -> AccessToken | None:
    with connection.cursor() as cursor:
        cursor.execute(USABLE_TOKEN, [public_id, now])
        row = cursor.fetchone()
    if row is None:
        return None
    token = AccessToken.from_db(connection.alias, TOKEN_FIELDS, row[: len(TOKEN_FIELDS)])
    token.account = Account.from_db(connection.alias, ACCOUNT_FIELDS, row[len(TOKEN_FIELDS) : -1])
    token.narrowed_to = row[-1]
    return token


class HasScope(BasePermission):
    """The view's `scopes` maps a method to the scope it needs; a method not named is refused."""

    message = "This access token lacks the scope that the request needs."

    def has_permission(self, request: Request, view: Any) -> bool:
        method = "GET" if request.method == "HEAD" else request.method
        needed: Scope | None = view.scopes.get(method)
        if request.method == "OPTIONS":
            return request.auth is not None
        if request.auth is None:
            return False
        if needed is None:
            raise MethodNotAllowed(request.method or "")
        if needed not in token_of(request).scopes:
            self.message = f"This access token lacks the scope {needed.value!r}."
            return False
        if needed is Scope.MANAGE:
            # Told here because only now it is known; the middleware ends it with the request.
            actors.act_as(actors.of_token(token_of(request)))
        return True
