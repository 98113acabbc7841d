from django.urls import path, re_path

from usage import otlp_view, views
from usage.insight import views as insight

urlpatterns = [
    path("requests/", views.RequestsView.as_view(), name="requests"),
    path("requests/<path:request_id>/", views.RequestView.as_view(), name="request"),
    path("ingest/litellm/", views.LiteLLMView.as_view(), name="ingest-litellm"),
    re_path(r"^otlp/v1/traces/?$", otlp_view.TracesView.as_view(), name="otlp-traces"),
    path("usage/", views.UsageView.as_view(), name="usage"),
    path("usage/schema/", views.UsageSchemaView.as_view(), name="usage-schema"),
    path("anomalies/", insight.AnomaliesView.as_view(), name="anomalies"),
    path("availability/", insight.AvailabilityView.as_view(), name="availability"),
    path("savings/", insight.SavingsView.as_view(), name="savings"),
]
