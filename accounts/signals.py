"""Edits of names and keys reach every process's directory within a second."""

from typing import Any

from django.db.models.signals import post_delete, post_save, pre_delete
from django.utils import timezone

from accounts import versions
from accounts.directory import DIRECTORY_VERSION
from accounts.models import AccessToken, Account, ApiKey, Member, Project, Workspace


def directory_changed(sender: Any, created: bool = False, **kwargs: Any) -> None:
    # What is new is looked up where it is missed; only what changed must be forgotten.
    if not created:
        versions.bump(DIRECTORY_VERSION)


for model in (Account, Workspace, Member, Project, ApiKey):
    post_save.connect(directory_changed, sender=model, dispatch_uid=f"directory-{model.__name__}")
    post_delete.connect(directory_changed, sender=model, dispatch_uid=f"directory-{model.__name__}")


def revoke_what_was_narrowed_to(sender: Any, instance: Workspace, **kwargs: Any) -> None:
    """A token narrowed to a workspace that goes away must not become one for all of them."""
    narrowed = AccessToken.objects.filter(workspaces=instance, revoked_at=None)
    for token in narrowed:
        if token.workspaces.count() == 1:
            AccessToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())


pre_delete.connect(
    revoke_what_was_narrowed_to, sender=Workspace, dispatch_uid="revoke-narrowed-tokens"
)
