"""Issue and revoke access tokens."""

from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import versions
from accounts.models import TOKENS_VERSION, AccessToken, Account, Workspace


@transaction.atomic
def issue(
    *,
    account: Account,
    name: str,
    scopes: Iterable[str],
    workspaces: Iterable[Workspace] = (),
    expires_at: datetime | None = None,
) -> tuple[AccessToken, str]:
    """A new token and its text. The text is shown once and cannot be had again.

    Raises ValidationError.
    """
    workspaces = list(workspaces)
    if any(workspace.account_id != account.pk for workspace in workspaces):
        raise ValidationError("A token is narrowed to workspaces of its own account only.")
    token = AccessToken(account=account, name=name, scopes=sorted(scopes), expires_at=expires_at)
    text = token.renew_secret()
    token.full_clean()
    token.save()
    token.workspaces.set(workspaces)
    return token, text


@transaction.atomic
def revoke(token: AccessToken, *, now: datetime) -> None:
    """From the next second on the token lets nobody in, in any process."""
    AccessToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now)
    versions.bump(TOKENS_VERSION)
