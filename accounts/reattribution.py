"""Merge projects, and give API keys to members, with what they spent before.

The act changes who is meant from now on; what is recorded already is moved by whoever works on the
`Reattribution` that it leaves (`usage/rollups/reattribute.py`).
"""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import ApiKey, Member, Project, Reattribution, User


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
