"""Files of configuration, in and out, by natural keys.

Who imports names accounts and workspaces by slug; what lies outside their reach does not exist.
"""

from typing import Any

from import_export import fields, resources
from import_export.widgets import ForeignKeyWidget

from accounts.models import Account, ApiKey, Client, Member, Project, Workspace

OF_WORKSPACE = "account__workspaces"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class ScopedForeignKey(ForeignKeyWidget):
    """A row named by its natural key, among those that the import may touch."""

    def __init__(self, model: Any, field: str, *, path: str, reach: str) -> None:
        super().__init__(model, field=field)
        self.path, self.reach = path, reach
        self.ids: list[int] | None = None

    def get_queryset(self, value: Any, row: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().get_queryset(value, row, *args, **kwargs)
        if self.ids is None:
            return found.none()
        found = found.filter(**{f"{self.path}__in": self.ids})
        if self.path == OF_WORKSPACE:  # of the account that the row's own workspace belongs to
            found = found.filter(account__workspaces__slug=row.get("workspace"))
        return found.distinct()


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

    def export_field(self, field: Any, instance: Any, **kwargs: Any) -> Any:
        """A cell that a spreadsheet would take for a formula is quoted."""
        value = super().export_field(field, instance, **kwargs)
        if isinstance(value, str) and value.startswith(FORMULA_STARTS):
            return f"'{value}"
        return value


class InAccount(ScopedResource):
    account = fields.Field(
        "account", "account", ScopedForeignKey(Account, "slug", path="pk", reach="accounts")
    )


class InWorkspace(ScopedResource):
    within = "workspace"
    workspace = fields.Field(
        "workspace", "workspace", ScopedForeignKey(Workspace, "slug", path="pk", reach="workspaces")
    )


class ClientResource(InAccount):
    class Meta:
        model = Client
        fields = ("account", "slug", "name")
        import_id_fields = ("account", "slug")
        skip_unchanged = True


class MemberResource(InAccount):
    class Meta:
        model = Member
        fields = ("account", "identifier", "name", "email", "kind")
        import_id_fields = ("account", "identifier")
        skip_unchanged = True


class ProjectResource(InWorkspace):
    client = fields.Field(
        "client",
        "client",
        ScopedForeignKey(Client, "slug", path=OF_WORKSPACE, reach="workspaces"),
    )

    class Meta:
        model = Project
        fields = ("workspace", "tag", "name", "client")
        import_id_fields = ("workspace", "tag")
        skip_unchanged = True


class ApiKeyResource(InWorkspace):
    member = fields.Field(
        "member",
        "member",
        ScopedForeignKey(Member, "identifier", path=OF_WORKSPACE, reach="workspaces"),
    )

    class Meta:
        model = ApiKey
        fields = ("workspace", "identifier", "name", "member")
        import_id_fields = ("workspace", "identifier")
        skip_unchanged = True
