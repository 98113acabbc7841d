"""Merge projects, and give API keys to members, with what they spent before.

The act changes who is meant from now on; what is recorded already is moved by whoever works on the
`Reattribution` that it leaves (`usage/rollups/reattribute.py`).
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import ApiKey, Member, Project, Reattribution, User


class History(NamedTuple):
    """How much there is to move, and since which day; of what has no price no cost is known."""

    requests: int
    cost: Decimal | None
    first_day: date | None


# Whoever records requests says how much there is; given a move that is not saved yet.
counted: list[Callable[[Reattribution], History]] = []


def history_of(*, project: Project | None = None, key: ApiKey | None = None) -> History:
    """What merging the project or claiming the key would move."""
    workspace = (project or key).workspace  # type: ignore[union-attr]
    asked = Reattribution(
        workspace=workspace,
        from_project=project,
        api_key=key,
        from_member=key.member if key else None,
    )
    return counted[0](asked)


@transaction.atomic
def merge(project: Project, *, into: Project, by: User | None, now: datetime) -> Reattribution:
    """From now on the tag of `project` means `into`, and its history follows.

    Raises ValidationError.
    """
    check_merge(project, into)
    Project.objects.filter(merged_into=project).update(merged_into=into)
    for key in ApiKey.objects.filter(default_project=project):
        key.default_project = into
        key.save(update_fields=["default_project"])
    project.merged_into, project.archived_at = into, now
    project.save(update_fields=["merged_into", "archived_at"])
    return Reattribution.objects.create(
        workspace=project.workspace,
        from_project=project,
        to_project=into,
        requested_by=by,
        requested_at=now,
    )


def check_merge(project: Project, into: Project) -> None:
    if project.pk == into.pk:
        raise ValidationError("A project cannot be merged into itself.")
    if project.workspace_id != into.workspace_id:
        raise ValidationError("Both projects must be in the same workspace.")
    if project.merged_into_id:
        raise ValidationError(f"It has been merged into {project.merged_into} already.")
    if into.archived_at:
        raise ValidationError("Choose a project that is not archived.")


@transaction.atomic
def claim(
    key: ApiKey, *, member: Member, with_history: bool, by: User | None, now: datetime
) -> Reattribution | None:
    """From now on the key spends for the member; with its history also what it spent for whom it
    had until now. Requests that name somebody else themselves stay theirs.

    Raises ValidationError.
    """
    key = ApiKey.objects.select_for_update(of=("self",)).select_related("workspace").get(pk=key.pk)
    if member.account_id != key.workspace.account_id:
        raise ValidationError("This member belongs to another account.")
    before = key.member
    if before == member:
        raise ValidationError(f"The key belongs to {member} already.")
    key.member = member
    key.save(update_fields=["member"])
    if not with_history:
        return None
    return Reattribution.objects.create(
        workspace=key.workspace,
        api_key=key,
        from_member=before,
        to_member=member,
        requested_by=by,
        requested_at=now,
    )
