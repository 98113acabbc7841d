"""The form of a budget: what it is over, its limit, a raise, when it is in force, who is told."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from budgets.models import Budget

SUBJECTS = ("workspace", "project", "member", "api_key")
RAISE = ("raised_limit", "raised_until", "raised_reason")


class BudgetForm(forms.ModelForm):
    class Meta:
        model = Budget
        fields = (
            "account", "name", "scope", *SUBJECTS, "limit", "period", "hard", "thresholds",
            "recipients", "tell_managers", "tell_member", *RAISE, "in_force_from",
            "in_force_until",
        )  # fmt: skip
        widgets = {
            "thresholds": UnfoldAdminTextInputWidget,
            "recipients": UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "raised_until" in self.fields:
            self.fields["raised_until"].help_text = f"In {zone_name()}."

    def clean_raised_until(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["raised_until"]
        if until and "raised_until" in self.changed_data and until <= timezone.now():
            raise forms.ValidationError("This is over already. Give a moment that is to come.")
        return until


def problem_of(form: forms.ModelForm) -> str:
    """What of the form keeps its limit from being looked at; names and alerts do not matter."""
    needed = ("account", "scope", *SUBJECTS, "limit", "period")
    for name in needed:
        if name in form.errors:
            return f"{form.fields[name].label}: {form.errors[name][0]}"
    if form.cleaned_data.get("limit") is None:
        return "Give a limit to look at."
    return ""


def zone_name() -> str:
    return timezone.get_current_timezone_name()


LIMIT = ("Limit", {"fields": ("limit", "period", "hard")})
RAISED = (
    "Temporary raise",
    {
        "fields": RAISE,
        "description": "Lets more pass until a moment, then the limit counts again by itself. "
        "Empty these to end it earlier.",
    },
)
IN_FORCE = (
    "In force",
    {
        "fields": ("in_force_from", "in_force_until"),
        "description": "Outside these days it counts on, but neither refuses nor warns. "
        "Empty: always.",
    },
)


def fieldsets(budget: Budget | None) -> Any:
    """Of a budget that is there, only the fields that its scope has."""
    over = {
        "fields": ("scope", *SUBJECTS),
        "description": "Scope and period stay as they are made: another one is another budget.",
    }
    told = ["thresholds", "recipients", "tell_managers", "tell_member"]
    if budget is not None:
        over = {"fields": ("scope", *(name for name in SUBJECTS if name == budget.scope))}
        if budget.scope not in (Budget.Scope.MEMBER, Budget.Scope.API_KEY):
            told.remove("tell_member")
    alerts = {
        "fields": tuple(told),
        "description": "When nobody is named, the account's owners are told.",
    }
    return (
        (None, {"fields": ("account", "name")}),
        ("What it is over", over),
        LIMIT,
        ("Alerts", alerts),
        RAISED,
        IN_FORCE,
    )
