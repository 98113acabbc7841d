"""Exports in the admin; Django finds it here."""

from exports.admin import archive, jobs, schedules

__all__ = ["archive", "jobs", "schedules"]
