"""Under /admin/exports/; reversed as `{% url "exports:requests" "csv" %}`."""

from django.contrib import admin
from django.urls import re_path

from exports import admin_views, explorer

app_name = "exports"

urlpatterns = [
    re_path(
        rf"^explorer\.(?P<extension>{'|'.join(explorer.EXTENSIONS)})$",
        admin.site.admin_view(explorer.explorer_file),
        name="explorer",
    ),
    re_path(
        r"^requests\.(?P<extension>csv|json)$",
        admin.site.admin_view(admin_views.requests_file),
        name="requests",
    ),
    re_path(
        r"^usage\.(?P<extension>csv|json)$",
        admin.site.admin_view(admin_views.usage_file),
        name="usage",
    ),
]
