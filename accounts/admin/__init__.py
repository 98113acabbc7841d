"""Accounts in the admin; Django finds it here."""

from django.contrib import admin
from django.contrib.auth.models import Group

from accounts.admin import access_tokens, configuration, people

__all__ = ["access_tokens", "configuration", "people"]

# Groups give no rights here: roles do (`access.py`).
admin.site.unregister(Group)
