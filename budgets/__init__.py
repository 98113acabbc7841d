"""budgets: what may be spent, and who hears of it.

Owns budgets, their period counters, holds, the authorization decision, alerts and their delivery.
Counters move inside the recording transaction, through the hook that `usage` offers.
May import `accounts` and `usage`.
"""
