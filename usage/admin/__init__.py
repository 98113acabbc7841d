"""The price book, insight and the quarantine in the admin."""

from usage.admin import insight, prices, quarantine, repricing

__all__ = ["insight", "prices", "quarantine", "repricing"]
