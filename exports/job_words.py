"""What happened to an export, in sentences for whoever asked for it."""

from datetime import datetime

from django.template.defaultfilters import filesizeformat

from exports.jobs import MOST_ATTEMPTS, SILENT_AFTER
from exports.models import Export
from usage import formatting

State = Export.State


def story(export: Export, *, now: datetime) -> str:
    match export.state:
        case State.QUEUED:
            return waits(export)
        case State.RUNNING:
            return is_made(export, now=now)
        case State.DONE:
            return was_made(export)
        case State.EXPIRED:
            return f"Its file was taken away {at(export.expires_at)}. Ask for it again."
        case State.CANCELLED:
            return f"It was cancelled {at(export.finished_at)}; there is no file."
    return (
        f"It failed {at(export.finished_at)}, at attempt {export.attempt}: {sentence(export.error)}"
    )


def waits(export: Export) -> str:
    if not export.error:
        return f"It waits for the worker since {moment(export.requested_at)}."
    return (
        f"Attempt {export.attempt} of {MOST_ATTEMPTS} broke off: {sentence(export.error)} "
        "It is tried again in about a minute."
    )


def is_made(export: Export, *, now: datetime) -> str:
    if export.beat_at < now - SILENT_AFTER:
        return (
            f"The worker has been silent since {moment(export.beat_at)}; another makes the file "
            "from the beginning."
        )
    known = f", {export.percent} % of the way" if export.percent is not None else ""
    again = f" (attempt {export.attempt} of {MOST_ATTEMPTS})" if export.attempt > 1 else ""
    return f"The worker makes it{again}: {formatting.count(export.rows)} rows so far{known}."


def was_made(export: Export) -> str:
    took = formatting.span(export.requested_at, export.finished_at or export.requested_at)
    attempts = f" at attempt {export.attempt}" if export.attempt > 1 else ""
    return (
        f"Made{attempts}, {took} after it was asked for: {formatting.count(export.rows)} rows, "
        f"{filesizeformat(export.size)}. It can be fetched until {moment(export.expires_at)}."
    )


def sentence(error: str) -> str:
    return error if error.endswith((".", "!", "?")) else f"{error}."


def at(when: datetime | None) -> str:
    return f"at {moment(when)}" if when else ""


def moment(when: datetime | None) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else "—"
