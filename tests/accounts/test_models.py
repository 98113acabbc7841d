"""What the database itself refuses, and slugs that are free."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from accounts.models import (
    AccessToken,
    Account,
    ApiKey,
    Role,
    Workspace,
    free_slug,
    shortened,
    time_zones,
)
from tests.factories import fetch, make_account, make_role, make_user, make_workspace

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("days", [29, 91, 0])
def test_requests_are_kept_30_to_90_days(days):
    with pytest.raises(IntegrityError, match="workspace_retention_is_30_to_90_days"):
        make_workspace(make_account(), retention_days=days)


def test_a_slug_is_taken_once_in_an_account():
    acme = make_account("acme")
    make_workspace(make_account("globex"), "research")
    make_workspace(acme, "research")

    with pytest.raises(IntegrityError, match="workspace_slug_unique_in_account"):
        make_workspace(acme, "research")


def test_a_user_has_one_role_in_a_place():
    member, acme = make_user(), make_account()
    make_role(member, "viewer", acme)

    with pytest.raises(IntegrityError, match="one_role_per_user_and_place"):
        make_role(member, "owner", acme)


def test_a_role_names_a_workspace_of_its_own_account():
    foreign = make_workspace(make_account("globex"))
    role = Role(user=make_user(), account=make_account("acme"), workspace=foreign, name="viewer")

    with pytest.raises(ValidationError, match="another account"):
        role.full_clean()


def test_a_token_has_a_scope():
    with pytest.raises(IntegrityError, match="token_has_a_scope"):
        AccessToken.objects.create(account=make_account(), name="x", public_id="x", scopes=[])


def test_zones_mean_the_same_to_python_and_to_postgresql():
    """By winter and summer; zones whose rules one of the two does not know yet may be few."""
    moments = [datetime(2024, month, 15, 12, tzinfo=UTC) for month in (1, 7)]
    rows = fetch(
        "SELECT name, array_agg((m AT TIME ZONE name)::text ORDER BY m) AS local "
        "FROM unnest(%s::text[]) AS name CROSS JOIN unnest(%s::timestamptz[]) AS m GROUP BY name",
        [sorted(time_zones()), moments],
    )

    assert len(rows) > 500
    assert [
        row["name"]
        for row in rows
        if row["local"]
        != [f"{m.astimezone(ZoneInfo(row['name'])):%Y-%m-%d %H:%M:%S}" for m in moments]
    ] == []


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "utc+1", "localtime", "CET"])
def test_a_time_zone_exists(zone):
    with pytest.raises(ValidationError):
        Account(name="Acme", slug="acme", time_zone=zone).full_clean()


def test_a_slug_that_is_taken_gets_a_number():
    acme = make_account("acme")
    for slug in ("a-b", "a-b-2"):
        make_workspace(acme, slug)

    taken = Workspace.objects.filter(account=acme)

    assert free_slug("A b", taken=taken, fallback="workspace") == "a-b-3"
    assert free_slug("日本", taken=taken, fallback="workspace") == "workspace"


def test_a_key_without_a_name_is_called_by_its_beginning():
    assert str(ApiKey(identifier="a" * 64)) == "aaaaaaaa…"
    assert shortened("master-key") == "master-key"


def test_active_things_are_not_archived():
    make_account("acme")
    old = make_account("old")
    Account.objects.filter(pk=old.pk).update(archived_at="2026-01-01T00:00Z")

    assert [account.slug for account in Account.objects.active()] == ["acme"]
