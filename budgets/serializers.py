"""Budgets as the API takes and gives them, with natural keys for what they are over."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers

from accounts.access import Reach
from accounts.models import ApiKey, Member, Project
from budgets.authorize import plain
from budgets.models import Budget
from budgets.standing import Standing


class BudgetSerializer(serializers.Serializer):
    """A budget to be created or changed; `key` is the natural key of what it is over."""

    name = serializers.CharField(max_length=200)
    scope = serializers.ChoiceField(choices=Budget.Scope.choices)
    key = serializers.CharField(
        max_length=200,
        required=False,
        help_text="Slug of the workspace, tag of the project, identifier of the member or API key.",
    )
    workspace = serializers.CharField(
        max_length=80, required=False, help_text="Slug, where a tag or key is in several."
    )
    limit = serializers.DecimalField(
        max_digits=16, decimal_places=4, min_value=0, allow_null=True, default=None
    )
    period = serializers.ChoiceField(choices=Budget.Period.choices, default=Budget.Period.MONTH)
    hard = serializers.BooleanField(default=False)
    thresholds = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=1000),
        default=[80, 100],
        max_length=20,
    )
    recipients = serializers.ListField(child=serializers.EmailField(), default=list, max_length=50)
    tell_managers = serializers.BooleanField(
        default=False, help_text="Also tell the managers of its workspace, or else of the account."
    )
    tell_member = serializers.BooleanField(
        default=False, help_text="Also tell the member whom it or its API key is about."
    )
    raised_limit = serializers.DecimalField(
        max_digits=16,
        decimal_places=4,
        min_value=0,
        allow_null=True,
        default=None,
        help_text="In place of the limit until `raised_until`; null ends the raise.",
    )
    raised_until = serializers.DateTimeField(allow_null=True, default=None)
    raised_reason = serializers.CharField(max_length=300, allow_blank=True, default="")
    in_force_from = serializers.DateField(
        allow_null=True, default=None, help_text="First local day on which it refuses and warns."
    )
    in_force_until = serializers.DateField(
        allow_null=True, default=None, help_text="First local day on which it does so no more."
    )

    FIXED = ("scope", "key", "workspace", "period")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(self.initial_data) - set(self.fields))
        if unknown:
            raise serializers.ValidationError({unknown[0]: "There is no such field."})
        if self.partial:
            fixed = [name for name in self.FIXED if name in values]
            if fixed:
                raise serializers.ValidationError(
                    {fixed[0]: "This stays as it was made; create another budget instead."}
                )
        elif values["scope"] != Budget.Scope.ACCOUNT:
            values["subject"] = self.subject(values)
        if "thresholds" in values:
            values["thresholds"] = sorted(set(values["thresholds"]))
        return values

    def subject(self, values: dict[str, Any]) -> Any:
        """What the budget is over, found within the caller's reach."""
        reach: Reach = self.context["reach"]
        scope, key = values["scope"], values.get("key", "")
        workspaces = [w for w in reach.workspaces if values.get("workspace") in (None, w.slug)]
        ids = [w.pk for w in workspaces]
        found: Any = {
            Budget.Scope.WORKSPACE: lambda: [w for w in reach.workspaces if w.slug == key],
            Budget.Scope.PROJECT: lambda: Project.objects.filter(workspace__in=ids, tag=key),
            Budget.Scope.MEMBER: lambda: Member.objects.filter(
                account__in=reach.account_ids, identifier=key
            ),
            Budget.Scope.API_KEY: lambda: ApiKey.objects.filter(workspace__in=ids, identifier=key),
        }[scope]()
        found = list(found[:2])
        if len(found) != 1:
            there = "There are several" if found else "There is none that you can see"
            hint = "; name the workspace too" if found else ""
            raise serializers.ValidationError({"key": f"{there} with the key {key!r}{hint}."})
        return found[0]


OWN_FIELDS = (
    "name", "scope", "limit", "period", "hard", "thresholds", "recipients", "tell_managers",
    "tell_member", "raised_limit", "raised_until", "raised_reason", "in_force_from",
    "in_force_until",
)  # fmt: skip


def checked(budget: Budget) -> Budget:
    """The budget, if its values go together. Raises DRF's ValidationError."""
    try:
        budget.clean()
    except DjangoValidationError as error:
        raise serializers.ValidationError(error.message_dict) from error
    return budget


def moment(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


def as_json(standing: Standing) -> dict[str, Any]:
    return {
        "id": standing.id,
        "name": standing.name,
        "scope": standing.scope,
        "key": standing.scope_key,
        "limit": plain(standing.usual_limit),
        "limit_now": plain(standing.limit),
        "raised_limit": plain(standing.limit) if standing.raised_until else None,
        "raised_until": moment(standing.raised_until),
        "raised_reason": standing.raised_reason,
        "period": standing.period,
        "hard": standing.hard,
        "in_force_from": standing.in_force_from and standing.in_force_from.isoformat(),
        "in_force_until": standing.in_force_until and standing.in_force_until.isoformat(),
        "state": standing.state,
        "thresholds": standing.thresholds,
        "recipients": standing.recipients,
        "tell_managers": standing.tell_managers,
        "tell_member": standing.tell_member,
        "spent": plain(standing.spent),
        "estimated": plain(standing.estimated),
        "held": plain(standing.held),
        "remaining": plain(standing.remaining),
        "consumed_percent": plain(standing.percent),
        "period_start": standing.start_on.isoformat(),
        "resets_at": moment(standing.resets_at),
    }


def as_in_a_decision(standing: Standing) -> dict[str, Any]:
    """The shape that answers of `authorize/` have for a budget."""
    return {
        "id": standing.id,
        "name": standing.name,
        "scope": standing.scope,
        "period": standing.period,
        "hard": standing.refuses,
        "limit": plain(standing.limit),
        "spent": plain(standing.spent),
        "estimated": plain(standing.estimated),
        "held": plain(standing.held),
        "remaining": plain(standing.remaining),
        "resets_at": moment(standing.resets_at),
    }
