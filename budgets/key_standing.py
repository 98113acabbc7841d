"""How a caller stands with every budget above it, for dashboards: nothing is held or made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.access import narrowed_to
from accounts.directory import DEFAULT_WORKSPACE, directory, safe_identifier
from accounts.models import AccessToken, ApiKey, Member, Project
from budgets.authorize import WIDER_THAN_WORKSPACES
from budgets.ledger import reach_of_account
from budgets.serializers import as_in_a_decision, moment
from budgets.standing import Standing, State, standings

NAMES = ("api_key", "workspace", "project", "member")


class NoSuchCaller(Exception):
    """What was named is unknown, or not the token's to see."""


@dataclass(frozen=True, slots=True)
class Caller:
    workspace_id: int
    project_id: int | None
    member_id: int | None
    api_key_id: int | None
    key_disabled: bool


def key_standing(names: Mapping[str, str], *, token: AccessToken, now: datetime) -> dict[str, Any]:
    """As an authorization would answer a call that costs next to nothing. Raises NoSuchCaller."""
    caller = caller_of(names, token)
    above = (caller.workspace_id, caller.project_id, caller.member_id, caller.api_key_id)
    found = standings(reach_of_account(token.account), now=now, above=above)
    is_narrowed = bool(narrowed_to(token))
    paused = next((one for one in found if one.state == State.PAUSED), None)
    return {
        "allowed": paused is None and not caller.key_disabled,
        "reason": reason(caller, paused, found, is_narrowed=is_narrowed),
        "budgets": [
            as_in_a_decision(one)
            for one in found
            if not (is_narrowed and one.scope in WIDER_THAN_WORKSPACES)
        ],
    }


def reason(
    caller: Caller, paused: Standing | None, found: list[Standing], *, is_narrowed: bool
) -> str:
    if caller.key_disabled:
        return "The API key is disabled."
    if paused is None:
        return "Within every budget." if found else "No budget applies."
    until = (
        f"It resets at {moment(paused.resets_at)}." if paused.resets_at else "It does not reset."
    )
    scope = paused.scope.replace("_", " ")
    if is_narrowed and paused.scope in WIDER_THAN_WORKSPACES:
        return f"A hard {scope} budget above this access token's workspaces is in the way. {until}"
    return f"The {scope} budget {paused.name!r} is used up. {until}"


def caller_of(names: Mapping[str, str], token: AccessToken) -> Caller:
    """Who is named, by the rules by which recording finds whom a request belongs to.

    Raises NoSuchCaller.
    """
    identifier = safe_identifier(names["api_key"]) if names.get("api_key") else None
    workspace_id = workspace_of(names.get("workspace"), identifier, token)
    key = None
    if identifier:
        key = found(ApiKey.objects.filter(workspace=workspace_id, identifier=identifier))
    project_id = key.default_project_id if key else None
    member_id = key.member_id if key else None
    if names.get("project"):
        project_id = found(Project.objects.filter(workspace=workspace_id, tag=names["project"])).pk
    if names.get("member"):
        members = Member.objects.filter(account=token.account_id, identifier=names["member"])
        member_id = found(members).pk
    disabled = key is not None and key.disabled_at is not None
    return Caller(workspace_id, project_id, member_id, key.pk if key else None, disabled)


def workspace_of(ref: str | None, identifier: str | None, token: AccessToken) -> int:
    allowed, names = narrowed_to(token), directory()
    if not ref and identifier:
        entry = names.known_key(token.account_id, identifier)
        if entry is not None and (not allowed or entry.workspace_id in allowed):
            return entry.workspace_id
    if not ref and len(allowed) == 1:
        return allowed[0]
    workspace_id = names.known_workspace(token.account_id, ref or DEFAULT_WORKSPACE)
    if workspace_id is None or (allowed and workspace_id not in allowed):
        raise NoSuchCaller
    return workspace_id


def found(rows: Any) -> Any:
    """The only row there is. Raises NoSuchCaller."""
    row = rows.first()
    if row is None:
        raise NoSuchCaller
    return row
