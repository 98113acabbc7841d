"""What the OpenAPI document says about authorizations, whose bodies no serializer describes."""

from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from budgets.authorize import Ask
from budgets.models import Budget


def ask_schema() -> dict[str, Any]:
    """JSON Schema of an ask, without the references that OpenAPI lays elsewhere."""
    (_, components) = msgspec.json.schema_components([Ask])
    return components["Ask"]


ASK = {
    "application/json": {"oneOf": [ask_schema(), {"type": "array", "items": ask_schema()}]},
    "application/x-ndjson": {"type": "string", "description": "One ask a line."},
}


def money(**more: Any) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=30, decimal_places=10, **more)


BUDGETS = inline_serializer(
    "BudgetInTheWay",
    {
        "id": serializers.IntegerField(),
        "name": serializers.CharField(),
        "scope": serializers.ChoiceField(choices=Budget.Scope.choices),
        "period": serializers.ChoiceField(choices=Budget.Period.choices),
        "hard": serializers.BooleanField(help_text="Whether it refuses calls now."),
        "limit": money(allow_null=True, help_text="The one that counts now; null: no limit."),
        "spent": money(help_text="What priced requests cost."),
        "estimated": money(help_text="What unpriced requests count meanwhile."),
        "held": money(help_text="What open holds set aside, this one included."),
        "remaining": money(allow_null=True),
        "resets_at": serializers.DateTimeField(allow_null=True),
    },
    many=True,
)

DECISION = inline_serializer(
    "Decision",
    {
        "request_id": serializers.CharField(),
        "allowed": serializers.BooleanField(),
        "reason": serializers.CharField(help_text="In words, for yes and no."),
        "hold_id": serializers.UUIDField(allow_null=True),
        "expires_at": serializers.DateTimeField(
            allow_null=True, help_text="When the hold frees itself."
        ),
        "budgets": BUDGETS,
    },
)

STANDING = inline_serializer(
    "KeyStanding",
    {
        "allowed": serializers.BooleanField(help_text="False: every call is refused now."),
        "reason": serializers.CharField(),
        "budgets": BUDGETS,
    },
)

CALLER = [
    OpenApiParameter("api_key", str, description="Public id or digest of the key."),
    OpenApiParameter("workspace", str, description="Slug; else that of the key."),
    OpenApiParameter("project", str, description="Tag; else the key's default project."),
    OpenApiParameter("member", str, description="Identifier; else the key's member."),
]
