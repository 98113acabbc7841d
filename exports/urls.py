from django.urls import path

from exports import views
from exports.formats import FORMATS

urlpatterns = [
    path(f"exports/{dataset}.{extension}", view.as_view(), {"extension": extension})
    for dataset, view in (
        ("requests", views.RequestsExportView),
        ("usage", views.UsageExportView),
    )
    for extension in FORMATS
]
