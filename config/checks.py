"""System checks over the settings: what would fail late, or leak, is told before the start."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

SHORTEST_SECRET_KEY = 50
FEWEST_CHARACTERS = 5
# What the API promises to take in one request, and what one request may cost in memory.
SMALLEST_INGEST_BYTES = 32 * 1024 * 1024
LARGEST_INGEST_BYTES = 1024 * 1024 * 1024


@register(Tags.security)
def check_secret_key(**_: Any) -> list[CheckMessage]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    if not key:
        return [
            Error(
                "SECRET_KEY is not set.",
                hint="Set it in the environment, or name in TOKENBOOK_DATA where `make run` "
                "keeps the one that it made.",
                id="config.E001",
            )
        ]
    strong = len(key) >= SHORTEST_SECRET_KEY and len(set(key)) >= FEWEST_CHARACTERS
    if strong and not key.startswith("django-insecure-"):
        return []
    return [
        Error(
            f"SECRET_KEY is a default or shorter than {SHORTEST_SECRET_KEY} characters.",
            hint='Make one: python -c "import secrets; print(secrets.token_urlsafe(50))".',
            id="config.E002",
        )
    ]


@register(Tags.security)
def check_allowed_hosts(**_: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS contains '*': links in mails can be made to point anywhere.",
            hint="Name the hosts under which this server is reached.",
            id="config.W003",
        )
    ]


@register(Tags.database)
def check_database_engine(**_: Any) -> list[CheckMessage]:
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine == "django.db.backends.postgresql":
        return []
    return [
        Error(
            f"DATABASE_URL names {engine}, and only PostgreSQL will do.",
            hint="Use postgres://USER:PASSWORD@HOST:PORT/NAME, PostgreSQL 15 or newer.",
            id="config.E004",
        )
    ]


@register(Tags.compatibility)
def check_ingest_bytes(**_: Any) -> list[CheckMessage]:
    size = settings.INGEST_MAX_BYTES
    if size < SMALLEST_INGEST_BYTES:
        return [
            Error(
                f"INGEST_MAX_BYTES is {size}, and the API promises to take 32 MB.",
                hint=f"Set it to {SMALLEST_INGEST_BYTES} or more.",
                id="config.E005",
            )
        ]
    if size > LARGEST_INGEST_BYTES:
        return [
            Warning(
                f"INGEST_MAX_BYTES is {size}: one request may take as much memory.",
                hint=f"Set it to {LARGEST_INGEST_BYTES} or less.",
                id="config.W006",
            )
        ]
    return []


@register(Tags.files)
def check_data_directory(**_: Any) -> list[CheckMessage]:
    if can_be_written(settings.DATA_DIR):
        return []
    return [
        Error(
            f"The data directory {settings.DATA_DIR} cannot be written.",
            hint="Set TOKENBOOK_DATA to a directory that belongs to the user of this process.",
            id="config.E007",
        )
    ]


@register(Tags.files)
def check_retention(**_: Any) -> list[CheckMessage]:
    from exports.places import BadPlace, place_of

    found: list[CheckMessage] = []
    if settings.RETENTION_WITHOUT_ARCHIVE not in ("", "keep", "delete"):
        hint = "keep (the default) removes nothing; delete removes what expired, for good."
        found.append(
            Error("RETENTION_WITHOUT_ARCHIVE is keep or delete.", hint=hint, id="config.E008")
        )
    for name in ("ARCHIVE_URL", "EXPORTS_URL"):
        try:
            place_of(getattr(settings, name) or "/")
        except BadPlace as error:
            found.append(Error(f"{name}: {error}", id="config.E009"))
    return found


# Less makes no sense.
LEAST = {
    "WEB_WORKERS": 1,
    "WEB_THREADS": 1,
    "HOLD_TTL_SECONDS": 1,
    "STATEMENT_TIMEOUT_SECONDS": 0,
    "DOWNLOAD_SECONDS": 1,
    "RATE_LIMIT_PER_TOKEN": 0,
    "TRUSTED_PROXIES": 0,
}


@register(Tags.compatibility)
def check_numbers(**_: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{name} is {getattr(settings, name)}.",
            hint=f"Set it to {least} or more.",
            id="config.E011",
        )
        for name, least in LEAST.items()
        if getattr(settings, name) < least
    ]


@register(Tags.urls)
def check_public_url(**_: Any) -> list[CheckMessage]:
    parts = urlsplit(settings.PUBLIC_URL)
    if parts.scheme in ("http", "https") and parts.hostname and not parts.query:
        return []
    return [
        Error(
            f"PUBLIC_URL is {settings.PUBLIC_URL!r}, and links in mails begin with it.",
            hint="Write it as people's browsers do: https://spend.example.com",
            id="config.E012",
        )
    ]


def can_be_written(directory: Path) -> bool:
    """Or, where it is still to be made, whether it can be made."""
    existing = next(path for path in [directory, *directory.parents] if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
