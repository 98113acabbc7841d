"""The archive in the admin: who sees it, and what it says."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from exports.archive_models import ArchiveFile, RetentionRun
from tests.people import People, make_people

FILES, RUNS = "/admin/exports/archivefile/", "/admin/exports/retentionrun/"
WRITTEN_AT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def people(db) -> People:
    people = make_people()
    for account in (people.acme, people.globex):
        ArchiveFile.objects.create(
            account=account, day=date(2026, 10, 1), part=1, state="archived", key="k",
            start_at=WRITTEN_AT, end_at=WRITTEN_AT, workspace_ids=[], rows=1234,
            checksum=Decimal(1), totals={"cost": "1.5"}, sha256="0" * 64, size=5000,
            written_at=WRITTEN_AT,
        )  # fmt: skip
    RetentionRun.objects.create(
        started_at=WRITTEN_AT, mode="archive", error="There is no bucket b."
    )
    return people


@pytest.mark.parametrize(
    ("who", "sees"),
    [("owner", 1), ("accountant", 1), ("outsider", 1), ("staff", 2), ("viewer", 0), ("manager", 0)],
)
def test_those_who_keep_the_books_see_their_own_accounts_days(client, people, who, sees):
    client.force_login(getattr(people, who))

    response = client.get(FILES)

    assert response.status_code == (200 if sees else 403)
    assert not sees or len(response.context["cl"].result_list) == sees


def test_another_accounts_day_is_not_there(client, people):
    client.force_login(people.outsider)
    theirs = ArchiveFile.objects.get(account=people.acme)

    assert client.get(f"{FILES}{theirs.pk}/change/").status_code == 404


def test_what_stopped_the_last_run_is_said(client, people, settings, tmp_path):
    settings.ARCHIVE_URL = str(tmp_path)
    client.force_login(people.staff)

    assert "There is no bucket b." in client.get(FILES).content.decode()
    assert "There is no bucket b." not in client.get(RUNS).content.decode()
    assert "failed" in client.get(RUNS).content.decode()


@pytest.mark.parametrize(
    ("url", "without", "said"),
    [
        ("", "", "Nobody has chosen this"),
        ("", "keep", "Every request is kept"),
        ("", "delete", "deleted for good, without a file"),
        ("/srv/archive", "delete", "go to the archive"),
    ],
)
def test_what_becomes_of_old_requests_is_said(client, people, settings, url, without, said):
    settings.ARCHIVE_URL, settings.RETENTION_WITHOUT_ARCHIVE = url, without
    client.force_login(people.owner)

    page = client.get(FILES).content.decode()

    assert said in page
    assert ("Nobody has chosen" in page) == (not (url or without))


def test_only_platform_staff_sees_runs_and_brings_days_back(client, people):
    from django_q.models import OrmQ

    chosen = {"action": "bring_back", "_selected_action": [f.pk for f in ArchiveFile.objects.all()]}
    client.force_login(people.owner)
    assert client.get(RUNS).status_code == 403
    client.post(FILES, chosen)
    assert OrmQ.objects.count() == 0

    client.force_login(people.staff)
    client.post(FILES, chosen)

    assert OrmQ.objects.count() == 2
