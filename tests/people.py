"""Named people for tests of who sees and does what: Acme's, and an outsider from Globex."""

from dataclasses import dataclass

from accounts.models import Account, Role, User, Workspace
from tests.factories import make_account, make_role, make_user, make_workspace


@dataclass(frozen=True)
class People:
    """Acme with two workspaces; who may do what in it, and somebody with no business there."""

    acme: Account
    research: Workspace
    support: Workspace
    globex: Account
    launch: Workspace
    owner: User
    manager: User
    accountant: User
    viewer: User
    support_manager: User
    outsider: User
    newcomer: User
    staff: User


def make_people() -> People:
    acme, globex = make_account("acme"), make_account("globex")
    research, support = (make_workspace(acme, slug) for slug in ("research", "support"))
    people = People(
        acme=acme,
        research=research,
        support=support,
        globex=globex,
        launch=make_workspace(globex, "launch"),
        owner=make_user("olivia"),
        manager=make_user("marcus"),
        accountant=make_user("amina"),
        viewer=make_user("vera"),
        support_manager=make_user("sven"),
        outsider=make_user("oscar"),
        newcomer=make_user("nadia"),
        staff=make_user("stella", is_superuser=True),
    )
    for user, name in (
        (people.owner, Role.Name.OWNER),
        (people.manager, Role.Name.MANAGER),
        (people.accountant, Role.Name.ACCOUNTANT),
        (people.viewer, Role.Name.VIEWER),
    ):
        make_role(user, name, acme)
    make_role(people.support_manager, Role.Name.MANAGER, acme, support)
    make_role(people.outsider, Role.Name.OWNER, globex)
    return people
