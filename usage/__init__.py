"""usage: what was used and what it cost.

Owns the request log and everything derived from it. `ingest/` turns what gateways post into rows,
`pricing/` says what a row costs, `rollups/` folds rows into daily and hourly sums exactly once,
`reports/` answers every question about usage with one statement over sums and unfolded rows.
May import `accounts`. Never imports `budgets`: policy hooks into recording from outside
(`usage.ingest.record.on_recorded`).
"""
