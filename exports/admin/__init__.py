"""Exports in the admin; Django finds it here."""

from exports.admin import archive

__all__ = ["archive"]
