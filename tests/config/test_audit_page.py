from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey, Client, Member, Workspace
from budgets.models import Budget
from config.models import AuditEntry
from tests.factories import small_price_book
from tests.people import People, make_people
from usage.models import Price

PAGE = "/admin/audit/"
OBJECT = "/admin/audit/object/"
DOWNLOAD = "/admin/audit/download/"


@pytest.fixture
def people(db: None) -> People:
    people = make_people()
    Client.objects.create(account=people.acme, name="Initech", slug="initech")
    Client.objects.create(account=people.globex, name="Umbrella", slug="umbrella")
    return people


def listed(client, who, **given):
    client.force_login(who)
    response = client.get(PAGE, given, follow=True)
    return [line.entry.subject for line in response.context["lines"]]


def test_managers_read_what_happened_in_their_accounts_only(people, client):
    found = listed(client, people.manager, kind="accounts_client")

    assert found == ["Initech"]
    assert listed(client, people.outsider, kind="accounts_client") == ["Umbrella"]
    assert listed(client, people.staff, kind="accounts_client") == ["Umbrella", "Initech"]


@pytest.mark.parametrize("who", ["accountant", "viewer", "support_manager", "newcomer"])
@pytest.mark.parametrize("path", [PAGE, OBJECT + "?table=accounts_account&id=1", DOWNLOAD])
def test_others_read_nothing(people, client, who, path):
    client.force_login(getattr(people, who))

    assert client.get(path).status_code == 403


def test_another_accounts_object_does_not_exist(people, client):
    client.force_login(people.manager)
    umbrella = Client.objects.get(slug="umbrella")

    assert client.get(OBJECT, {"table": "accounts_client", "id": umbrella.pk}).status_code == 404
    umbrella.delete()
    gone = AuditEntry.objects.first().object_id
    assert client.get(OBJECT, {"table": "accounts_client", "id": gone}).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        {"q": "initech"},
        {"q": "system init"},
        {"kind": "accounts_client", "action": "create"},
        {"from": "2026-01-01", "kind": "accounts_client", "account": "all"},
    ],
)
def test_it_is_searched_and_filtered(people, client, given):
    assert listed(client, people.owner, **given) == ["Initech"]


@pytest.mark.parametrize(
    "given",
    [
        {"from": "yesterday", "to": "2026-13-45", "before": "x", "account": "-1"},
        {"q": "\x00", "kind": "\x00", "before": "9" * 40},
        {"from": "9999-12-31", "action": "'; --"},
    ],
)
def test_odd_filters_are_no_error(people, client, given):
    client.force_login(people.owner)

    assert client.get(PAGE, given, follow=True).status_code == 200
    assert client.get(DOWNLOAD, given).getvalue().startswith(b"at,actor")


def test_pages_go_on_where_the_last_one_ended(people, client):
    for number in range(60):
        Client.objects.create(account=people.acme, name=f"C{number:02}", slug=f"c{number}")
    client.force_login(people.owner)

    first = client.get(PAGE, {"kind": "accounts_client"}).context
    second = client.get(f"{PAGE}?{first['older']}").context

    both = [line.entry.subject for page in (first, second) for line in page["lines"]]
    assert both == [f"C{number:02}" for number in reversed(range(60))] + ["Initech"]
    assert second["older"] is None


def test_a_page_asks_for_few_things(people, client):
    client.force_login(people.owner)

    with CaptureQueriesContext(connection) as asked:
        client.get(PAGE)

    assert len(asked) <= 14


def test_an_object_is_shown_as_it_was(people, client):
    budget = Budget.objects.create(
        account=people.acme, name="All", scope="account", limit=100, counted_from="2026-11-01"
    )
    made_at = AuditEntry.objects.first().at
    Budget.objects.update(limit=250)
    client.force_login(people.owner)
    given = {"table": "budgets_budget", "id": budget.pk}

    now = client.get(OBJECT, given).context
    then = client.get(OBJECT, given | {"on": made_at.isoformat()}).context
    before = client.get(OBJECT, given | {"on": "2020-02-02"})

    assert dict(now["facts"])["limit"] == "$250.00"
    assert dict(then["facts"])["limit"] == "$100.00"
    assert b"It was not there" in before.content


@pytest.fixture
def rows(people: People) -> dict[str, str]:
    """Pages of a row, and the query that finds its history."""
    small_price_book()
    budget = Budget.objects.create(
        account=people.acme, name="All", scope="account", limit=100, counted_from="2026-11-01"
    )
    initech, listed = Client.objects.get(slug="initech"), Price.objects.get(meter="input")
    return {
        f"/admin/budgets/budget/{budget.pk}/change/": f"table=budgets_budget&id={budget.pk}",
        f"/admin/accounts/client/{initech.pk}/change/": f"table=accounts_client&id={initech.pk}",
        f"/admin/usage/price/{listed.pk}/change/": f"table=usage_price&id={listed.pk}",
    }


@pytest.mark.parametrize(
    ("who", "shown"),
    [("staff", 3), ("owner", 2), ("manager", 2), ("accountant", 1), ("viewer", 0)],
)
def test_who_may_change_a_row_is_led_to_what_became_of_it(
    people, rows, client, without_menus, who, shown
):
    client.force_login(getattr(people, who))
    pages = {client.get(path).content.decode(): f"{OBJECT}?{query}" for path, query in rows.items()}

    led = [link for page, link in pages.items() if link.replace("&", "&amp;") in page]

    assert len(led) == shown
    assert [client.get(link).status_code for link in led] == [200] * shown
    assert "/history/" not in "".join(pages)


def test_things_go_by_their_names_and_by_the_last_they_had(people, client):
    key = ApiKey.objects.create(workspace=people.research, identifier="k1", name="laptop")
    ada, bob = (Member.objects.create(account=people.acme, identifier=name) for name in "ab")
    ApiKey.objects.update(member=bob)
    ApiKey.objects.update(member=ada)
    Member.objects.filter(pk=ada.pk).update(name="Ada")
    Member.objects.filter(pk=bob.pk).delete()
    client.force_login(people.owner)

    given = {"table": "accounts_apikey", "id": key.pk}
    changed, _, made = client.get(OBJECT, given).context["lines"]
    file = client.get(DOWNLOAD, {"kind": "accounts_apikey"}).getvalue().decode()

    assert [(c.name, c.old, c.new) for c in changed.changes] == [("member", "b (deleted)", "Ada")]
    assert ("workspace", "Research") in [(c.name, c.new) for c in made.changes]
    assert "member_id=b (deleted),member_id=Ada" in file


def test_ids_cost_a_query_for_each_kind_of_thing(people, client):
    client.force_login(people.owner)

    def asked_for(numbers):
        for n in numbers:
            member = Member.objects.create(account=people.acme, identifier=f"m{n}")
            ApiKey.objects.create(workspace=people.research, identifier=f"k{n}", member=member)
        with CaptureQueriesContext(connection) as asked:
            assert b"research" in client.get(PAGE).content
        return len(asked)

    assert asked_for(range(2)) == asked_for(range(2, 20))


def test_the_download_has_what_the_filters_leave_and_no_formula(people, client):
    Client.objects.create(account=people.acme, name="=cmd()", slug="evil")
    client.force_login(people.owner)

    lines = client.get(DOWNLOAD, {"kind": "accounts_client"}).getvalue().decode().splitlines()

    assert lines[0] == "at,actor,action,account,kind,object_id,subject,old,new"
    assert len(lines) == 3
    assert "'=cmd()" in lines[1]
    assert "Initech" in lines[2]


def test_names_are_text_wherever_they_stand(people, client):
    Workspace.objects.filter(pk=people.research.pk).update(name="<script>alert(1)</script>")
    client.force_login(people.owner)

    for path in (PAGE, f"{OBJECT}?table=accounts_workspace&id={people.research.pk}"):
        assert b"<script>alert" not in client.get(path).content


def test_days_are_whole_days_of_utc(people, client):
    today = timezone.now().date()

    assert "Initech" in listed(client, people.owner, through=today.isoformat())
    assert listed(client, people.owner, through=str(today - timedelta(days=1))) == []


def test_days_and_moments_are_those_of_the_readers_zone(people, client):
    people.acme.time_zone = "Asia/Kolkata"
    people.acme.save()
    at = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
    gone = {"archived_at": "2026-11-20T22:30:00+00:00"}
    AuditEntry.objects.create(
        at=at, actor="somebody", action="change", account_id=people.acme.pk,
        table_name="accounts_client", object_id="1", subject="Late", old={}, new=gone,
    )  # fmt: skip
    client.force_login(people.manager)

    page = client.get(PAGE, {"from": "2026-11-21", "to": "2026-11-22", "kind": "accounts_client"})

    (line,) = page.context["lines"]
    assert (line.entry.subject, line.changes[0].new) == ("Late", "2026-11-21 04:00:00")
    assert "Times in Asia/Kolkata" in page.content.decode()
