"""Issuing and revoking."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AccessToken
from accounts.tokens import issue, revoke
from tests.factories import make_account, make_workspace

pytestmark = pytest.mark.django_db


def test_a_tokens_text_has_its_public_id_and_a_long_secret():
    token, text = issue(account=make_account(), name="gateway", scopes=["read", "ingest"])

    prefix, public_id, secret = text.split("_", 2)

    assert (prefix, public_id) == ("tb", token.public_id)
    assert len(secret) >= 40
    assert token.scopes == ["ingest", "read"]


@pytest.mark.parametrize("scopes", [[], ["everything"]])
def test_a_token_needs_scopes_that_exist(scopes):
    with pytest.raises(ValidationError):
        issue(account=make_account(), name="gateway", scopes=scopes)

    assert not AccessToken.objects.exists()


def test_a_token_is_not_narrowed_to_anothers_workspace():
    foreign = make_workspace(make_account("globex"))

    with pytest.raises(ValidationError, match="its own account"):
        issue(account=make_account("acme"), name="x", scopes=["ingest"], workspaces=[foreign])

    assert not AccessToken.objects.exists()


def test_a_token_is_revoked_once():
    token, _ = issue(account=make_account(), name="gateway", scopes=["read"])
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    revoke(token, now=first)
    revoke(token, now=second)

    assert AccessToken.objects.get().revoked_at == first


def test_a_token_whose_only_workspace_goes_away_is_revoked_and_not_widened():
    account = make_account()
    research, support = make_workspace(account), make_workspace(account, "support")
    issue(account=account, name="one", scopes=["read"], workspaces=[research])
    issue(account=account, name="two", scopes=["read"], workspaces=[research, support])
    issue(account=account, name="all", scopes=["read"])

    research.delete()

    usable = AccessToken.objects.filter(revoked_at=None).values_list("name", flat=True)
    assert set(usable) == {"two", "all"}
