"""The price book and the quarantine in the admin."""

from usage.admin import prices, quarantine, repricing

__all__ = ["prices", "quarantine", "repricing"]
