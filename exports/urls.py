from django.urls import path, re_path

from exports import job_views, views
from exports.addresses import DATASET, EXTENSION

urlpatterns = [
    path("exports/", job_views.ExportsView.as_view(), name="exports"),
    path("exports/<uuid:export_id>/", job_views.ExportView.as_view(), name="export"),
    path(
        "exports/<uuid:export_id>/download/",
        job_views.ExportDownloadView.as_view(),
        name="export_download",
    ),
    re_path(rf"^exports/{DATASET}\.{EXTENSION}$", views.DatasetView.as_view(), name="dataset"),
]
