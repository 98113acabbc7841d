"""The archive: requests past their retention as Parquet, read back before anything is removed.

A day of an account goes through it in steps that may be broken off anywhere: a file is written
under a name of its own, read back and compared, written down as verified, and only then, in one
transaction, its requests are removed and it counts as archived. What was broken off is taken up by
the next run; what changed in between is written anew.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from exports import parquet
from exports.archive_models import ArchiveFile
from exports.places import Place, PlaceError
from exports.scratch import scratch_file
from exports.snapshot import snapshot
from usage import retention
from usage.retention import Counted, Expired

MANIFEST_VERSION = 1
READ_BYTES = 1024 * 1024

State = ArchiveFile.State


class NotTheSame(PlaceError):
    """What was read back is not what was written."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file of this machine, and what it says."""

    path: Path
    counted: Counted
    sha256: str
    size: int


def archive(expired: Expired, place: Place, *, now: datetime) -> ArchiveFile:
    """Write the requests to the archive and read them back. Raises PlaceError."""
    known = restored_unchanged(expired)
    if known is not None:
        verify(known.key, known.sha256, counted_of(known), place)
        ArchiveFile.objects.filter(pk=known.pk, state=State.RESTORED).update(state=State.VERIFIED)
        known.refresh_from_db()
        return known
    part = next_part(expired)
    key = key_of(expired, part)
    with scratch_file(".parquet") as path:
        written = write(expired, path)
        place.put(key, path)
    verify(key, written.sha256, written.counted, place)
    put_manifest(expired, key, written, place, now=now)
    return note(expired, part, key, written, now=now)


def write(expired: Expired, path: Path) -> Written:
    """The file and what the log says of it are of one snapshot."""
    with snapshot() as frozen:
        cursor = frozen.cursor()
        counted = retention.count(expired, cursor)
        parquet.write_log(cursor, expired, path)
    digest, size = digest_of(path)
    return Written(path, counted, digest, size)


def digest_of(path: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    with path.open("rb") as reader:
        while piece := reader.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest(), path.stat().st_size


def key_of(expired: Expired, part: int) -> str:
    return f"account={expired.account.slug}/day={expired.day}/requests-{part:03}.parquet"


def manifest_key(key: str) -> str:
    return key.removesuffix(".parquet") + ".json"


def next_part(expired: Expired) -> int:
    """One that is stale is written anew under its name."""
    files = ArchiveFile.objects.filter(account=expired.account, day=expired.day)
    stale = files.filter(state=State.STALE).order_by("part").first()
    last = files.order_by("-part").first()
    return stale.part if stale else (last.part + 1 if last else 1)


def restored_unchanged(expired: Expired) -> ArchiveFile | None:
    """The file that says already what the log says of the day again."""
    files = list(
        ArchiveFile.objects.filter(
            account=expired.account, day=expired.day, state=State.RESTORED
        ).select_related("account")
    )
    counted = retention.count(expired) if files else None
    return next((file for file in files if counted_of(file) == counted), None)


def verify(key: str, sha256: str, counted: Counted, place: Place) -> None:
    """Read the file back from where it was put. Raises PlaceError."""
    with fetched(key, place) as path:
        digest, _ = digest_of(path)
        if digest != sha256:
            raise NotTheSame(f"{key}: what was read back has another SHA-256 than was written.")
        rows, totals = parquet.summed(path)
    if (rows, totals) != (counted.rows, counted.totals):
        raise NotTheSame(f"{key}: what was read back has other sums than the log.")


def fetched(key: str, place: Place) -> Any:
    """The file on this machine, for as long as the block lasts."""
    return scratch_file(".parquet", lambda path: copy(place.open(key), path))


def copy(source: IO[bytes], path: Path) -> None:
    with source, path.open("wb") as target:
        while piece := source.read(READ_BYTES):
            target.write(piece)


def put_manifest(
    expired: Expired, key: str, written: Written, place: Place, *, now: datetime
) -> None:
    manifest = {
        "version": MANIFEST_VERSION,
        "file": key.rpartition("/")[2],
        "account": expired.account.slug,
        "account_id": expired.account.pk,
        "day": expired.day.isoformat(),
        "time_zone": expired.account.time_zone,
        "from": expired.start_at.isoformat(),
        "to": expired.end_at.isoformat(),
        "workspace_ids": list(expired.workspace_ids),
        "rows": written.counted.rows,
        "totals": as_text(written.counted.totals),
        "sha256": written.sha256,
        "bytes": written.size,
        "columns": parquet.column_types(),
        "compression": "zstd",
        "written_at": now.isoformat(),
    }
    with scratch_file(".json") as path:
        path.write_text(json.dumps(manifest, indent=1) + "\n")
        place.put(manifest_key(key), path)


def as_text(totals: dict[str, Any]) -> dict[str, str]:
    return {name: f"{value:f}" for name, value in totals.items()}


def counted_of(file: ArchiveFile) -> Counted:
    totals = {name: Decimal(value) for name, value in file.totals.items()}
    return Counted(file.rows, file.checksum, totals)


def expired_of(file: ArchiveFile) -> Expired:
    return Expired(file.account, file.day, tuple(file.workspace_ids))


def note(expired: Expired, part: int, key: str, written: Written, *, now: datetime) -> ArchiveFile:
    file, _ = ArchiveFile.objects.update_or_create(
        account=expired.account,
        day=expired.day,
        part=part,
        defaults={
            "state": State.VERIFIED,
            "key": key,
            "start_at": expired.start_at,
            "end_at": expired.end_at,
            "workspace_ids": list(expired.workspace_ids),
            "rows": written.counted.rows,
            "checksum": written.counted.checksum,
            "totals": as_text(written.counted.totals),
            "sha256": written.sha256,
            "size": written.size,
            "written_at": now,
        },
    )
    return file


def still_cut_so(file: ArchiveFile) -> bool:
    """Whether the account's day is still the same hours: it may have moved to another zone."""
    expired = expired_of(file)
    return (expired.start_at, expired.end_at) == (file.start_at, file.end_at)
