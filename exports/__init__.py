"""exports: how figures leave.

Owns datasets and formats, streamed downloads, the exports that the worker makes, schedules and
destinations, and the archive. May import `accounts`, `usage` and `budgets`.
"""
