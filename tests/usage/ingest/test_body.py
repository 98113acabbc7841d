"""Bodies: every way that gateways send rows, and every way in which a body can be broken."""

import gzip
import zlib

import pytest

from accounts.errors import BodyTooLarge
from usage.ingest.body import UnreadableBody, inflate, rows_of

LIMIT = 1000


def texts(body: bytes, **more: str) -> list[bytes]:
    return [bytes(row) for row in rows_of(body, **more)]


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_plain_body_stays_as_it_is(encoding):
    assert inflate(b"[]", encoding, limit=LIMIT) == b"[]"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate"])
def test_a_compressed_body_is_inflated(encoding):
    packed = zlib.compress(b"[1]") if encoding == "deflate" else gzip.compress(b"[1]")

    assert inflate(packed, encoding, limit=LIMIT) == b"[1]"


def test_every_member_of_a_gzip_body_counts():
    body = gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n') + b"\x00" * 8

    assert inflate(body, "gzip", limit=LIMIT) == b'{"a":1}\n{"a":2}\n'


def test_what_follows_a_gzip_body_and_is_none_is_refused():
    with pytest.raises(UnreadableBody, match="not what its Content-Encoding says"):
        inflate(gzip.compress(b"[]") + b"garbage", "gzip", limit=LIMIT)


def test_a_bomb_stops_at_the_limit():
    bomb = gzip.compress(b"0" * 50_000_000)

    with pytest.raises(BodyTooLarge, match="1,000 bytes"):
        inflate(bomb, "gzip", limit=LIMIT)


def test_a_bomb_of_many_members_stops_at_the_limit():
    with pytest.raises(BodyTooLarge):
        inflate(gzip.compress(b"0" * 600) * 100, "gzip", limit=LIMIT)


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_a_body_may_be_as_large_as_the_limit(size):
    body = b"0" * size

    assert (
        inflate(body, "", limit=LIMIT) == inflate(gzip.compress(body), "gzip", limit=LIMIT) == body
    )


def test_one_byte_more_than_the_limit_is_too_large():
    for body, encoding in ((b"0" * 1001, ""), (gzip.compress(b"0" * 1001), "gzip")):
        with pytest.raises(BodyTooLarge):
            inflate(body, encoding, limit=LIMIT)


@pytest.mark.parametrize("kept", [0, 5, 12, -1])
def test_a_cut_off_body_is_refused(kept):
    with pytest.raises(UnreadableBody, match="cut off"):
        inflate(gzip.compress(b'{"request_id": "a"}')[:kept], "gzip", limit=LIMIT)


@pytest.mark.parametrize("kept", [5, 12, -1])
def test_a_body_cut_off_in_a_later_member_is_refused(kept):
    with pytest.raises(UnreadableBody, match="cut off"):
        inflate(gzip.compress(b"[") + gzip.compress(b"]")[:kept], "gzip", limit=LIMIT)


def test_what_only_claims_to_be_gzip_is_refused():
    with pytest.raises(UnreadableBody, match="Content-Encoding"):
        inflate(b'{"a": 1}', "gzip", limit=LIMIT)


def test_an_unknown_encoding_is_refused_by_name():
    with pytest.raises(UnreadableBody, match="'br'"):
        inflate(b"[]", "br", limit=LIMIT)


def test_one_object_is_one_row():
    assert texts(b' {"a":\n 1} ') == [b'{"a":\n 1}']


def test_an_array_has_a_row_an_element():
    assert texts(b'[{"a": 1},\n{"a": 2}]') == [b'{"a": 1}', b'{"a": 2}']


def test_an_empty_array_has_no_rows():
    assert texts(b"[]") == []


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl"])
def test_lines_are_rows(content_type):
    body = b'{"a": 1}\r\n\n  {"a": 2}\n'

    assert texts(body, content_type=content_type) == [b'{"a": 1}', b'{"a": 2}']


def test_a_broken_line_costs_its_neighbours_nothing():
    body = b'{"a": 1}\n{"a": \n{"a": 3}'

    assert texts(body, content_type="application/x-ndjson") == [b'{"a": 1}', b'{"a":', b'{"a": 3}']


def test_lines_are_known_even_where_they_claim_to_be_json():
    assert texts(b'{"a": 1}\n{"a": 2}', content_type="application/json") == [
        b'{"a": 1}',
        b'{"a": 2}',
    ]


def test_a_broken_line_under_a_json_type_costs_its_neighbours_nothing():
    assert texts(b'{"a": 1}\n{"a\n{"a": 3}') == [b'{"a": 1}', b'{"a', b'{"a": 3}']


def test_an_element_that_is_no_object_is_left_to_be_decoded_by_itself():
    assert texts(b'[{"a": 1}, 7, "x", null]') == [b'{"a": 1}', b"7", b'"x"', b"null"]


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
def test_a_body_has_rows_in_reason(content_type):
    most = b"7\n" * 100_000 if "nd" in content_type else b"[" + b"7," * 99_999 + b"7]"
    more = most + b"7" if "nd" in content_type else most[:-1] + b",7]"

    assert len(rows_of(most, content_type=content_type)) == 100_000
    with pytest.raises(BodyTooLarge, match="100,000 rows"):
        rows_of(more, content_type=content_type)


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_refused_with_what_to_send(body):
    with pytest.raises(UnreadableBody, match="Send one request, an array, or one a line"):
        rows_of(body)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"a": 1', "truncated"),
        (b'[{"a": 1}, {"b"', "truncated"),
        (b'[{"a": 1} {"b": 2}]', r"byte 10"),
        (b'{"a": 1} x', r"byte 10"),
        (b"nonsense", r"byte"),
        (b"\xff\xfe\x00", "NUL"),
        (b"\xff\xfe", "byte 0"),
        (b'[{"a": "\x00"}]', "NUL"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b"[" + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]", "not JSON"),
    ],
)
def test_an_unreadable_body_is_refused_with_where_it_broke(body, where):
    with pytest.raises(UnreadableBody, match=where):
        rows_of(body)


def test_an_array_of_millions_of_nothing_is_refused_before_it_fills_the_memory():
    with pytest.raises(BodyTooLarge, match="100,000 rows"):
        rows_of(b"[" + b"7," * 6_000_000 + b"7]")
