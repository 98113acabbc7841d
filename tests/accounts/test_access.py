"""Who reaches what: by role, by token, and never further."""

import pytest

from accounts.access import (
    RIGHTS_BY_ROLE,
    Reach,
    Right,
    may,
    narrowed_to,
    part_with,
    reach_of_token,
    reach_of_user,
)
from accounts.models import Account, Role, User, Workspace
from accounts.tokens import issue
from tests.factories import make_account, make_role, make_user, make_workspace

pytestmark = pytest.mark.django_db

NOTHING = Reach((), ())


@pytest.fixture
def acme() -> Account:
    return make_account("acme")


@pytest.fixture
def research(acme: Account) -> Workspace:
    return make_workspace(acme, "research")


@pytest.fixture
def support(acme: Account) -> Workspace:
    return make_workspace(acme, "support")


@pytest.fixture
def foreign() -> Workspace:
    return make_workspace(make_account("globex"), "research")


@pytest.fixture
def member() -> User:
    return make_user("member")


@pytest.mark.parametrize("role", Role.Name.values)
@pytest.mark.parametrize("right", Right)
def test_a_role_in_the_account_reaches_its_workspaces_with_its_rights(
    member, acme, research, support, foreign, role, right
):
    make_role(member, role, acme)
    expected = Reach((acme,), (research, support)) if right in RIGHTS_BY_ROLE[role] else NOTHING

    assert reach_of_user(member, right) == expected
    assert may(member, right) == (right in RIGHTS_BY_ROLE[role])


@pytest.mark.parametrize("right", Right)
def test_a_role_in_a_workspace_reaches_that_workspace_only(
    member, acme, research, support, foreign, right
):
    make_role(member, "owner", acme, research)

    assert reach_of_user(member, right) == Reach((acme,), (research,))


def test_a_colleague_with_another_role_reaches_other_workspaces(acme, research, support):
    colleague = make_user("colleague")
    make_role(colleague, "viewer", acme, support)

    assert reach_of_user(colleague).workspaces == (support,)


def test_each_right_comes_from_its_own_roles(member, acme, research, support):
    make_role(member, "viewer", acme)
    make_role(member, "manager", acme, support)

    assert reach_of_user(member, Right.SEE).workspaces == (research, support)
    assert reach_of_user(member, Right.MANAGE).workspaces == (support,)


def test_an_outsider_reaches_nothing(research):
    outsider = make_user("outsider")

    assert reach_of_user(outsider) == NOTHING
    assert not may(outsider, Right.SEE)


def test_the_owner_of_an_empty_account_reaches_the_account(member, acme):
    make_role(member, "owner", acme)

    assert reach_of_user(member) == Reach((acme,), ())


def test_roles_in_two_accounts_reach_both(member, acme, research, foreign):
    make_role(member, "viewer", acme)
    make_role(member, "viewer", foreign.account, foreign)

    assert reach_of_user(member) == Reach((acme, foreign.account), (research, foreign))


def test_platform_staff_reach_everything(acme, research, foreign):
    make_account("empty")
    root = make_user("root", is_superuser=True)

    reach = reach_of_user(root, Right.MANAGE)

    assert [account.slug for account in reach.accounts] == ["acme", "empty", "globex"]
    assert reach.workspaces == (research, foreign)


@pytest.mark.parametrize("lost", [{"is_active": False}, {"is_staff": False}])
def test_who_may_not_log_in_reaches_nothing(acme, research, lost):
    member = make_user("member", is_superuser=True)
    make_role(member, "owner", acme)
    User.objects.filter(pk=member.pk).update(**lost)
    member.refresh_from_db()

    assert reach_of_user(member) == NOTHING
    assert not may(member, Right.SEE)


def test_a_token_reaches_its_account(acme, research, support, foreign):
    token, _ = issue(account=acme, name="all", scopes=["read"])

    assert reach_of_token(token) == Reach((acme,), (research, support))
    assert narrowed_to(token) == []


def test_a_narrowed_token_reaches_its_workspaces(acme, research, support, foreign):
    token, _ = issue(account=acme, name="one", scopes=["read"], workspaces=[support])

    assert reach_of_token(token) == Reach((acme,), (support,))
    assert narrowed_to(token) == [support.pk]


def test_the_part_of_a_reach(acme, research, support, foreign):
    reach = Reach((acme, foreign.account), (research, support, foreign))

    assert reach.within(account="acme") == Reach((acme,), (research, support))
    assert reach.within(account="") == reach
    assert reach.within(workspaces=["research"]).workspaces == (research, foreign)
    assert reach.within(account="globex", workspaces=["support"]).workspaces == ()
    assert reach.within(account="initech") == NOTHING


def test_a_reach_is_asked_in_few_queries(
    member, acme, research, support, foreign, django_assert_max_num_queries
):
    make_role(member, "owner", acme)

    with django_assert_max_num_queries(2):
        assert [workspace.account.slug for workspace in reach_of_user(member).workspaces]


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("role", Role.Name.values)
def test_what_is_left_of_what_somebody_sees_is_what_they_reach(
    member, acme, research, support, foreign, role, right
):
    make_role(member, role, acme, support)
    make_role(member, Role.Name.MANAGER, foreign.account)
    make_role(member, Role.Name.VIEWER, make_account("initech"))

    part = part_with(reach_of_user(member), member.roles.all(), right)

    assert part == reach_of_user(member, right)


def test_every_role_may_see():
    assert all(Right.SEE in rights for rights in RIGHTS_BY_ROLE.values())
