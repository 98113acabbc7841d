"""The admin site: unfold's, with a home dashboard and the request log."""

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.sites import UnfoldAdminSite

from accounts import moments
from accounts.access import Right
from accounts.scoped_admin import reach_of, whole_accounts
from config import home, second_factor_page, throttle
from config.login import LoginForm
from usage import request_log_page
from usage.models import QuarantinedRow
from usage.query_strings import tidied


class TokenbookAdminSite(UnfoldAdminSite):
    index_title = "Dashboard"
    empty_value_display = moments.NONE
    login_form = LoginForm
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Of who did not show a second factor that they have, or must have, nothing else counts."""
        return super().has_permission(request) and second_factor_page.satisfies(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if super().has_permission(request) and not self.has_permission(request):
            return HttpResponseRedirect(second_factor_page.where_to_go_on(request))
        response = super().login(request, extra_context)
        if getattr(request, "locked_out", False):
            response.status_code = 429
            response.headers["Retry-After"] = str(int(throttle.WINDOW.total_seconds()))
        return response

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tidy = tidied(request.GET)
        if tidy is not None:
            return HttpResponseRedirect(f"{request.path}?{tidy}")
        quarantine = self.get_model_admin(QuarantinedRow).get_queryset(request)
        context = home.dashboard(
            reach_of(request),
            request.GET,
            now=timezone.now(),
            quarantine=quarantine,
            whose_books=whole_accounts(request, Right.EDIT_PRICES_AND_CLIENTS),
        )
        context["may_manage"] = bool(whole_accounts(request, Right.MANAGE))
        context["may_export"] = bool(reach_of(request, Right.EXPORT).workspaces)
        context["public_url"] = request.build_absolute_uri("/").rstrip("/")
        return super().index(request, {**context, **(extra_context or {})})

    def app_index(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Which app holds what is nobody's business: the navigation goes by tasks."""
        return HttpResponseRedirect(reverse("admin:index"))

    def extra_urls(self) -> list[URLPattern]:
        # Not before: what stands beside them registers with this site.
        from config import audit_page, books_page, operations_page
        from config.request_page import policy_of
        from usage.admin import price_review, unpriced
        from usage.explorer import page as explorer
        from usage.explorer import saved as saved_views
        from usage.insight import pages as insight

        return [
            path("explorer/", self.admin_view(explorer.page), name="explorer"),
            path("explorer/values/", self.admin_view(explorer.values), name="explorer_values"),
            path("explorer/save/", self.admin_view(saved_views.save), name="explorer_save"),
            path("explorer/delete/", self.admin_view(saved_views.delete), name="explorer_delete"),
            path("requests/", self.admin_view(request_log_page.log), name="request_log"),
            path(
                "requests/one/",
                self.admin_view(partial(request_log_page.detail, beside=policy_of)),
                name="request_detail",
            ),
            path("prices/review/", self.admin_view(price_review.page), name="price_review"),
            path("prices/unpriced/", self.admin_view(unpriced.page), name="unpriced"),
            path("prices/unpriced/price/", self.admin_view(unpriced.price), name="unpriced_price"),
            path(
                "prices/unpriced/answers/",
                self.admin_view(unpriced.answers),
                name="unpriced_answers",
            ),
            *insight.urls(self.admin_view),
            path("login/code/", second_factor_page.login_code, name="login_code"),
            path("second-factor/", second_factor_page.manage, name="second_factor"),
            path("audit/", self.admin_view(audit_page.page), name="audit"),
            path("audit/object/", self.admin_view(audit_page.history), name="audit_object"),
            path("audit/download/", self.admin_view(audit_page.download), name="audit_download"),
            path("operations/", self.admin_view(operations_page.page), name="operations"),
            path("books/", self.admin_view(books_page.page), name="books"),
            path("books/check/", self.admin_view(books_page.check_now), name="books_check"),
        ]
