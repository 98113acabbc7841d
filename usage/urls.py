from django.urls import path

from usage import views

urlpatterns = [
    path("requests/", views.RequestsView.as_view(), name="requests"),
    path("requests/<path:request_id>/", views.RequestView.as_view(), name="request"),
    path("ingest/litellm/", views.LiteLLMView.as_view(), name="ingest-litellm"),
    path("usage/", views.UsageView.as_view(), name="usage"),
    path("usage/schema/", views.UsageSchemaView.as_view(), name="usage-schema"),
]
