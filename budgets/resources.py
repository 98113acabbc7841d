"""Files of budgets, in and out, by natural keys.

A row is the budget of its account, scope, key, period and name: one that is there is changed, any
other is made. Every row that cannot be taken says in words what to change.
"""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from import_export import fields
from import_export.widgets import Widget

from accounts.models import Account, ApiKey, Member, Project, Workspace
from accounts.resources import ScopedResource
from budgets import changes, ledger
from budgets.models import Budget
from usage.resources import quoted, text_of

# What a budget may be over -> the natural key of that.
KEYS = {"workspace": "slug", "project": "tag", "member": "identifier", "api_key": "identifier"}
YES, NO = frozenset({"yes", "true", "1", "hard"}), frozenset({"", "no", "false", "0", "soft"})


class Dollars(Widget):
    """A limit; empty for none."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Decimal | None:
        text = text_of(value)
        if not text:
            return None
        try:
            limit = Decimal(text)
        except InvalidOperation as error:
            raise ValueError(
                f"{quoted(text)} is not a limit: write US dollars such as 1500 or 12.50, without "
                "a currency or separators of thousands; leave it empty for no limit."
            ) from error
        if not limit.is_finite() or limit < 0 or limit != round(limit, 4):
            raise ValueError(f"{text} is not a limit: it is 0 or more, with 4 decimals at most.")
        return limit

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return "" if value is None else f"{value.normalize():f}"


class YesNo(Widget):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> bool:
        text = text_of(value).lower()
        if text not in YES | NO:
            raise ValueError(f"{quoted(text)} is neither yes nor no.")
        return text in YES

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return "yes" if value else "no"


class Words(Widget):
    """Several in one cell, with commas or blanks between."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> list[Any]:
        return text_of(value).replace(",", " ").replace(";", " ").split()

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return " ".join(str(one) for one in value or ())


class Percents(Words):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> list[int]:
        found = [word.removesuffix("%") for word in super().clean(value) if word != "%"]
        wrong = [word for word in found if not (word.isdecimal() and 0 < int(word[:6]) <= 1000)]
        if wrong:
            raise ValueError(f"{quoted(wrong[0])} is not a threshold: write percents, as 80 100.")
        return sorted({int(word) for word in found})


class Day(Widget):
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> date | None:
        text = text_of(value.isoformat() if isinstance(value, date) else value)[:10]
        try:
            return date.fromisoformat(text) if text else None
        except ValueError as error:
            raise ValueError(f"{quoted(text)} is not a day such as 2026-01-31.") from error

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return value.isoformat() if value else ""


class OneOf(Widget):
    def __init__(self, choices: Any, *, default: str = "") -> None:
        super().__init__()
        self.choices, self.default = choices, default

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> str:
        text = text_of(value).lower().replace(" ", "_") or self.default
        if text not in self.choices.values:
            raise ValueError(f"{quoted(text)}: it is one of {', '.join(self.choices.values)}.")
        return text


class OneOfTheAccounts(Widget):
    known: dict[str, Account]

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Account:
        slug = text_of(value)
        if slug not in self.known:
            raise ValueError(f"There is no account {quoted(slug)} whose budgets you may change.")
        return self.known[slug]

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return value.slug if value else ""


class BudgetResource(ScopedResource):
    account = fields.Field("account", "account", OneOfTheAccounts())
    name = fields.Field("name", "name")
    scope = fields.Field("scope", "scope", OneOf(Budget.Scope))
    workspace = fields.Field(column_name="workspace")
    key = fields.Field(column_name="key")
    limit = fields.Field("limit", "limit", Dollars())
    period = fields.Field("period", "period", OneOf(Budget.Period, default="month"))
    hard = fields.Field("hard", "hard", YesNo())
    thresholds = fields.Field("thresholds", "thresholds", Percents())
    recipients = fields.Field("recipients", "recipients", Words())
    tell_managers = fields.Field("tell_managers", "tell_managers", YesNo())
    tell_member = fields.Field("tell_member", "tell_member", YesNo())
    in_force_from = fields.Field("in_force_from", "in_force_from", Day())
    in_force_until = fields.Field("in_force_until", "in_force_until", Day())

    class Meta:
        model = Budget
        fields = (
            *("account", "name", "scope", "workspace", "key", "limit", "period", "hard"),
            *("thresholds", "recipients", "tell_managers", "tell_member"),
            *("in_force_from", "in_force_until"),
        )
        import_order = export_order = fields
        import_id_fields = ()
        skip_unchanged = True
        clean_model_instances = True

    by = ""

    def dehydrate_workspace(self, budget: Budget) -> str:
        subject = budget.project or budget.api_key
        return subject.workspace.slug if subject else ""

    def dehydrate_key(self, budget: Budget) -> str:
        subject = getattr(budget, budget.scope) if budget.scope in KEYS else None
        return getattr(subject, KEYS[budget.scope]) if subject else ""

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        self.by = str(kwargs.get("user") or "an import")
        workspaces = Workspace.objects.filter(pk__in=self.ids["workspaces"] or [])
        ids = {*(self.ids["accounts"] or []), *workspaces.values_list("account", flat=True)}
        accounts = Account.objects.filter(pk__in=ids)
        self.fields["account"].widget.known = {account.slug: account for account in accounts}

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        unknown = [name for name in row if name and name not in self.Meta.fields]
        if unknown:
            columns = ", ".join(self.Meta.fields)
            raise ValidationError({unknown[0]: f"There is no such column: there are {columns}."})
        for name in self.Meta.fields:
            row.setdefault(name, "80 100" if name == "thresholds" else "")

    def get_instance(self, instance_loader: Any, row: Any) -> Budget | None:
        """The budget that the row is about, if it is there already."""
        told = Budget()
        try:
            self.import_instance(told, row)
        except ValidationError:
            return None  # said when the row is taken
        same = {f"{name}_id": getattr(told, f"{name}_id") for name in ("account", *KEYS)}
        same |= {"scope": told.scope, "period": told.period, "name": told.name}
        return Budget.objects.active().filter(**same).first()

    def import_instance(self, instance: Budget, row: Any, **kwargs: Any) -> None:
        """Raises ValidationError with what is wrong, by column."""
        super().import_instance(instance, row, **kwargs)
        subject = self.subject(instance, text_of(row["key"]), text_of(row["workspace"]))
        if subject is not None:
            setattr(instance, instance.scope, subject)

    def subject(self, budget: Budget, key: str, workspace: str) -> Any:
        """What the row's budget is over, among what the reader may change."""
        account, workspaces = budget.account_id, self.ids["workspaces"] or []
        if budget.scope in (Budget.Scope.ACCOUNT, Budget.Scope.MEMBER) and account not in (
            self.ids["accounts"] or []
        ):
            raise ValidationError({"scope": "Such a budget takes a role in the whole account."})
        if budget.scope == Budget.Scope.ACCOUNT:
            return None
        found: Any = {
            Budget.Scope.WORKSPACE: Workspace.objects.filter(pk__in=workspaces, slug=key),
            Budget.Scope.PROJECT: Project.objects.filter(workspace__in=workspaces, tag=key),
            Budget.Scope.MEMBER: Member.objects.filter(identifier=key),
            Budget.Scope.API_KEY: ApiKey.objects.filter(workspace__in=workspaces, identifier=key),
        }[Budget.Scope(budget.scope)]
        inside = budget.scope in (Budget.Scope.PROJECT, Budget.Scope.API_KEY)
        found = found.filter(**{"workspace__account" if inside else "account": account})
        if inside and workspace:
            found = found.filter(workspace__slug=workspace)
        rows = list(found[:2])
        what = budget.scope.replace("_", " ")
        if not rows:
            raise ValidationError({"key": f"There is no {what} {quoted(key)} that you may cap."})
        if len(rows) > 1:
            raise ValidationError({"workspace": f"Several have that {what}: name the workspace."})
        return rows[0]

    def do_instance_save(self, instance: Budget, is_create: bool) -> None:
        if is_create:
            ledger.open_budget(instance, now=timezone.now())
        else:
            changes.save(instance, by=self.by, now=timezone.now())
