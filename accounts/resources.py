"""Files of configuration, in and out, by natural keys.

Who imports names accounts and workspaces by slug; what lies outside their reach does not exist.
"""

from collections import defaultdict
from typing import Any

from django.core.exceptions import ValidationError
from import_export import fields, resources
from import_export.instance_loaders import BaseInstanceLoader
from import_export.widgets import ForeignKeyWidget

from accounts import versions
from accounts.directory import DIRECTORY_VERSION, safe_identifier
from accounts.import_files import wrong_columns
from accounts.models import Account, ApiKey, Client, Member, Project, Workspace

OF_WORKSPACE = "account__workspaces"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class ScopedForeignKey(ForeignKeyWidget):
    """A row named by its natural key, among those that the import may touch; read once."""

    def __init__(self, model: Any, field: str, *, path: str, reach: str) -> None:
        super().__init__(model, field=field)
        self.path, self.reach = path, reach
        self.ids: list[int] | None = None
        self.known: dict[Any, list[Any]] | None = None

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        """Raises ValueError for what is not there, or not within reach."""
        value = str(value).strip() if value is not None else ""
        if not value:
            return None
        if self.known is None:
            self.known = self.read()
        workspace = str(row.get("workspace") or "").strip() if self.path == OF_WORKSPACE else None
        found = self.known.get((workspace, value), [])
        if len(found) == 1:
            return found[0]
        of = f" in the account of the workspace {workspace!r}" if workspace else ""
        many = "more than one" if found else "no"
        raise ValueError(f"There is {many} {self.model._meta.verbose_name} {value!r}{of}.")

    def read(self) -> dict[Any, list[Any]]:
        """(slug of the workspace, natural key) -> the rows that go by it."""
        known: dict[Any, list[Any]] = defaultdict(list)
        ids = self.ids or []
        if self.path != OF_WORKSPACE:
            for found in self.model._default_manager.filter(pk__in=ids):
                known[None, getattr(found, self.field)].append(found)
            return known
        slugs = defaultdict(list)
        for slug, account_id in Workspace.objects.filter(pk__in=ids).values_list("slug", "account"):
            slugs[account_id].append(slug)
        for found in self.model._default_manager.filter(account__in=slugs):
            for slug in slugs[found.account_id]:
                known[slug, getattr(found, self.field)].append(found)
        return known


class ByNaturalKey(BaseInstanceLoader):
    """The rows that an import may change, read once."""

    def __init__(self, resource: Any, dataset: Any = None) -> None:
        super().__init__(resource, dataset)
        self.fields = [resource.fields[name] for name in resource.get_import_id_fields()]
        self.known = {self.key_of(found): found for found in resource.get_queryset()}

    def key_of(self, found: Any) -> tuple[Any, ...]:
        attributes = [found._meta.get_field(field.attribute).attname for field in self.fields]
        return tuple(getattr(found, attribute) for attribute in attributes)

    def get_instance(self, row: Any) -> Any:
        values = (field.clean(row) for field in self.fields)
        return self.known.get(tuple(getattr(value, "pk", value) for value in values))


class ScopedResource(resources.ModelResource):
    """Rows within the accounts and workspaces that the admin hands over; none without."""

    within = "account"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.ids = {name: kwargs.get(name) for name in ("accounts", "workspaces")}
        for field in self.fields.values():
            if isinstance(field.widget, ScopedForeignKey):
                field.widget.ids = self.ids[field.widget.reach]

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        ids = self.ids["workspaces" if self.within == "workspace" else "accounts"]
        return rows.none() if ids is None else rows.filter(**{f"{self.within}__in": ids})

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Raises ValueError where a column is not there, or is one that nobody knows: what a
        misspelt one says would be lost without a word."""
        known = [str(field.column_name) for field in self.get_import_fields()]
        needed = [str(self.fields[name].column_name) for name in self.get_import_id_fields()]
        if wrong := wrong_columns(dataset.headers or [], needed=needed, known=known):
            raise ValueError(wrong)

    def export_field(self, field: Any, instance: Any, **kwargs: Any) -> Any:
        """A cell that a spreadsheet would take for a formula is quoted."""
        value = super().export_field(field, instance, **kwargs)
        if isinstance(value, str) and value.startswith(FORMULA_STARTS):
            return f"'{value}"
        return value


class ManyRows(ScopedResource):
    """Tens of thousands of rows at once, each looked at, all of them or none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows_by_key: dict[tuple[str, ...], int] = {}

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        super().before_import(dataset, **kwargs)
        self.rows_by_key.clear()

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        """Raises ValueError for a row that is there twice: which one should count?"""
        names = self.get_import_id_fields()
        key = tuple(str(row.get(name) or "").strip() for name in names)
        first = self.rows_by_key.setdefault(key, kwargs.get("row_number", 0))
        if first != kwargs.get("row_number", 0):
            raise ValueError(f"Row {first} has the same {' and '.join(names)} already.")

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """What the admin's form would say. The database is not asked about each row: keys were
        looked up already."""
        errors = dict(import_validation_errors or {})
        others = [field.name for field in instance._meta.fields if field.is_relation]
        try:
            instance.clean_fields(exclude=[*others, *errors])
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        for name in self.get_import_id_fields():
            if name in others and getattr(instance, f"{name}_id", None) is None:
                errors.setdefault(name, []).append(ValidationError("This field is required."))
        if errors:
            raise ValidationError(errors)

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        """Rows that are written together send no signals."""
        versions.bump(DIRECTORY_VERSION)

    class Meta:
        use_bulk = True
        batch_size = 1000
        skip_unchanged = True
        instance_loader_class = ByNaturalKey


class InAccount(ManyRows):
    account = fields.Field(
        "account", "account", ScopedForeignKey(Account, "slug", path="pk", reach="accounts")
    )


class InWorkspace(ManyRows):
    within = "workspace"
    workspace = fields.Field(
        "workspace", "workspace", ScopedForeignKey(Workspace, "slug", path="pk", reach="workspaces")
    )


class ClientResource(InAccount):
    class Meta(ManyRows.Meta):
        model = Client
        fields = ("account", "slug", "name")
        import_id_fields = ("account", "slug")


class MemberResource(InAccount):
    class Meta(ManyRows.Meta):
        model = Member
        fields = ("account", "identifier", "name", "email", "kind")
        import_id_fields = ("account", "identifier")


class ProjectResource(InWorkspace):
    client = fields.Field(
        "client",
        "client",
        ScopedForeignKey(Client, "slug", path=OF_WORKSPACE, reach="workspaces"),
    )

    class Meta(ManyRows.Meta):
        model = Project
        fields = ("workspace", "tag", "name", "client")
        import_id_fields = ("workspace", "tag")


class ApiKeyResource(InWorkspace):
    member = fields.Field(
        "member",
        "member",
        ScopedForeignKey(Member, "identifier", path=OF_WORKSPACE, reach="workspaces"),
    )

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        """A key itself, where its id belongs, is not kept: only its SHA-256."""
        row["identifier"] = safe_identifier(str(row.get("identifier") or "").strip())
        super().before_import_row(row, **kwargs)

    class Meta(ManyRows.Meta):
        model = ApiKey
        fields = ("workspace", "identifier", "name", "member")
        import_id_fields = ("workspace", "identifier")
