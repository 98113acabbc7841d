"""What is in the archive, and how retention went."""

from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django_q.tasks import async_task
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.access import Right
from accounts.scoped_admin import ByAccount, ScopedAdmin
from exports import retention_run
from exports.models import ArchiveFile, RetentionRun
from usage import formatting
from usage.reports.run import plain

MODES = {
    "keep": "Every request is kept, also past the retention that workspaces say.",
    "delete": "Requests past their retention are deleted for good, without a file. Totals stay.",
    "archive": "Requests past their retention go to the archive, and are removed once they were "
    "read back from there. Totals stay.",
}


class ReadOnly:
    """Made by the worker, never by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ArchiveFile)
class ArchiveFileAdmin(ReadOnly, ScopedAdmin):
    """Days whose single requests are in files, for those who keep the books."""

    nothing_yet = (
        "Days appear here when single requests pass their retention and an archive is set up."
    )
    see_right = Right.EDIT_PRICES_AND_CLIENTS
    list_before_template = "exports/archive_state.html"
    list_display = (
        *("day", "account", "part", "requests", "spend", "bytes_shown", "label"),
        *("written_at", "kept_until"),
    )
    list_select_related = ("account",)
    list_filter = ("state", ByAccount)
    date_hierarchy = "day"
    fields = (
        *("account", "day", "part", "label", "key", "start_at", "end_at", "requests", "totals"),
        *("sha256", "bytes_shown", "written_at", "removed_at", "restored_at", "kept_until"),
    )
    readonly_fields = fields
    actions = ("bring_back",)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {
            "retention": MODES[retention_run.mode()],
            "retention_is_chosen": retention_run.is_chosen(),
            "last_run": last_run(),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    @display(description="requests", ordering="rows")
    def requests(self, file: ArchiveFile) -> str:
        return formatting.count(file.rows)

    @display(description="cost, USD")
    def spend(self, file: ArchiveFile) -> str:
        return str(plain(Decimal(file.totals["cost"])))

    @display(description="size", ordering="size")
    def bytes_shown(self, file: ArchiveFile) -> str:
        return filesizeformat(file.size)

    @display(
        description="state",
        ordering="state",
        label={
            "archived": "success",
            "restored": "info",
            "verified": "warning",
            "stale": "warning",
        },
    )
    def label(self, file: ArchiveFile) -> str:
        return file.state

    def has_bring_back_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    @admin.action(description="Bring the days back into the log", permissions=["bring_back"])
    def bring_back(self, request: HttpRequest, queryset: QuerySet[ArchiveFile]) -> None:
        archived = queryset.filter(state=ArchiveFile.State.ARCHIVED)
        days = set(archived.order_by().values_list("account", "day"))
        for account_id, day in days:
            async_task("exports.tasks.restore_day", account_id, day.isoformat())
        messages.success(request, f"{len(days)} days are being brought back; reload this list.")


def last_run() -> RetentionRun | None:
    return RetentionRun.objects.first()


@admin.register(RetentionRun)
class RetentionRunAdmin(ReadOnly, ModelAdmin):
    """For platform staff: what each run did, and what stopped it."""

    nothing_yet = "Retention runs every night; its first run is told here."
    list_display = (
        *("started_at", "took", "archived", "removed", "partitions_dropped", "days_waiting"),
        "outcome",
    )
    list_per_page = 50
    show_full_result_count = False
    fields = ("started_at", "finished_at", "mode", *list_display[2:6], "error")
    readonly_fields = fields

    @display(description="took")
    def took(self, run: RetentionRun) -> str:
        return formatting.span(run.started_at, run.finished_at or timezone.now())

    @display(description="archived", ordering="rows_archived")
    def archived(self, run: RetentionRun) -> str:
        return formatting.count(run.rows_archived)

    @display(description="removed", ordering="rows_removed")
    def removed(self, run: RetentionRun) -> str:
        return formatting.count(run.rows_removed)

    @display(
        description="outcome", label={"done": "success", "failed": "danger", "running": "info"}
    )
    def outcome(self, run: RetentionRun) -> str:
        return "failed" if run.error else ("done" if run.finished_at else "running")
