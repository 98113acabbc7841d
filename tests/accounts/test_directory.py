"""From names to ids: found wherever they are, made where they are new, once."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts import directory as module
from accounts.directory import Directory, directory, safe_identifier
from accounts.models import Account, ApiKey, Member, Project, Workspace
from tests.factories import make_account, make_workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def acme(db: None) -> Account:
    return make_account("acme")


@pytest.mark.parametrize("ref", ["research", "team-1", "Research Team", "RESEARCH team"])
def test_a_workspace_answers_to_slug_external_id_and_name(acme, ref):
    workspace = make_workspace(acme, "research", name="Research Team", external_id="team-1")

    assert directory().workspace(acme.pk, ref) == workspace.pk


def test_a_slug_counts_before_an_external_id_and_that_before_a_name(acme):
    named = make_workspace(acme, "a", name="x")
    external = make_workspace(acme, "b", external_id="x")
    assert directory().workspace(acme.pk, "x") == external.pk

    module.forget()
    slug = make_workspace(acme, "x")
    assert directory().workspace(acme.pk, "x") == slug.pk
    assert named.pk < external.pk


def test_a_new_workspace_is_made_from_its_name(acme):
    pk = directory().workspace(acme.pk, "team-uuid-1", name="Finance & Legal")

    made = Workspace.objects.get(pk=pk)
    assert (made.slug, made.name, made.external_id) == (
        "finance-legal",
        "Finance & Legal",
        "team-uuid-1",
    )


@pytest.mark.parametrize(
    ("ref", "slug"),
    [("日本", "workspace"), ("x" * 200, "x" * 70), ("-", "workspace"), ("a b", "a-b")],
)
def test_a_name_of_any_kind_gets_a_slug(acme, ref, slug):
    pk = directory().workspace(acme.pk, ref)

    assert Workspace.objects.get(pk=pk).slug == slug
    module.forget()
    assert directory().workspace(acme.pk, ref) == pk


def test_two_teams_of_one_name_are_two_workspaces(acme):
    first = directory().workspace(acme.pk, "team-1", name="Finance")
    second = directory().workspace(acme.pk, "team-2", name="Finance")

    assert first != second
    assert set(Workspace.objects.values_list("slug", flat=True)) == {"finance", "finance-2"}


def test_another_accounts_names_are_not_found(acme):
    globex = make_account("globex")
    make_workspace(globex, "research")

    assert directory().known_workspace(acme.pk, "research") is None
    directory().member(globex.pk, "jane")
    assert directory().member(acme.pk, "jane") == Member.objects.get(account=acme).pk


def test_archived_things_answer_to_their_names(acme):
    workspace = make_workspace(acme, "old", archived_at=NOW)

    assert directory().workspace(acme.pk, "old") == workspace.pk


@pytest.mark.parametrize(
    ("ref", "email", "kept"),
    [
        ("jane@example.com", None, "jane@example.com"),
        ("u-1", None, None),
        ("u-1", "jane@example.com", "jane@example.com"),
    ],
)
def test_a_new_member_has_an_address_where_one_is_known(acme, ref, email, kept):
    directory().member(acme.pk, ref, email=email)

    assert Member.objects.get().email == kept


def test_a_project_belongs_to_its_workspace(acme):
    one, two = make_workspace(acme, "one"), make_workspace(acme, "two")

    assert directory().project(one.pk, "x") != directory().project(two.pk, "x")
    assert Project.objects.count() == 2


def test_a_known_key_is_the_oldest_that_is_not_archived(acme):
    for slug, archived_at in (("gone", NOW), ("old", None), ("new", None)):
        workspace = make_workspace(acme, slug)
        ApiKey.objects.create(workspace=workspace, identifier="key", archived_at=archived_at)

    entry = directory().known_key(acme.pk, "key")

    assert Workspace.objects.get(pk=entry.workspace_id).slug == "old"


def test_of_archived_keys_one_is_known(acme):
    workspace = make_workspace(acme)
    ApiKey.objects.create(workspace=workspace, identifier="key", archived_at=NOW)

    assert directory().known_key(acme.pk, "key").workspace_id == workspace.pk
    assert directory().known_key(acme.pk, "other") is None


def test_a_known_key_of_another_account_is_unknown(acme):
    ApiKey.objects.create(workspace=make_workspace(make_account("globex")), identifier="key")

    assert directory().known_key(acme.pk, "key") is None


def test_an_entry_says_whom_a_key_belongs_to(acme):
    workspace = make_workspace(acme)
    member = Member.objects.create(account=acme, identifier="jane")
    project = Project.objects.create(workspace=workspace, tag="x")
    key = ApiKey.objects.create(
        workspace=workspace,
        identifier="key",
        member=member,
        default_project=project,
        disabled_at=NOW,
    )

    entry = directory().key(acme.pk, workspace.pk, "key")

    assert (entry.id, entry.workspace_id) == (key.pk, workspace.pk)
    assert (entry.member_id, entry.project_id, entry.disabled) == (member.pk, project.pk, True)


def test_what_is_remembered_is_not_asked_again(acme, django_assert_num_queries):
    names = directory()

    def ask_all() -> None:
        workspace_id = names.workspace(acme.pk, "research")
        names.member(acme.pk, "jane")
        names.project(workspace_id, "x")
        names.key(acme.pk, workspace_id, "key")
        names.known_key(acme.pk, "key")

    ask_all()
    with django_assert_num_queries(0):
        ask_all()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-0123456789abcdefghij",
        "sk-ant-api03-0123456789abcdef",
        "sk_live_0123456789abcdef",
        "gsk_0123456789abcdef0123",
        "xai-0123456789abcdef0123",
        "tb_0123456789abcdef_0123456789",
    ],
)
def test_what_looks_like_a_secret_is_kept_as_its_digest(secret):
    assert safe_identifier(secret) == hashlib.sha256(secret.encode()).hexdigest()


@pytest.mark.parametrize("identifier", ["master-key", "key-7", "a" * 64, "prod", "sk-short"])
def test_other_identifiers_are_kept_as_they_are(identifier):
    assert safe_identifier(identifier) == identifier


def test_an_edit_makes_every_process_look_again(acme):
    workspace = make_workspace(acme, "research")
    assert directory().workspace(acme.pk, "research") == workspace.pk

    workspace.slug = workspace.name = "renamed"
    workspace.save()
    module._directory.checked_at = 0

    assert directory().known_workspace(acme.pk, "research") is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["workspace", "member", "project", "key"])
def test_processes_that_meet_a_new_name_at_once_make_one(kind):
    acme = make_account("acme")
    workspace = make_workspace(acme, "research")
    make: dict[str, Any] = {
        "workspace": lambda names: names.workspace(acme.pk, "team-9", name="Team 9"),
        "member": lambda names: names.member(acme.pk, "jane"),
        "project": lambda names: names.project(workspace.pk, "x"),
        "key": lambda names: names.key(acme.pk, workspace.pk, "key").id,
    }
    processes = 6
    start = Barrier(processes, timeout=30)

    def process(_: int) -> int:
        try:
            start.wait()
            return make[kind](Directory())
        finally:
            connection.close()

    with ThreadPoolExecutor(processes) as pool:
        ids = set(pool.map(process, range(processes)))

    assert len(ids) == 1


@pytest.mark.parametrize(
    "secret",
    ["Bearer sk-0123456789abcdefghij", "AIzaSyA0123456789abcdefghijklmnopqrstu", "bearer x"],
)
def test_more_shapes_of_secrets_are_kept_as_digests(secret):
    assert len(safe_identifier(secret)) == 64
