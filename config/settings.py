"""Settings, from the environment only; README.md lists every variable.

Without DATABASE_URL the embedded PostgreSQL in the data directory is used, which `manage.py up`
starts. Without SECRET_KEY the key that `manage.py up` keeps in the data directory is used; where
there is none either, Django refuses to start.
"""

from typing import Any

from config import directories, embedded, kept
from config.environment import Environment
from config.unfold import UNFOLD  # noqa: F401 (read by django-unfold)

env = Environment()

BASE_DIR = directories.BASE_DIR
DATA_DIR = directories.DATA_DIR

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default=kept.read(directories.SECRET_KEY_FILE))
# Former keys, which still read what was kept under them (`exports/secrets.py`).
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")

# Behind TLS, one switch turns on everything that only makes sense there.
TLS = env.bool("TLS", default=PUBLIC_URL.startswith("https://"))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = TLS
SECURE_HSTS_SECONDS = 31_536_000 if TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TLS else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_AGE = 12 * 3600
# How many proxies of ours a request passes, each of which adds to X-Forwarded-For.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=1 if TLS else 0)
REQUIRE_SECOND_FACTOR = env.bool("REQUIRE_SECOND_FACTOR", default=False)

INSTALLED_APPS = [
    "config",
    "accounts",
    "usage",
    "budgets",
    "exports",
    "unfold.apps.BasicAppConfig",  # the site is ours, not unfold's default
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "config.admin_app.TokenbookAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "import_export",
    "django_q",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.content_policy.ContentSecurityPolicy",
    "config.compression.CompressedPages",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.slashes.Slashes",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.acting.Acting",
    "config.odd_input.OddInput",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        **(
            env.postgresql("DATABASE_URL")
            if "DATABASE_URL" in env
            else embedded.connection(directories.POSTGRES_DIR)
        ),
        # A new connection a request costs seven times the request itself.
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }
}
# Statements that ask for it are planned once a connection, unless a pooler stands in between that
# cannot keep them.
PREPARE_STATEMENTS = env.bool("PREPARE_STATEMENTS", default=True)
# A server that vanished without a word (its machine lost its power, or the network between) is
# given up within half a minute; TCP itself would have threads wait for a quarter of an hour.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
    **DATABASES["default"].get("OPTIONS", {}),
    "prepare_threshold": 0 if PREPARE_STATEMENTS else None,
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = ["config.formats"]

STATIC_URL = "static/"
STATIC_ROOT = directories.STATIC_DIR
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Mail: EMAIL_URL names the SMTP server; without it mails become files in the data directory.
EMAIL_CONFIG = env.mail_server("EMAIL_URL", default="filemail:")
EMAIL_BACKEND = EMAIL_CONFIG["EMAIL_BACKEND"]
EMAIL_FILE_PATH = EMAIL_CONFIG["EMAIL_FILE_PATH"] or str(directories.MAIL_DIR)
EMAIL_HOST = EMAIL_CONFIG["EMAIL_HOST"] or "localhost"
EMAIL_PORT = EMAIL_CONFIG["EMAIL_PORT"] or 25
EMAIL_HOST_USER = EMAIL_CONFIG["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD = EMAIL_CONFIG["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS = EMAIL_CONFIG.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = EMAIL_CONFIG.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Tokenbook <tokenbook@localhost>")

# A LiteLLM batch is 6 MB and may be much more; the ingest views bound the inflated size themselves.
INGEST_MAX_BYTES = env.int("INGEST_MAX_BYTES", default=64 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = INGEST_MAX_BYTES

# Where files of exports wait to be fetched; without it a folder in the data directory.
EXPORTS_URL = env.str("EXPORTS_URL", default="")
# Below which folder scheduled exports may be put, and which hosts inside the private network may be
# sent to all the same.
EXPORT_FOLDER = env.str("EXPORT_FOLDER", default="")
EXPORT_ALLOWED_HOSTS = env.list("EXPORT_ALLOWED_HOSTS", default=[])
# Where requests go that are past their retention; without it they are kept, or deleted.
ARCHIVE_URL = env.str("ARCHIVE_URL", default="")
# Empty: nobody has chosen yet; until then everything is kept.
RETENTION_WITHOUT_ARCHIVE = env.str("RETENTION_WITHOUT_ARCHIVE", default="")

# Off: checks of providers never reach what is not on the internet.
CHECK_PRIVATE_ADDRESSES = env.bool("CHECK_PRIVATE_ADDRESSES", default=False)
HOLD_TTL_SECONDS = env.int("HOLD_TTL_SECONDS", default=900)

# Python runs one thread at a time; the others wait for PostgreSQL, and calls that wait together are
# made together (`usage/coalescing.py`), so that more threads mean fewer commits.
WEB_WORKERS = env.int("WEB_WORKERS", default=2)
WEB_THREADS = env.int("WEB_THREADS", default=12)
# Calls a second of one access token over the processes of a server; 0: as many as come.
RATE_LIMIT_PER_TOKEN = env.float("RATE_LIMIT_PER_TOKEN", default=0.0)
# Of the web server, so that no report holds a thread for ever; workers take their time.
STATEMENT_TIMEOUT_SECONDS = env.int("STATEMENT_TIMEOUT_SECONDS", default=120)
# However slowly a client takes a download, it has a thread and a snapshot no longer than this.
DOWNLOAD_SECONDS = env.int("DOWNLOAD_SECONDS", default=900)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.AccessTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "exports.renderers.ReportCSVRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "accounts.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Tokenbook API",
    "DESCRIPTION": "Post request logs, ask whether a call may go, and read what was spent.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.declare_errors",
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}

# Every value written down: the defaults retry for ever, never time out and replay missed schedules.
# The scheduler is off because it looks only every 30 s; `manage.py worker` runs it every second.
Q_CLUSTER: dict[str, Any] = {
    "name": "tokenbook",
    "orm": "default",
    "broker_class": "config.broker.PulsingBroker",
    "workers": 2,
    "timeout": 120,
    "retry": 900,
    "max_attempts": 5,
    "ack_failures": True,
    "queue_limit": 2,
    "bulk": 1,
    "save_limit": -1,
    "catch_up": False,
    "recycle": 200,
    "poll": 0.5,
    "scheduler": False,
}

LOG_FORMAT = env.one_of("LOG_FORMAT", ("line", "json"), default="line")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "config.logs.Line"}, "json": {"()": "config.logs.Json"}},
    "filters": {"news": {"()": "config.logs.News"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    # Answers of 400 to 404 are part of the day and told to whoever asked.
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["news"]},
        "django.security": {"level": "ERROR"},
    },
    "root": {
        "handlers": ["console"],
        "level": env.one_of("LOG_LEVEL", LOG_LEVELS, default="WARNING"),
    },
}

# Without it there is no /metrics: the figures are nobody's business by default.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
