"""The WSGI application that the web server serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django_application = get_wsgi_application()

# Only now that the apps are loaded.
from config.urls import HOT_ROUTES  # noqa: E402
from usage.hot_routes import HotRoutes  # noqa: E402

application = HotRoutes(HOT_ROUTES, otherwise=django_application)
