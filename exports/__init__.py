"""exports: how figures leave.

Owns datasets, formats and the streamed downloads of the API and the admin.
May import `accounts`, `usage` and `budgets`.
"""
