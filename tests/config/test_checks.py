import os
import subprocess
import sys

import pytest
from django.conf import settings as django_settings

from config import checks

PRODUCTION = {
    "SECRET_KEY": "k7Jm2Qx9Vb4Nc8Zl1Wp6Rt3Ys5Hd0Gf-uEaOiKjLhBqTzXwCvMn",
    "DATABASE_URL": "postgres://tokenbook@db.example.com/tokenbook",
    "ALLOWED_HOSTS": "spend.example.com",
    "PUBLIC_URL": "https://spend.example.com",
    "EMAIL_URL": "smtp+tls://mail.example.com:587",
    "TLS": "1",
}


def ids(messages):
    return [message.id for message in messages]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("", ["config.E001"]),
        ("short", ["config.E002"]),
        ("a" * 60, ["config.E002"]),
        ("django-insecure-" + PRODUCTION["SECRET_KEY"], ["config.E002"]),
        (PRODUCTION["SECRET_KEY"], []),
    ],
)
def test_a_secret_key_must_be_long_and_our_own(settings, key, expected):
    settings.SECRET_KEY = key

    assert ids(checks.check_secret_key()) == expected


def test_any_host_is_warned_of(settings):
    settings.ALLOWED_HOSTS = ["spend.example.com", "*"]

    assert ids(checks.check_allowed_hosts()) == ["config.W003"]


def test_only_postgresql_will_do(monkeypatch):
    default = django_settings.DATABASES["default"]
    monkeypatch.setitem(default, "ENGINE", "django.db.backends.sqlite3")

    assert ids(checks.check_database_engine()) == ["config.E004"]


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [(1, ["config.E005"]), (32, []), (64, []), (4096, ["config.W006"])],
)
def test_ingest_takes_what_the_api_promises(settings, megabytes, expected):
    settings.INGEST_MAX_BYTES = megabytes * 1024 * 1024

    assert ids(checks.check_ingest_bytes()) == expected


def test_a_data_directory_that_cannot_be_made_is_an_error(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.DATA_DIR = tmp_path / "file" / "var"

    assert ids(checks.check_data_directory()) == ["config.E007"]


def test_a_data_directory_that_can_be_made_is_fine(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "new" / "var"

    assert checks.check_data_directory() == []


def test_a_production_environment_passes_the_deployment_check(tmp_path):
    finished = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=django_settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "TOKENBOOK_DATA": str(tmp_path), **PRODUCTION},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (finished.returncode, finished.stderr) == (0, "")
