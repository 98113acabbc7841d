"""Budgets may be raised for a while and be in force from and until a day; what changes is kept.

Holds say whom they are for, so that a budget opened meanwhile finds those under it.
"""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_books_closed_until"),
        ("budgets", "0006_hold_what_was_asked_at_once"),
    ]

    operations = [
        migrations.CreateModel(
            name="BudgetChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="changes",
                        to="budgets.budget",
                    ),
                ),
                ("changed_at", models.DateTimeField()),
                (
                    "changed_by",
                    models.CharField(
                        help_text="A user, or an access token's name.", max_length=200
                    ),
                ),
                ("what", models.CharField(max_length=20)),
                ("before", models.TextField(blank=True)),
                ("after", models.TextField(blank=True)),
                ("reason", models.CharField(blank=True, max_length=300)),
            ],
            options={
                "ordering": ["-changed_at", "-id"],
            },
        ),
        migrations.AddField(
            model_name="budget",
            name="in_force_from",
            field=models.DateField(
                blank=True, help_text="The first day on which it refuses and warns.", null=True
            ),
        ),
        migrations.AddField(
            model_name="budget",
            name="in_force_until",
            field=models.DateField(
                blank=True, help_text="The first day on which it does so no more.", null=True
            ),
        ),
        migrations.AddField(
            model_name="budget",
            name="raised_limit",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="US dollars, in place of the limit until the raise ends.",
                max_digits=16,
                null=True,
                validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                verbose_name="raised to",
            ),
        ),
        migrations.AddField(
            model_name="budget",
            name="raised_reason",
            field=models.CharField(blank=True, max_length=300, verbose_name="reason"),
        ),
        migrations.AddField(
            model_name="budget",
            name="raised_until",
            field=models.DateTimeField(blank=True, null=True, verbose_name="until"),
        ),
        migrations.AddField(
            model_name="budget",
            name="tell_managers",
            field=models.BooleanField(
                default=False,
                help_text="Of the workspace that it is over or in; else the account's.",
                verbose_name="tell the managers",
            ),
        ),
        migrations.AddField(
            model_name="budget",
            name="tell_member",
            field=models.BooleanField(
                default=False,
                help_text="Whom a member's or an API key's budget is about.",
                verbose_name="tell the member concerned",
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="api_key_id",
            field=models.IntegerField(null=True),
        ),
        migrations.AddField(
            model_name="hold",
            name="member_id",
            field=models.IntegerField(null=True),
        ),
        migrations.AddField(
            model_name="hold",
            name="project_id",
            field=models.IntegerField(null=True),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("raised_limit", None), ("raised_until", None)),
                    models.Q(("raised_limit__gte", 0), ("raised_until__isnull", False)),
                    _connector="OR",
                ),
                name="raise_has_a_limit_and_an_end",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("in_force_from", None),
                    ("in_force_until", None),
                    ("in_force_from__lt", models.F("in_force_until")),
                    _connector="OR",
                ),
                name="in_force_for_a_day_at_least",
            ),
        ),
    ]
