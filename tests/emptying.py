"""What a test that commits leaves behind, taken away in one round trip.

Django's flush would truncate each table, which costs files, and make every content type and every
permission anew.
"""

from functools import cache

from django.db import connection
from django.utils import timezone

from usage import partitions
from usage.rollups.tables import HISTOGRAMS, ROLLUPS

# The same in every database that was migrated.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}
UNMANAGED = ("usage_requestlog", "usage_requestkey", "usage_batch")


def empty_tables() -> None:
    """As it was migrated; days that a test dropped have their partitions again."""
    deletes = "; ".join(f"DELETE FROM {table}" for table in tables())
    with connection.cursor() as cursor:
        # Without triggers: neither is a foreign key looked up nor anything noted.
        cursor.execute(
            f"SET session_replication_role = replica; {deletes}; RESET session_replication_role"
        )
    partitions.make_around(timezone.now())


@cache
def tables() -> list[str]:
    managed = connection.introspection.django_table_names(only_existing=True, include_views=False)
    summed = [rollup.table for rollup in (*ROLLUPS, *HISTOGRAMS)]
    return sorted({*managed, *UNMANAGED, *summed} - KEPT)
