"""Rows that may be deleted until there is history under them; then there is a better way."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin


class KeepsHistory(ModelAdmin):
    """An admin whose rows with history are kept: from their page, from the list, and in a POST."""

    # What to do instead of deleting.
    better_offer = ""

    def with_history(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        raise NotImplementedError

    def kept_of(self, keys: list[Any]) -> list[Any]:
        return list(self.with_history(self.model._default_manager.filter(pk__in=keys)))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        allowed = found is not None and self.has_delete_permission(request, found)
        if not allowed or not self.kept_of([found.pk]):  # type: ignore[union-attr]
            return super().delete_view(request, object_id, extra_context)
        messages.warning(request, self.better_offer)
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[object_id]))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The list's action asks this too, and deletes nothing where something is protected."""
        to_delete, counts, missing, protected = super().get_deleted_objects(objs, request)
        if kept := self.kept_of([one.pk for one in objs]):
            messages.warning(request, self.better_offer)
        return to_delete, counts, missing, [*protected, *map(str, kept)]
