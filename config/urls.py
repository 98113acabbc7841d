"""Every URL of the platform."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import budgets.views
import usage.views
from config import health, metrics

api = [
    path("", include("usage.urls")),
    path("", include("budgets.urls")),
    path("", include("exports.urls")),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/exports/", include("exports.admin_urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include((api, "api"))),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics, name="metrics"),
]

# The routes that are answered beneath Django, by their whole path: also without the slash at the
# end, because a redirect would lose what was posted.
HOT_ROUTES = {
    f"/api/v1/{path}": route
    for whole, route in (usage.views.HOT_ROUTES | budgets.views.HOT_ROUTES).items()
    for path in (whole, whole.removesuffix("/"))
}

handler404 = "config.errors.not_found"
handler500 = "config.errors.failed"
