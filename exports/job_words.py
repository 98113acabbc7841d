"""What happened to an export, in sentences for whoever asked for it.

Spans, not moments: those stand beside, in the reader's own time zone.
"""

from datetime import datetime

from django.template.defaultfilters import filesizeformat

from exports.jobs import MOST_ATTEMPTS, SILENT_AFTER
from exports.models import Export
from usage import formatting

State = Export.State


def story(export: Export, *, now: datetime) -> str:
    match export.state:
        case State.QUEUED:
            return waits(export, now=now)
        case State.RUNNING:
            return is_made(export, now=now)
        case State.DONE:
            return was_made(export, now=now)
        case State.EXPIRED:
            return "Its file was taken away. Ask for it again."
        case State.CANCELLED:
            return "It was cancelled; there is no file."
    return f"It failed at attempt {export.attempt}: {sentence(export.error)}"


def waits(export: Export, *, now: datetime) -> str:
    if not export.error:
        waited = formatting.span(export.requested_at, now)
        return f"It has been waiting for the worker for {waited}."
    return (
        f"Attempt {export.attempt} of {MOST_ATTEMPTS} broke off: {sentence(export.error)} "
        "It is tried again in about a minute."
    )


def is_made(export: Export, *, now: datetime) -> str:
    if export.beat_at < now - SILENT_AFTER:
        silent = formatting.span(export.beat_at, now)
        return (
            f"The worker has been silent for {silent}; another makes the file from the beginning."
        )
    known = f", {export.percent} % of the way" if export.percent is not None else ""
    again = f" (attempt {export.attempt} of {MOST_ATTEMPTS})" if export.attempt > 1 else ""
    return f"The worker makes it{again}: {formatting.count(export.rows)} rows so far{known}."


def was_made(export: Export, *, now: datetime) -> str:
    took = formatting.span(export.requested_at, export.finished_at or now)
    attempts = f" at attempt {export.attempt}" if export.attempt > 1 else ""
    left = formatting.span(now, export.expires_at or now)
    return (
        f"Made{attempts}, {took} after it was asked for: {formatting.count(export.rows)} rows, "
        f"{filesizeformat(export.size)}. It can be fetched for {left}."
    )


def sentence(error: str) -> str:
    return error if error.endswith((".", "!", "?")) else f"{error}."
