"""What other apps put into the admin, taken out or made to look like the rest.

Schedules come from code (`schedules.py`), and the queue is no list to edit: of django-q2 only
failures are shown, to platform staff.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

# Registers its own models; here, so that it cannot do so after us.
from django_q import admin as django_q_admin  # noqa: F401
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin

for model in (Failure, OrmQ, Schedule, Success):
    admin.site.unregister(model)


@admin.register(Failure)
class FailureAdmin(ModelAdmin):
    nothing_yet = "Every task of the last days was done."
    list_display = ("name", "func", "started", "stopped", "attempt_count")
    search_fields = ("name", "func")
    list_per_page = 50
    show_full_result_count = False
    fields = ("name", "func", "args", "kwargs", "result", "started", "stopped", "attempt_count")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
