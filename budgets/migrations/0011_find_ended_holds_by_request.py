"""A request's page tells what was held for it, also when that has ended."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # nobody who decides or records waits while the index is made

    dependencies = [("budgets", "0010_notices")]

    operations = [
        AddIndexConcurrently(
            model_name="hold",
            index=models.Index(
                condition=models.Q(("state", "open"), _negated=True),
                fields=["workspace", "request_id"],
                name="ended_holds_by_request",
            ),
        ),
    ]
