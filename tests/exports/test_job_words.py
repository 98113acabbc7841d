"""What is said of an export, in each of its states."""

from datetime import UTC, datetime, timedelta

import pytest

from exports.job_words import story
from exports.models import Export

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FACTS = {
    "requested_at": NOW, "beat_at": NOW, "attempt": 1, "rows": 12_345, "size": 5_000_000,
    "finished_at": NOW + timedelta(minutes=3), "expires_at": NOW + timedelta(days=7),
}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        ("queued", {}, "It has been waiting for the worker for less than a minute."),
        (
            "queued",
            {"error": "No space left on device", "attempt": 2},
            "Attempt 2 of 3 broke off: No space left on device. It is tried again in about a "
            "minute.",
        ),
        ("running", {"percent": 40}, "The worker makes it: 12,345 rows so far, 40 % of the way."),
        ("running", {"attempt": 2}, "The worker makes it (attempt 2 of 3): 12,345 rows so far."),
        (
            "running",
            {"beat_at": NOW - timedelta(minutes=5)},
            "The worker has been silent for 5 minutes; another makes the file from the beginning.",
        ),
        (
            "done",
            {"attempt": 2},
            "Made at attempt 2, 3 minutes after it was asked for: 12,345 rows, 4.8\xa0MB. It can "
            "be fetched for 7 days.",
        ),
        (
            "failed",
            {"error": "There is no bucket b.", "attempt": 3},
            "It failed at attempt 3: There is no bucket b.",
        ),
        ("cancelled", {}, "It was cancelled; there is no file."),
        ("expired", {}, "Its file was taken away. Ask for it again."),
    ],
)
def test_it_is_a_sentence(state, more, said):
    assert story(Export(state=state, **FACTS | more), now=NOW) == said
