"""Large batches go into the log by COPY, and leave there what inserting would."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import count, log, make_account, native, post, small_price_book
from usage.ingest import record
from usage.ingest.copying import ESCAPES, text

pytestmark = pytest.mark.django_db

AWKWARD = [
    "a\tb",
    "a\nb",
    "a\rb",
    "\\",
    "\\N",
    "\\.",
    "a\\tb",
    " ",
    '"',
    "{}",
    "NULL",
    "\u2028",
    "💸",
]


@pytest.fixture
def account():
    small_price_book()
    return make_account()


@pytest.fixture
def copies(monkeypatch):
    """Every batch is copied, be it one row."""
    monkeypatch.setattr(record, "FEW", 0)


@pytest.mark.usefixtures("copies")
def test_texts_that_mean_something_to_copy_survive(account):
    requests = [
        native(request_id=f"{n}{bad}", error_type=bad, service_tier=bad, tags={bad: [bad]})
        for n, bad in enumerate(AWKWARD)
    ]

    post(account, *requests)

    rows = sorted(log(), key=lambda row: int("".join(filter(str.isdigit, row["request_id"]))))
    assert [row["request_id"] for row in rows] == [f"{n}{bad}" for n, bad in enumerate(AWKWARD)]
    assert [row["error_type"] for row in rows] == AWKWARD
    assert [row["tags"] for row in rows] == [{bad: [bad]} for bad in AWKWARD]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
@settings(max_examples=200, deadline=None)
def test_no_text_ends_its_column_or_its_line(value):
    assert text(value) == value.translate(ESCAPES)
    assert not {"\t", "\n", "\r"} & set(text(value))


def test_what_is_copied_is_what_is_inserted(account, monkeypatch):
    sent = [
        native(),
        native(model="brand-new", input_tokens=7, cost="0.25", streamed=False),
        native(project="p", member="m", api_key="k", endpoint="/e", provider="openai"),
        native(status=500, error_type="timeout", latency_ms=3, time_to_first_token_ms=1),
        native(meters={"web_search": 2}, tags={"a": None}, reasoning_tokens=1, streamed=True),
        native(occurred_at="2021-02-28T12:00:00.000001Z"),
    ]
    stored = []
    for few in (0, len(sent)):
        monkeypatch.setattr(record, "FEW", few)
        post(account, *(row | {"request_id": f"{few}-{n}"} for n, row in enumerate(sent)))
        stored.append([row for row in log() if row["request_id"].startswith(f"{few}-")])

    for row in (*stored[0], *stored[1]):
        del row["request_id"], row["batch_id"], row["received_at"]
    assert stored[0] == stored[1]


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("known", [0, 2, 4])
def test_a_batch_with_a_known_row_stores_the_others(account, known):
    rows = [native(request_id=f"r{n}") for n in range(5)]
    post(account, rows[known])

    found = post(account, *rows)

    assert (found.accepted, found.duplicates) == (4, 1)
    assert count("usage_requestlog") == count("usage_requestkey") == 5
    assert count("usage_batch") == 2


@pytest.mark.usefixtures("copies")
def test_a_batch_of_several_workspaces_is_a_batch_of_each(account):
    post(account, *(native(workspace=name) for name in ("one", "two", "one")))

    assert count("usage_batch") == 2
    assert len({row["batch_id"] for row in log()}) == 2
