"""Array literals: PostgreSQL reads back what was written."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import fetch
from usage.ingest import arrays

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


def read_back(literal: str, kind: str) -> list:
    return fetch(f"SELECT %s::{kind}[] AS read", [literal])[0]["read"]


@pytest.mark.django_db
@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | TEXT))
def test_texts_survive(texts):
    assert read_back(arrays.texts(texts), "text") == texts


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["", "NULL", "{}", 'a"b', "a\\b", "a,b", "a\nb", "\\", "'", " ", "💸"]
)
def test_texts_that_mean_something_to_arrays_survive(text):
    assert read_back(arrays.texts([text, None]), "text") == [text, None]


@pytest.mark.django_db
def test_numbers_booleans_moments_and_objects_survive():
    moment = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
    value = {"a": ['"', "\\", "é", {"b": None}]}

    assert read_back(arrays.numbers([1, None, -(2**62)]), "bigint") == [1, None, -(2**62)]
    assert read_back(arrays.booleans([True, False, None]), "boolean") == [True, False, None]
    assert read_back(arrays.moments([moment]), "timestamptz") == [moment]
    (read,) = fetch("SELECT (%s::jsonb[])[1] = %s::jsonb AS same", [arrays.objects([value]),
                    '{"a": ["\\"", "\\\\", "é", {"b": null}]}'])  # fmt: skip
    assert read["same"]


@pytest.mark.django_db
def test_empty_columns_are_empty_arrays():
    assert read_back(arrays.numbers([]), "int") == []
    assert read_back(arrays.texts([]), "text") == []
    assert read_back(arrays.objects([{}, None]), "text") == [None, None]
