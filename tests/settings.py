"""The real settings over a throw-away data directory, without what only makes tests slow.

The environment is emptied first: a developer's DATABASE_URL must never be the database under test.
"""

import os
import tempfile
from pathlib import Path

TEMPORARY = Path(tempfile.mkdtemp(prefix="tokenbook-tests-"))
(TEMPORARY / "static").mkdir()

FOREIGN = """ALLOWED_HOSTS ARCHIVE_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
    CSRF_TRUSTED_ORIGINS DATABASE_URL DEBUG DEFAULT_FROM_EMAIL DOWNLOAD_SECONDS EMAIL_URL
    EXPORTS_URL HOST EXPORT_ALLOWED_HOSTS EXPORT_FOLDER RETENTION_WITHOUT_ARCHIVE
    SECRET_KEY_FALLBACKS INGEST_MAX_BYTES LOG_FORMAT LOG_LEVEL METRICS_TOKEN PORT
    PREPARE_STATEMENTS PUBLIC_URL RATE_LIMIT_PER_TOKEN REQUIRE_SECOND_FACTOR
    STATEMENT_TIMEOUT_SECONDS TLS TOKENBOOK_ADMIN_PASSWORD TRUSTED_PROXIES WEB_THREADS
    WEB_WORKERS"""
for name in FOREIGN.split():
    os.environ.pop(name, None)
os.environ["TOKENBOOK_DATA"] = str(TEMPORARY)
os.environ["SECRET_KEY"] = "for-tests-only-0123456789-abcdefghijklmnopqrstuvwxyz"

from config.settings import *  # noqa: E402, F403
from config.settings import DATA_DIR  # noqa: E402

if TEMPORARY.resolve() != DATA_DIR:
    raise RuntimeError(f"The tests would run over {DATA_DIR}: start them with pytest.")

PASSWORD_HASHERS = ["tests.hashing.QuickHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
