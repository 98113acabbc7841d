"""Makes `django.contrib.admin` use our site."""

from django.contrib.admin.apps import AdminConfig


class TokenbookAdminConfig(AdminConfig):
    default_site = "config.site.TokenbookAdminSite"
