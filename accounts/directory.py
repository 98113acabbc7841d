"""From the names that gateways send to ids, out of memory; what is new is created on first sight.

Creation is committed at once, before anything is recorded, so a remembered id always exists.
Archived things still answer to their names: their requests must land somewhere, and with them.
An emitter that makes up names fills no table: past so many of a kind no new one is taken.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from accounts.models import Account, ApiKey, Member, Project, Workspace, free_slug
from accounts.versions import Versioned

DIRECTORY_VERSION = "directory"
DEFAULT_WORKSPACE = "default"
# Of an account; people may make more of them in the admin and over the API.
MOST_WORKSPACES = 1_000
MOST_NAMES = 100_000  # members, projects, API keys: of each kind

# What a provider's or a gateway's secret key looks like. Should one be sent where an id belongs,
# only its SHA-256 is kept, which is also what LiteLLM sends for the same key.
SECRET_KEY = re.compile(
    r"^(?:(?:sk|pk|rk|key|gsk|xai|tb|hf|nvapi|r8|pplx|co)[-_][A-Za-z0-9_\-]{16,}"
    r"|AIza[A-Za-z0-9_\-]{30,}|AKIA[A-Z0-9]{12,})$"
)
BEARER = re.compile(r"^Bearer\s+", re.IGNORECASE)


class TooManyNames(ValueError):
    """Nothing is created for this name; `field` says of which kind it is."""

    def __init__(self, field: str, most: int) -> None:
        super().__init__(
            f"The account has {most:,} {field.replace('_', ' ')}s already, and takes no new one "
            "from what is sent. Check what the gateway sends here."
        )
        self.field = field


@dataclass(frozen=True, slots=True)
class KeyEntry:
    id: int
    workspace_id: int
    member_id: int | None
    project_id: int | None
    disabled: bool


@dataclass
class Directory:
    workspaces: dict[tuple[int, str], int] = field(default_factory=dict)
    members: dict[tuple[int, str], int] = field(default_factory=dict)
    projects: dict[tuple[int, str], int] = field(default_factory=dict)
    keys: dict[tuple[int, int | None, str], KeyEntry | None] = field(default_factory=dict)

    def workspace(self, account_id: int, ref: str, *, name: str | None = None) -> int:
        """The workspace with that slug, external id or (ignoring case) name; else a new one."""
        found = self.known_workspace(account_id, ref)
        if found is None:
            found = self.workspaces[account_id, ref] = _new_workspace(account_id, ref, name)
        return found

    def known_workspace(self, account_id: int, ref: str) -> int | None:
        found = self.workspaces.get((account_id, ref))
        if found is None:
            found = _find_workspace(account_id, ref)
            if found is not None:
                self.workspaces[account_id, ref] = found
        return found

    def member(self, account_id: int, ref: str, *, email: str | None = None) -> int:
        found = self.members.get((account_id, ref))
        if found is None:
            named: dict[str, Any] = {"account_id": account_id, "identifier": ref}
            check_room("member", Member.objects.filter(account=account_id), named)
            defaults = {"email": email or (ref if "@" in ref else None)}
            member, _ = Member.objects.get_or_create(**named, defaults=defaults)
            found = self.members[account_id, ref] = member.pk
        return found

    def project(self, workspace_id: int, tag: str) -> int:
        found = self.projects.get((workspace_id, tag))
        if found is None:
            named: dict[str, Any] = {"workspace_id": workspace_id, "tag": tag}
            siblings = Project.objects.filter(workspace__account__workspaces=workspace_id)
            check_room("project", siblings, named)
            project, _ = Project.objects.get_or_create(**named)
            found = self.projects[workspace_id, tag] = project.merged_into_id or project.pk
        return found

    def known_key(self, account_id: int, identifier: str) -> KeyEntry | None:
        """The key wherever in the account it is; of several the oldest that is not archived."""
        place = (account_id, None, identifier)
        if self.keys.get(place) is None:
            found = (
                ApiKey.objects.filter(workspace__account_id=account_id, identifier=identifier)
                .order_by(F("archived_at").asc(nulls_first=True), "pk")
                .first()
            )
            if found is None:
                return None
            self.keys[place] = _entry(found)
        return self.keys[place]

    def key(
        self,
        account_id: int,
        workspace_id: int,
        identifier: str,
        *,
        name: str | None = None,
        member_id: int | None = None,
    ) -> KeyEntry:
        place = (account_id, workspace_id, identifier)
        found = self.keys.get(place)
        if found is None:
            named: dict[str, Any] = {"workspace_id": workspace_id, "identifier": identifier}
            check_room("api_key", ApiKey.objects.filter(workspace__account=account_id), named)
            defaults = {"name": (name or "")[:200], "member_id": member_id}
            key, _ = ApiKey.objects.get_or_create(**named, defaults=defaults)
            found = self.keys[place] = _entry(key)
        return found


_directory = Versioned(DIRECTORY_VERSION, Directory)


def directory() -> Directory:
    return _directory.get()


def forget() -> None:
    """Start with an empty memory (tests, and after rows were put in behind its back)."""
    _directory.forget()


def safe_identifier(text: str) -> str:
    """The identifier itself, or, of something that looks like a secret key, its SHA-256."""
    key = BEARER.sub("", text)
    is_secret = key != text or SECRET_KEY.match(key)
    return hashlib.sha256(key.encode()).hexdigest() if is_secret else text


def check_room(field: str, siblings: QuerySet[Any], named: dict[str, Any]) -> None:
    """Whether one more may be created of the account's, where none has that name. Two that ask at
    once may both be let in: it is no exact number. Raises TooManyNames."""
    if siblings.filter(**named).exists():
        return
    most = MOST_WORKSPACES if field == "workspace" else MOST_NAMES
    if siblings.order_by()[:most].count() >= most:
        raise TooManyNames(field, most)


def _entry(key: ApiKey) -> KeyEntry:
    return KeyEntry(
        id=key.pk,
        workspace_id=key.workspace_id,
        member_id=key.member_id,
        project_id=key.default_project_id,
        disabled=key.disabled_at is not None,
    )


def _find_workspace(account_id: int, ref: str) -> int | None:
    matches = Workspace.objects.filter(account_id=account_id).filter(
        Q(slug=ref) | Q(external_id=ref) | Q(name__iexact=ref)
    )
    found = {workspace.pk: workspace for workspace in matches}
    for exact in ("slug", "external_id"):
        for pk, workspace in found.items():
            if getattr(workspace, exact) == ref:
                return pk
    return min(found, default=None)


def _new_workspace(account_id: int, ref: str, name: str | None) -> int:
    with transaction.atomic():
        # The account's row is the lock: two processes meeting the same new name make one.
        Account.objects.select_for_update().get(pk=account_id)
        found = _find_workspace(account_id, ref)
        if found is not None:
            return found
        check_room("workspace", Workspace.objects.filter(account_id=account_id), {"slug": ref})
        slug = free_slug(
            name or ref, taken=Workspace.objects.filter(account_id=account_id), fallback="workspace"
        )
        workspace = Workspace.objects.create(
            account_id=account_id,
            slug=slug,
            name=(name or ref)[:200],
            external_id=None if slug == ref else ref,
        )
        return workspace.pk
