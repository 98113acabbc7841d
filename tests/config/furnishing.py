"""What exports and insight have to show, one of each kind, in Acme."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from exports.models import ArchiveFile, Destination, Export, ExportSchedule, RetentionRun, SentFile
from tests.people import People
from usage.models import Anomaly, ModelCapability, SavedView, Saving, SpikeWatch


def furnish_exports(people: People, now: datetime) -> None:
    acme, before = people.acme, now - timedelta(days=1)
    Export.objects.create(
        id=UUID(int=7), account=acme, workspace_ids=[people.research.pk], dataset="requests",
        extension="csv", requested_by=people.owner, requested_at=now, beat_at=now,
        state="done", manifest={}, expires_at=now + timedelta(days=1),
    )  # fmt: skip
    folder = Destination.objects.create(account=acme, name="finance", kind="folder")
    schedule = ExportSchedule.objects.create(
        account=acme, name="monthly", dataset="usage", destination=folder, starts_at=now
    )
    SentFile.objects.create(schedule=schedule, start_at=before, end_at=now, next_attempt_at=now)
    RetentionRun.objects.create(started_at=now, mode="keep")
    ArchiveFile.objects.create(
        account=acme, day=date(2026, 1, 1), part=1, key="acme/2026-01-01", start_at=before,
        end_at=now, workspace_ids=[people.research.pk], rows=1, checksum=1, totals={"cost": "1"},
        sha256="0", size=1, written_at=now, removed_at=now, state="archived",
    )  # fmt: skip


def furnish_insight(people: People, now: datetime) -> None:
    research, before, one = people.research, now - timedelta(hours=1), Decimal(1)
    Saving.objects.create(
        account=people.acme, workspace=research, kind="idle_key", key="k", since=before, until=now,
        confidence="low", found_at=now,
    )  # fmt: skip
    ModelCapability.objects.create(provider="openai", name="one-of-ours", tier=1)
    SpikeWatch.objects.create(workspace=research)
    Anomaly.objects.create(
        workspace=research, kind="workspace", subject_id=research.pk, subject_name="research",
        measure="spend", started_at=before, detected_at=before, last_seen_at=now,
        window_minutes=5, noticed=one, noticed_expected=one, noticed_upper=one, actual=one,
        expected=one,
        excess_cost=one,
    )  # fmt: skip
    SavedView.objects.create(account=people.acme, owner=people.owner, name="mine", query="")
