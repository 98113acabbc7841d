"""Edits of names and keys reach every process's directory within a second."""

from typing import Any

from django.db.models.signals import post_delete, post_save

from accounts import versions
from accounts.directory import DIRECTORY_VERSION
from accounts.models import Account, ApiKey, Member, Project, Workspace


def directory_changed(sender: Any, created: bool = False, **kwargs: Any) -> None:
    # What is new is looked up where it is missed; only what changed must be forgotten.
    if not created:
        versions.bump(DIRECTORY_VERSION)


for model in (Account, Workspace, Member, Project, ApiKey):
    post_save.connect(directory_changed, sender=model, dispatch_uid=f"directory-{model.__name__}")
    post_delete.connect(directory_changed, sender=model, dispatch_uid=f"directory-{model.__name__}")
