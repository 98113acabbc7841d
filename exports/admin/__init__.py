"""Exports in the admin; Django finds it here."""

from exports.admin import archive, jobs

__all__ = ["archive", "jobs"]
