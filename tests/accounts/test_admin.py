import hashlib
import re

import pytest
import tablib
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AccessToken, Account, ApiKey, Client, Member, Project, Role, Workspace
from accounts.resources import MemberResource, ProjectResource
from tests.factories import make_role, make_workspace
from tests.people import People, make_people

MODELS = ["account", "workspace", "client", "member", "project", "apikey"]
EVERY_MODEL = [*MODELS, "accesstoken", "role", "user"]


@pytest.fixture
def people(db: None) -> People:
    return make_people()


@pytest.fixture
def furnished(people: People) -> People:
    """One of each thing in Acme's research workspace, named so that a leak would show."""
    client = Client.objects.create(account=people.acme, name="Acme client", slug="acme-client")
    member = Member.objects.create(account=people.acme, identifier="ada@acme.test")
    project = Project.objects.create(workspace=people.research, tag="acme-apollo", client=client)
    ApiKey.objects.create(
        workspace=people.research, identifier="acme-key", member=member, default_project=project
    )
    token = AccessToken(account=people.acme, name="acme-token", scopes=["read"])
    token.renew_secret()
    token.save()
    return people


def changelist(model):
    return f"/admin/accounts/{model}/"


def rows(client, model, **parameters):
    page = client.get(changelist(model), parameters)
    assert page.status_code == 200
    return [str(row) for row in page.context["cl"].result_list]


@pytest.mark.parametrize("model", MODELS)
def test_an_outsider_finds_nothing_of_another_account(client, furnished, model):
    client.force_login(furnished.outsider)

    page = client.get(changelist(model), {"q": "acme"})

    assert list(page.context["cl"].result_list) == []
    assert "Acme" not in page.content.decode()
    assert "acme-" not in page.content.decode()


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_without_a_role_nothing_is_shown_at_all(client, furnished, model):
    client.force_login(furnished.newcomer)

    assert client.get(changelist(model)).status_code == 403


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("account", Account),
        ("workspace", Workspace),
        ("client", Client),
        ("member", Member),
        ("project", Project),
        ("apikey", ApiKey),
        ("accesstoken", AccessToken),
        ("role", Role),
    ],
)
def test_an_outsider_opens_no_row_of_another_account(client, furnished, model, kind):
    pk = kind.objects.exclude(**outsiders(kind, furnished)).first().pk
    client.force_login(furnished.outsider)

    response = client.get(f"/admin/accounts/{model}/{pk}/change/")

    assert response.status_code == 404


def outsiders(kind, people):
    if kind is Account:
        return {"pk": people.globex.pk}
    path = "workspace__account" if kind in (Project, ApiKey) else "account"
    return {path: people.globex}


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("workspace", "account"),
        ("project", "workspace"),
        ("project", "client"),
        ("apikey", "member"),
        ("apikey", "default_project"),
    ],
)
def test_autocompletes_offer_nothing_of_another_account(client, furnished, model, field):
    client.force_login(furnished.outsider)

    response = client.get(
        "/admin/autocomplete/",
        {"app_label": "accounts", "model_name": model, "field_name": field, "term": "ac"},
    )

    found = response.json().get("results", []) if response.status_code == 200 else []
    assert found == []


@pytest.mark.parametrize("model", MODELS)
def test_a_viewer_sees_and_changes_nothing(client, furnished, model):
    client.force_login(furnished.viewer)
    pk = client.get(changelist(model)).context["cl"].result_list[0].pk

    page = client.get(f"/admin/accounts/{model}/{pk}/change/")
    posted = client.post(f"/admin/accounts/{model}/{pk}/change/", {"name": "mine now"})
    added = client.get(f"/admin/accounts/{model}/add/")

    assert page.status_code == 200
    assert not page.context["has_change_permission"]
    assert (posted.status_code, added.status_code) == (403, 403)


def test_a_viewer_sees_neither_tokens_nor_roles(client, furnished):
    client.force_login(furnished.viewer)

    statuses = [client.get(changelist(m)).status_code for m in ("accesstoken", "role", "user")]

    assert statuses == [403, 403, 403]


def test_a_role_in_one_workspace_reaches_no_other(client, furnished):
    client.force_login(furnished.support_manager)

    assert rows(client, "workspace") == ["Support"]
    assert rows(client, "project") == []
    assert client.get(changelist("client")).status_code == 403
    assert client.get(changelist("accesstoken")).status_code == 403


def test_nobody_gives_a_key_to_another_accounts_member(client, furnished):
    theirs = Member.objects.create(account=furnished.globex, identifier="hank@globex.test")
    client.force_login(furnished.manager)

    page = client.post(
        "/admin/accounts/apikey/add/",
        {"workspace": furnished.research.pk, "identifier": "new", "member": theirs.pk},
    )

    assert "member" in page.context["adminform"].form.errors
    assert not ApiKey.objects.filter(identifier="new").exists()


def test_managers_cannot_make_themselves_owners(client, furnished):
    client.force_login(furnished.manager)

    response = client.post(
        "/admin/accounts/role/add/",
        {"user": furnished.manager.pk, "account": furnished.acme.pk, "name": "owner"},
    )

    assert response.status_code == 403
    assert not Role.objects.filter(user=furnished.manager, name="owner").exists()


def test_owners_give_roles_in_their_own_account_only(client, furnished):
    client.force_login(furnished.owner)
    role = {"user": furnished.viewer.pk, "name": "viewer"}

    place = {"account": furnished.acme.pk, "workspace": furnished.support.pk}
    own = client.post("/admin/accounts/role/add/", role | place)
    foreign = client.post("/admin/accounts/role/add/", role | {"account": furnished.globex.pk})

    assert own.status_code == 302
    assert "account" in foreign.context["adminform"].form.errors


def test_a_token_is_shown_once_and_stored_only_as_a_digest(client, furnished):
    client.force_login(furnished.manager)

    page = client.post(
        "/admin/accounts/accesstoken/add/",
        {"account": furnished.acme.pk, "name": "gateway", "scopes": ["ingest"]},
    )

    text = re.search(r"tb_[0-9a-f]{16}_[\w-]{40,}", page.content.decode())[0]
    secret = text.split("_", 2)[2]
    token = AccessToken.objects.get(name="gateway")
    again = client.get(f"/admin/accounts/accesstoken/{token.pk}/change/").content.decode()
    listing = client.get(changelist("accesstoken")).content.decode()
    assert "no-store" in page["Cache-Control"]
    assert secret not in again + listing
    assert token.digest not in again + listing
    assert secret not in str(AccessToken.objects.filter(pk=token.pk).values())
    assert not [c for c in client.cookies.values() if secret in c.value]
    assert not client.session.get("_messages")


def test_a_shown_token_works_and_a_revoked_one_does_not(client, furnished):
    client.force_login(furnished.manager)
    page = client.post(
        "/admin/accounts/accesstoken/add/",
        {"account": furnished.acme.pk, "name": "gateway", "scopes": ["read"]},
    )
    header = {"authorization": f"Bearer {page.context['text']}"}
    token = AccessToken.objects.get(name="gateway")
    before = client.get("/api/v1/requests/", headers=header).status_code

    client.post(
        changelist("accesstoken"), {"action": "revoke_chosen", "_selected_action": token.pk}
    )

    assert (before, client.get("/api/v1/requests/", headers=header).status_code) == (200, 401)


def test_what_has_history_is_archived_and_not_deleted(client, furnished):
    client.force_login(furnished.manager)
    project = Project.objects.get(tag="acme-apollo")

    refused = client.post(f"/admin/accounts/project/{project.pk}/delete/", {"post": "yes"})
    client.post(changelist("project"), {"action": "archive_chosen", "_selected_action": project.pk})

    project.refresh_from_db()
    assert refused["Location"] == f"/admin/accounts/project/{project.pk}/change/"
    assert project.archived_at is not None
    assert rows(client, "project") == []
    assert rows(client, "project", archived="yes") == ["acme-apollo"]


def test_archiving_reaches_no_other_account(client, furnished):
    client.force_login(furnished.outsider)
    project = Project.objects.get(tag="acme-apollo")

    client.post(changelist("project"), {"action": "archive_chosen", "_selected_action": project.pk})

    project.refresh_from_db()
    assert project.archived_at is None


def test_exported_files_hold_what_the_reader_may_see(client, furnished):
    Member.objects.create(account=furnished.globex, identifier="hank@globex.test")
    client.force_login(furnished.accountant)

    response = client.post("/admin/accounts/member/export/", {"format": "0", "resource": ""})

    assert response.content.decode().splitlines() == [
        "account,identifier,name,email,kind",
        "acme,ada@acme.test,,,person",
    ]


def test_who_may_only_see_an_account_takes_none_of_its_rows_along(client, furnished):
    """An owner of Globex, who may export there, is a viewer of Acme."""
    make_role(furnished.outsider, Role.Name.VIEWER, furnished.acme)
    Member.objects.create(account=furnished.globex, identifier="hank@globex.test")
    client.force_login(furnished.outsider)

    response = client.post("/admin/accounts/member/export/", {"format": "0", "resource": ""})

    lines = response.content.decode().splitlines()
    assert [line.split(",")[0] for line in lines] == ["account", "globex"]


@pytest.mark.parametrize("model", ["project", "apikey"])
def test_a_form_without_a_workspace_says_so(client, furnished, model):
    client.force_login(furnished.staff)

    response = client.post(f"/admin/accounts/{model}/add/", {"tag": "x", "identifier": "x"})

    assert response.status_code == 200
    assert "workspace" in response.context["adminform"].form.errors


def test_a_key_pasted_where_its_id_belongs_is_kept_as_its_digest(client, furnished):
    client.force_login(furnished.staff)
    secret = "sk-proj-0123456789abcdefghij"

    client.post(
        "/admin/accounts/apikey/add/", {"workspace": furnished.research.pk, "identifier": secret}
    )

    assert ApiKey.objects.filter(identifier=hashlib.sha256(secret.encode()).hexdigest()).exists()
    assert not ApiKey.objects.filter(identifier=secret).exists()


def test_imports_reach_no_other_account(furnished):
    rows = tablib.Dataset(
        ("acme", "new@acme.test", "person"),
        ("globex", "new@globex.test", "person"),
        headers=("account", "identifier", "kind"),
    )

    result = MemberResource(accounts=[furnished.acme.pk]).import_data(rows)

    assert [len(row.errors) for row in result.rows] == [0, 1]
    assert not Member.objects.filter(identifier="new@globex.test").exists()


def test_an_imported_project_gets_the_client_of_its_own_account(furnished):
    Client.objects.create(account=furnished.globex, name="Foreign", slug="foreign")
    everything = [w.pk for w in Workspace.objects.all()]
    rows = tablib.Dataset(
        ("research", "new", "acme-client"),
        ("research", "newer", "foreign"),
        headers=("workspace", "tag", "client"),
    )

    result = ProjectResource(workspaces=everything).import_data(rows)

    assert [row.is_valid() for row in result.rows] == [True, False]


@pytest.mark.parametrize("action", ["import", "export"])
def test_a_viewer_moves_no_files(client, furnished, action):
    client.force_login(furnished.viewer)

    assert client.get(f"/admin/accounts/member/{action}/").status_code == 403


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_longer_lists_take_no_more_queries(client, furnished, model):
    client.force_login(furnished.staff)
    few = queries_of(client, model)
    for number in range(8):
        multiply(furnished, number)

    assert queries_of(client, model) <= few


def queries_of(client, model):
    client.get(changelist(model))
    with CaptureQueriesContext(connection) as queries:
        assert client.get(changelist(model)).status_code == 200
    return len(queries)


def multiply(people, number):
    account = Account.objects.create(name=f"A{number}", slug=f"a{number}")
    workspace = make_workspace(account, f"w{number}")
    who = Client.objects.create(account=account, name="c", slug="c")
    member = Member.objects.create(account=account, identifier="m")
    Project.objects.create(workspace=workspace, tag="t", client=who)
    ApiKey.objects.create(workspace=workspace, identifier="k", member=member)
    Role.objects.create(user=people.newcomer, account=account, name="viewer")
    token = AccessToken(account=account, name="t", scopes=["read"])
    token.renew_secret()
    token.save()


def test_platform_staff_add_people_who_may_log_in_and_see_nothing_yet(client, people):
    client.force_login(people.staff)

    client.post(
        "/admin/accounts/user/add/",
        {
            "username": "newt",
            "usable_password": "true",
            "password1": "a long enough secret",
            "password2": "a long enough secret",
            "is_staff": "on",
        },
    )

    assert client.login(username="newt", password="a long enough secret")
    assert "Ask an owner" in client.get("/admin/").content.decode()


@pytest.mark.parametrize("who", ["owner", "manager", "viewer"])
def test_only_platform_staff_see_who_else_uses_the_platform(client, people, who):
    client.force_login(getattr(people, who))

    assert client.get(changelist("user")).status_code == 403
    if who == "owner":
        form = client.get("/admin/accounts/role/add/").context["adminform"].form
        assert people.outsider not in form.fields["user"].queryset


def test_navigation_offers_what_one_may_see(client, people):
    offered = {}
    for who in ("viewer", "support_manager", "newcomer"):
        client.force_login(getattr(people, who))
        groups = client.get("/admin/").context["sidebar_navigation"]
        offered[who] = {
            item["title"] for group in groups for item in group["items"] if item["has_permission"]
        }

    assert "Access tokens" not in offered["viewer"] | offered["support_manager"]
    assert {"Projects", "API keys"} <= offered["support_manager"]
    assert "Clients" not in offered["support_manager"]
    assert not offered["newcomer"] & {"Projects", "Members", "Prices", "Budgets", "Books"}
