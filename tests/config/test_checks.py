import os
import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from config import checks
from config.environment import Environment

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


@pytest.mark.parametrize("name", ["WEB_WORKERS", "WEB_THREADS", "HOLD_TTL_SECONDS"])
def test_nothing_runs_in_no_process_or_for_no_time(settings, name):
    setattr(settings, name, 0)

    (error,) = checks.check_numbers()
    assert (error.id, error.msg) == ("config.E011", f"{name} is 0.")


@pytest.mark.parametrize("url", ["spend.example.com", "ftp://spend.example.com", "https://"])
def test_links_in_mails_must_lead_somewhere(settings, url):
    settings.PUBLIC_URL = url

    assert ids(checks.check_public_url()) == ["config.E012"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WEB_WORKERS", "many"),
        ("RATE_LIMIT_PER_TOKEN", "fast"),
        ("TLS", "yse"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("EMAIL_URL", "nonsense"),
        ("DATABASE_URL", "mysql://me:secret@db.example.com/tokenbook"),
        ("DATABASE_URL", "postgres//me:secret@db"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_name_and_without_its_secrets(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    read = Environment()
    how = {
        "TLS": read.bool,
        "WEB_WORKERS": read.int,
        "RATE_LIMIT_PER_TOKEN": read.float,
        "EMAIL_URL": lambda name: read.mail_server(name, default="filemail:"),
        "DATABASE_URL": read.postgresql,
    }
    choose = how.get(name, lambda name: read.one_of(name, ("line", "INFO"), default="line"))

    with pytest.raises(ImproperlyConfigured, match=rf"\(config.E010\) {name} .* HINT") as told:
        choose(name)
    assert "secret" not in str(told.value)


def test_a_variable_that_cannot_be_read_is_one_sentence_and_no_traceback(tmp_path):
    finished = subprocess.run(
        [sys.executable, "manage.py", "web"],
        cwd=django_settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "TOKENBOOK_DATA": str(tmp_path), "WEB_WORKERS": "many"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 1
    assert finished.stderr == (
        "Tokenbook does not start: (config.E010) WEB_WORKERS cannot be read. "
        "HINT: it must be a whole number.\n"
    )


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
