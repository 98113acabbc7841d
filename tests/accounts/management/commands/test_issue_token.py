"""`manage.py issue_token` prints the token, and nothing else."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.authentication import token_for
from accounts.models import AccessToken
from tests.factories import make_account, make_workspace

pytestmark = pytest.mark.django_db


def issue_token(*arguments: str) -> str:
    out = StringIO()
    call_command("issue_token", "--name", "ci", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_only_the_token():
    make_account("acme")

    printed = issue_token("--account", "acme", "--scope", "ingest", "--scope", "read")

    assert printed.count("\n") == 1
    assert token_for(f"Bearer {printed.strip()}").scopes == ["ingest", "read"]


def test_a_token_may_be_narrowed_and_expire():
    workspace = make_workspace(make_account("acme"), "research")

    issue_token(
        *("--account", "acme", "--scope", "read", "--workspace", "research"),
        *("--expires-at", "2030-01-01T00:00:00Z"),
    )

    token = AccessToken.objects.get()
    assert list(token.workspaces.all()) == [workspace]
    assert token.expires_at == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--account", "acme"], "--scope"),
        (["--account", "acme", "--scope", "fly"], "invalid choice: 'fly'"),
        (["--account", "ghost", "--scope", "read"], "Accounts: acme"),
        (["--account", "acme", "--scope", "read", "--workspace", "x"], "has no workspace 'x'"),
        (["--account", "acme", "--scope", "read", "--expires-at", "soon"], "RFC 3339"),
        (["--account", "acme", "--scope", "read", "--expires-at", "2030-01-01"], "RFC 3339"),
        (["--account", "acme", "--scope", "read", "--expires-at", "2030-13-01T00:00:00Z"], "3339"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_issued(arguments, said):
    make_account("acme")

    with pytest.raises(CommandError, match=said):
        issue_token(*arguments)

    assert not AccessToken.objects.exists()
