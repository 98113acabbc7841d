"""The only way from a caller to rows: who may see which accounts and workspaces, and do what.

A *reach* is a set of accounts and workspaces. Everything that answers a caller, in the admin, the
API, exports and charts, takes its rows from a reach and never from a model's manager.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Q, QuerySet

from accounts.models import AccessToken, Account, Role, User, Workspace


class Right(StrEnum):
    SEE = "see"
    EXPORT = "export"
    EDIT_PRICES_AND_CLIENTS = "edit_prices_and_clients"
    MANAGE = "manage"


RIGHTS_BY_ROLE: dict[str, frozenset[Right]] = {
    Role.Name.OWNER: frozenset(Right),
    Role.Name.MANAGER: frozenset({Right.SEE, Right.EXPORT, Right.MANAGE}),
    Role.Name.ACCOUNTANT: frozenset({Right.SEE, Right.EXPORT, Right.EDIT_PRICES_AND_CLIENTS}),
    Role.Name.VIEWER: frozenset({Right.SEE}),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """The accounts and workspaces that a caller may use, ordered by name."""

    accounts: tuple[Account, ...]
    workspaces: tuple[Workspace, ...]

    @property
    def account_ids(self) -> list[int]:
        return [account.pk for account in self.accounts]

    @property
    def workspace_ids(self) -> list[int]:
        return [workspace.pk for workspace in self.workspaces]

    def within(self, *, account: str | None = None, workspaces: list[str] | None = None) -> "Reach":
        """The part of this reach with that account slug and those workspace slugs.

        An unknown or foreign slug gives an empty reach: to the caller both look the same.
        """
        accounts = tuple(a for a in self.accounts if account in (None, "", a.slug))
        ids = {a.pk for a in accounts}
        return Reach(
            accounts,
            tuple(
                w
                for w in self.workspaces
                if w.account_id in ids and (not workspaces or w.slug in workspaces)
            ),
        )


def part_with(reach: Reach, roles: Iterable[Role], right: Right) -> Reach:
    """The part of what a user may see in which one of their roles has that right."""
    having = [role for role in roles if right in RIGHTS_BY_ROLE[role.name]]
    whole = {role.account_id for role in having if role.workspace_id is None}
    single = {role.workspace_id for role in having}
    workspaces = tuple(w for w in reach.workspaces if w.account_id in whole or w.pk in single)
    known = whole | {workspace.account_id for workspace in workspaces}
    return Reach(tuple(a for a in reach.accounts if a.pk in known), workspaces)


def reach_of_user(user: User, right: Right = Right.SEE) -> Reach:
    """Platform staff (superusers) reach everything, others what their roles with `right` name."""
    workspaces = Workspace.objects.select_related("account").order_by("account__name", "name")
    accounts = Account.objects.order_by("name")
    if not (user.is_active and user.is_staff):
        return Reach((), ())
    if not user.is_superuser:
        workspaces = workspaces.filter(_by_roles(user, right))
        # Also the accounts that have no workspace yet, for those whose role is account-wide.
        whole = _roles_with(user, right).filter(workspace=None).values("account")
        accounts = accounts.filter(
            Q(pk__in=whole) | Q(pk__in=workspaces.order_by().values("account"))
        )
    return Reach(tuple(accounts), tuple(workspaces))


def reach_of_token(token: AccessToken) -> Reach:
    workspaces = Workspace.objects.select_related("account").filter(account=token.account_id)
    if narrowed := narrowed_to(token):
        workspaces = workspaces.filter(pk__in=narrowed)
    return Reach((token.account,), tuple(workspaces.order_by("name")))


def narrowed_to(token: AccessToken) -> list[int]:
    """Ids of the workspaces that the token is narrowed to; empty means the whole account."""
    if token.narrowed_to is None:
        token.narrowed_to = list(token.workspaces.values_list("pk", flat=True))
    return token.narrowed_to


def may(user: User, right: Right) -> bool:
    """Whether the user has the right anywhere."""
    if not (user.is_active and user.is_staff):
        return False
    return user.is_superuser or _roles_with(user, right).exists()


def _roles_with(user: User, right: Right) -> QuerySet[Role]:
    names = [name for name, rights in RIGHTS_BY_ROLE.items() if right in rights]
    return Role.objects.filter(user=user, name__in=names)


def _by_roles(user: User, right: Right) -> Q:
    roles = _roles_with(user, right)
    return Q(account__in=roles.filter(workspace=None).values("account")) | Q(
        pk__in=roles.exclude(workspace=None).values("workspace")
    )
