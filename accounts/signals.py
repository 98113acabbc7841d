"""Edits of names and keys reach every process's directory within a second."""

from typing import Any

from django.db.models import Model
from django.db.models.signals import (
    ModelSignal,
    m2m_changed,
    post_delete,
    post_save,
    pre_delete,
)
from django.utils import timezone

from accounts import tokens, versions
from accounts.directory import DIRECTORY_VERSION
from accounts.models import TOKENS_VERSION, AccessToken, Account, ApiKey, Member, Project, Workspace


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
            tokens.revoke(token, now=timezone.now())


pre_delete.connect(
    revoke_what_was_narrowed_to, sender=Workspace, dispatch_uid="revoke-narrowed-tokens"
)


def tokens_changed(sender: Any, created: bool = False, **kwargs: Any) -> None:
    if not created:
        versions.bump(TOKENS_VERSION)


TOKENS_COME_FROM: tuple[tuple[ModelSignal, type[Model]], ...] = (
    (post_save, AccessToken),
    (post_delete, AccessToken),
    (m2m_changed, AccessToken.workspaces.through),
    (post_save, Account),
    (post_delete, Account),
)
for signal, source in TOKENS_COME_FROM:
    signal.connect(tokens_changed, sender=source, dispatch_uid=f"tokens-{source.__name__}")
