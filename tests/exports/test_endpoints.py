"""What schedules are made of beside the database: periods, addresses, secrets."""

import socket
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from exports import endpoints, secrets
from exports.models import Destination
from exports.places import Bucket, PlaceError
from exports.schedule_periods import periods_over


def test_periods_are_the_accounts_also_when_the_clock_changes():
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")  # on November 1, 2026 at 2:00 it is 1:00 again
    since, now = datetime(2026, 11, 1, 3, 30, tzinfo=UTC), datetime(2026, 11, 2, 6, tzinfo=UTC)

    days = list(periods_over(since, "day", zone, now=now))
    hours = list(periods_over(since, "hour", zone, now=now))

    assert [(end - start) / timedelta(hours=1) for start, end in days] == [24, 25]
    assert len(hours) == 26
    weeks = list(periods_over(since, "week", zone, now=now + timedelta(days=7)))
    assert [start.astimezone(zone).isoformat() for start, _ in weeks] == [
        "2026-10-26T00:00:00-04:00",
        "2026-11-02T00:00:00-05:00",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1", "https://10.0.0.8:9000", "https://169.254.169.254", "https://[::1]",
        "https://[::ffff:10.0.0.1]", "https://0.0.0.0", "https://localhost", "http://8.8.8.8",
        "ftp://8.8.8.8", "https://user@8.8.8.8", "https://8.8.8.8/path", "https://100.64.0.1", "x",
    ],
)  # fmt: skip
def test_no_file_goes_into_the_private_network(url):
    with pytest.raises(endpoints.Refused):
        endpoints.check_endpoint(url)


def test_what_the_operator_allows_may_be_sent_to(settings):
    endpoints.check_endpoint("https://8.8.8.8")
    settings.EXPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoints.check_endpoint("http://127.0.0.1:9000")


def test_a_name_that_leads_elsewhere_when_it_is_asked_again_is_refused(listening, monkeypatch):
    """The check of the name saw a public address; the connection goes to this machine."""
    monkeypatch.setattr(endpoints, "addresses_of", lambda host, port: ["8.8.8.8"])
    url = f"https://localhost:{listening.getsockname()[1]}"
    endpoints.check_endpoint(url)

    with pytest.raises(PlaceError, match=r"^localhost is inside a private network"):
        Bucket("finance", "", url, None, "key", "secret", guarded=True).delete("a.csv")
    connection, _ = listening.accept()
    assert connection.recv(100) == b""


@pytest.fixture
def listening(monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


@pytest.mark.parametrize("name", ["../other", "/etc", "a/../../b", "a\\b"])
def test_no_file_leaves_the_accounts_folder(settings, tmp_path, name):
    settings.EXPORT_FOLDER = str(tmp_path)

    with pytest.raises(ValidationError):
        Destination(name="disk", kind="folder", folder=name).clean()


def test_secrets_are_encrypted_and_read_with_former_keys(settings):
    text = secrets.encrypt("hush")
    assert "hush" not in text
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "x" * 50, [settings.SECRET_KEY]

    assert secrets.decrypt(text) == "hush"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(secrets.Unreadable):
        secrets.decrypt(text)
