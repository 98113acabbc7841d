"""Under /admin/exports/; reversed as `{% url "exports:file" "requests" "csv" %}`."""

from django.contrib import admin
from django.urls import re_path

from exports import admin_views, explorer
from exports.addresses import DATASET, EXTENSION, one_of

app_name = "exports"

view = admin.site.admin_view(admin_views.dataset_file)

urlpatterns = [
    re_path(
        rf"^explorer\.{one_of('extension', explorer.EXTENSIONS)}$",
        admin.site.admin_view(explorer.explorer_file),
        name="explorer",
    ),
    re_path(rf"^{DATASET}\.{EXTENSION}$", view, name="file"),
    # By the names of the two that pages link to.
    re_path(rf"^requests\.{EXTENSION}$", view, {"dataset": "requests"}, name="requests"),
    re_path(rf"^usage\.{EXTENSION}$", view, {"dataset": "usage"}, name="usage"),
]
