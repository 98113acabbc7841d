"""`budgets_authorize()` was kept for processes of the release before; `budgets_decide()` decides."""

from importlib import import_module

from django.db import migrations

before = import_module("budgets.migrations.0009_decide_by_the_limit_in_force")

# Replacing a function undoes its settings.
PLANS = """
ALTER FUNCTION budgets_authorize SET enable_seqscan = off;
ALTER FUNCTION budgets_authorize SET enable_bitmapscan = off;
ALTER FUNCTION budgets_authorize SET plan_cache_mode = force_generic_plan;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0014_settle_what_was_held_meanwhile")]

    operations = [
        migrations.RunSQL("DROP FUNCTION budgets_authorize", [before.AUTHORIZE, PLANS]),
    ]
