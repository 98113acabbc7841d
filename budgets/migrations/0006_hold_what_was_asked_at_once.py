"""An id asked twice at once under counters of which none is in both asks: decided one by one.

The second ask had been let go with the hold of the first, and nothing held under its own counters.
"""

from importlib import import_module

from django.db import migrations

BEFORE = """
            ELSE  -- the same id asked twice at once, under no counter that both waited for
                SELECT h.id, h.expires_at, h.amount, h.period_ids INTO known FROM budgets_hold h
                WHERE h.workspace_id = ask.workspace_id
                    AND h.request_id = ask.request_id COLLATE "C" AND h.state = 'open';
                hold := known.id;
            END IF;
"""
# Whoever asks tries again, and then finds the hold before any counter is looked at.
AFTER = """
            ELSE  -- the same id asked twice at once, under no counter that both waited for
                RAISE serialization_failure USING MESSAGE = 'the same id is asked for at once';
            END IF;
"""

found_by_index = import_module("budgets.migrations.0004_find_holds_by_index")
PASSAGES = (
    (found_by_index.OVERDUE_BEFORE, found_by_index.OVERDUE_AFTER),
    (found_by_index.AGAIN_BEFORE, found_by_index.AGAIN_AFTER),
    (found_by_index.LOCKED_BEFORE, found_by_index.LOCKED_AFTER),
)


def authorize(*passages: tuple[str, str]) -> list[str]:
    """Replacing a function undoes its settings."""
    return [
        found_by_index.replaced(found_by_index.AUTHORIZE, *PASSAGES, *passages),
        found_by_index.PLANS,
    ]


class Migration(migrations.Migration):
    dependencies = [("budgets", "0005_holds_without_spare_indexes")]

    operations = [migrations.RunSQL(authorize((BEFORE, AFTER)), authorize())]
