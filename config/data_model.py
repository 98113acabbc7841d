"""The data model as Mermaid diagrams, one for each app: what `docs/data-model.md` shows."""

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Field, ForeignKey, Model, OneToOneField

from usage.rollups.tables import HISTOGRAMS, ROLLUPS

APPS = ("accounts", "usage", "budgets", "exports", "config")
# Tables that no model stands for, and their keys.
UNMODELLED: dict[str, dict[str, tuple[str, ...]]] = {
    "usage": {
        "usage_requestkey": ("workspace_id", "request_id"),
        "usage_batch": ("id",),
        **{rollup.table: rollup.key for rollup in (*ROLLUPS, *HISTOGRAMS)},
    }
}
ID_FIELDS = ("AutoField", "BigAutoField", "ForeignKey", "OneToOneField")
INDENT = "    "


def page() -> str:
    """All diagrams, as Markdown."""
    return "\n".join(f"## {app}\n\n```mermaid\n{diagram(app)}\n```\n" for app in APPS)


def diagram(app: str) -> str:
    models = sorted(models_of(app), key=lambda model: model._meta.db_table)
    lines = ["erDiagram"]
    for model in models:
        lines += [f"{model._meta.db_table} {{", *columns_of(model), "}"]
    for table, key in UNMODELLED.get(app, {}).items():
        lines += [f"{table} {{", *(f"{INDENT}key {column} PK" for column in key), "}"]
    lines += [relation for model in models for relation in relations_of(model)]
    for table, key in UNMODELLED.get(app, {}).items():
        if "workspace_id" in key:
            lines.append(f"accounts_workspace ||--o{{ {table} : workspace")
    return "\n".join([lines[0], *(f"{INDENT}{line}" for line in lines[1:])])


def models_of(app: str) -> list[type[Model]]:
    return list(apps.get_app_config(app).get_models(include_auto_created=True))


def columns_of(model: type[Model]) -> Iterator[str]:
    """Those that say what a row is, and what it belongs to."""
    for field in model._meta.concrete_fields:
        if field.column is not None and (mark := mark_of(field)):  # None: a key of several columns
            yield f"{INDENT}{kind_of(field)} {field.column}{mark}"


def kind_of(field: Field) -> str:
    name = field.get_internal_type()
    return "id" if name in ID_FIELDS else name.removesuffix("Field").lower()


def mark_of(field: Field) -> str:
    if field.primary_key:
        return " PK"
    return " FK" if isinstance(field, ForeignKey) else " UK" if field.unique else ""


def relations_of(model: type[Model]) -> Iterator[str]:
    for field in model._meta.concrete_fields:
        if isinstance(field, ForeignKey):
            one = "|o" if field.null else "||"
            many = "o|" if isinstance(field, OneToOneField) else "o{"
            there = field.related_model._meta.db_table  # type: ignore[union-attr]
            yield f"{there} {one}--{many} {model._meta.db_table} : {field.name}"
