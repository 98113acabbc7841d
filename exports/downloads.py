"""From what was asked for to a download: its name, its headers and its first piece."""

import re
from collections.abc import Generator, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import cast

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from accounts.access import Reach
from exports.datasets import Stretch, log_file, report_file
from exports.formats import FORMATS, FileFormat
from usage import requests
from usage.reports import question
from usage.reports.question import Parameters

UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def requests_download(
    parameters: Parameters, reach: Reach, *, extension: str
) -> StreamingHttpResponse:
    """The request log for the filters that its list takes. Raises BadQuestion."""
    query = requests.parse(parameters, reach)
    file_format = FORMATS[extension]
    period = period_of(parameters, query.reach)
    return download(
        log_file(query, period, file_format),
        file_format,
        file_name("requests", query.reach, *period, extension),
    )


def period_of(parameters: Parameters, reach: Reach) -> Stretch:
    """Between which moments the list of requests looks."""
    start, end = (
        requests.edge_condition(name, "", text, reach).parameters[0] if text else None
        for name in ("from", "to")
        for text in [parameters.get(name)]
    )
    return start, end


def usage_download(
    parameters: Parameters, reach: Reach, *, extension: str, now: datetime
) -> StreamingHttpResponse:
    """Any report, for the parameters that it takes. Raises BadQuestion."""
    asked = question.parse(parameters, reach, now=now)
    file_format = FORMATS[extension]
    return download(
        report_file(asked, file_format),
        file_format,
        file_name("usage", asked.reach, asked.start, asked.end, extension),
    )


def download(pieces: Iterator[bytes], file_format: FileFormat, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        Started(pieces),
        content_type=file_format.media_type,
        headers={
            "Content-Disposition": content_disposition_header(True, name) or "attachment",
            "Cache-Control": "private, no-store",
        },
    )


class Started:
    """Pieces of which the first is there: what fails at once fails before the headers are sent."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.first = next(pieces, b"")

    def __iter__(self) -> Iterator[bytes]:
        yield self.first
        yield from self.pieces

    def close(self) -> None:
        """The server calls it, also when the client went away."""
        cast(Generator[bytes], self.pieces).close()


Edge = date | datetime | None


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
