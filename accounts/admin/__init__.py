"""Accounts in the admin; Django finds it here."""

from django.contrib import admin
from django.contrib.auth.models import Group

from accounts.admin import access_tokens, api_keys, configuration, history, people

__all__ = ["access_tokens", "api_keys", "configuration", "history", "people"]

# Groups give no rights here: roles do (`access.py`).
admin.site.unregister(Group)
