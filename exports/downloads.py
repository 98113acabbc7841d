"""From what was asked for to a download: its name, its headers and its first piece."""

import re
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import IO, cast

from django.conf import settings
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from accounts.access import Reach
from accounts.rates import STRANGER, downloads
from exports.catalogue import DATASETS
from exports.formats import CHUNK_BYTES
from exports.kinds import kind_of
from exports.tables import Edge, Table
from usage.reports.question import Parameters

UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def dataset_download(
    name: str, parameters: Parameters, reach: Reach, *, extension: str, now: datetime
) -> StreamingHttpResponse:
    """A dataset, for the parameters that it takes. Raises BadQuestion."""
    kind = kind_of(extension)
    table = DATASETS[name].open(parameters, reach, now=now)
    pieces = table.file(kind, seconds=settings.DOWNLOAD_SECONDS)
    name = name_of(table, extension)
    return download(pieces, kind.media_type, name, caller=caller_of(reach))


def name_of(table: Table, extension: str) -> str:
    return file_name(table.name, table.reach, table.start, table.end, extension)


def download(
    pieces: Iterator[bytes],
    media_type: str,
    name: str,
    *,
    caller: int,
    headers: Mapping[str, str] | None = None,
) -> StreamingHttpResponse:
    """Raises Throttled where the account has so many under way already."""
    return StreamingHttpResponse(
        Started(pieces, caller=caller),
        content_type=media_type,
        headers={
            "Content-Disposition": content_disposition_header(True, name) or "attachment",
            "Cache-Control": "private, no-store",
            **(headers or {}),
        },
    )


def caller_of(reach: Reach) -> int:
    """Those who see several accounts are one caller together."""
    return reach.accounts[0].pk if len(reach.accounts) == 1 else STRANGER


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    with closing(file):
        while piece := file.read(CHUNK_BYTES):
            yield piece


class TookTooLong(Exception):
    """The client was given all the time that there is for a download."""


class Started:
    """Pieces of which the first is there: what fails at once fails before the headers are sent.

    A thread waits for whoever takes them, hence not for ever, and for so many only.
    """

    def __init__(self, pieces: Iterator[bytes], *, caller: int = STRANGER) -> None:
        self.pieces = cast(Generator[bytes], pieces)
        self.ends_at = time.monotonic() + settings.DOWNLOAD_SECONDS
        with ExitStack() as place:
            place.enter_context(downloads.one_more(caller))
            self.first = next(self.pieces, b"")
            self.place = place.pop_all()

    def __iter__(self) -> Iterator[bytes]:
        yield self.first
        for piece in self.pieces:
            yield piece
            if time.monotonic() > self.ends_at:
                # Into the pieces, whose format says in its own way that the file is not whole.
                yield self.pieces.throw(TookTooLong())

    def close(self) -> None:
        """The server calls it, also when the client went away."""
        with self.place:
            self.pieces.close()


def file_name(dataset: str, reach: Reach, start: Edge, end: Edge, extension: str) -> str:
    """Such as `tokenbook-acme-requests-2026-10-24-to-2026-11-22.csv`, both days included."""
    who = reach.accounts[0].slug if len(reach.accounts) == 1 else "accounts"
    zone = reach.accounts[0].zone if reach.accounts else UTC
    parts = ["tokenbook", who, dataset]
    if start:
        parts.append(day_of(start, zone).isoformat())
    if end:
        step = timedelta(microseconds=1) if isinstance(end, datetime) else timedelta(1)
        parts += ["to", day_of(before(end, step), zone).isoformat()]
    return UNSAFE.sub("-", "-".join(parts)) + f".{extension}"


def day_of(edge: date | datetime, zone: tzinfo) -> date:
    """The day of an edge in a zone; at the ends of the calendar, where there is none, its own."""
    if not isinstance(edge, datetime):
        return edge
    try:
        return edge.astimezone(zone).date()
    except OverflowError:
        return edge.date()


def before(edge: date | datetime, step: timedelta) -> date | datetime:
    try:
        return edge - step
    except OverflowError:
        return edge
