"""Tests mirror the tree: `usage/reports/sql.py` is tested in `tests/usage/reports/test_sql.py`."""
