"""From a request's body to its rows: gzip, one object, an array or lines of JSON.

A body that cannot be read at all is refused with where it broke. A row that cannot be read costs
its neighbours nothing: it stays as its bytes, to be decoded, and perhaps quarantined, by itself.
"""

import gzip
import io
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from accounts.errors import ApiError, BodyTooLarge, LengthRequired
from usage.ingest.schema import UNDECODABLE

ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
ONE = msgspec.json.Decoder(msgspec.Raw)

MOST_ROWS = 100_000
# Each element of an array takes some 70 bytes of memory before it is looked at, so that [7,7,7,...]
# is looked through first. 100,000 rows of 50 fields have no more commas than this.
MOST_COMMAS = 5_000_000
LARGE = 8 * 1024 * 1024

CUT_OFF = "The compressed body ends too early; it was cut off on its way."


class UnreadableBody(ApiError):
    default_code = "unreadable_body"


def chunks(environ: Mapping[str, Any], *, limit: int) -> bytes:
    """A body that comes in chunks, as some exporters send theirs, together.

    Raises BodyTooLarge, and LengthRequired under a server that does not know where chunks end.
    """
    if not environ.get("wsgi.input_terminated"):
        raise LengthRequired("Send the body with a Content-Length; chunks are not read here.")
    body: bytes = environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(f"A body may have {limit:,} bytes; send smaller batches.")
    return body


def inflate(body: bytes, encoding: str, *, limit: int) -> bytes:
    """The body without its content encoding, which may be gzip, deflate or none.

    Raises UnreadableBody, and BodyTooLarge as soon as more than `limit` bytes come out of it.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        plain = body
    elif encoding in ("gzip", "deflate"):
        plain = _inflated(body, limit)
    else:
        raise UnreadableBody(f"Content-Encoding {encoding!r} is not known here; send gzip or none.")
    if len(plain) > limit:
        raise BodyTooLarge(f"A body may have {limit:,} bytes; send smaller batches.")
    return plain


def _inflated(body: bytes, limit: int) -> bytes:
    """At most `limit + 1` bytes."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, limit + 1)
        if further := inflater.unused_data.lstrip(b"\x00"):
            # A gzip body may have several members, each compressed by itself.
            with gzip.GzipFile(fileobj=io.BytesIO(further)) as members:
                plain += members.read(limit + 1 - len(plain))
    except (zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableBody(f"The body is not what its Content-Encoding says: {error}.") from error
    except EOFError as error:
        raise UnreadableBody(CUT_OFF) from error
    if not inflater.eof and len(plain) <= limit:
        raise UnreadableBody(CUT_OFF)
    return plain


def rows_of(body: bytes, *, content_type: str = "") -> list[bytes | msgspec.Raw]:
    """The rows of a body as JSON text each.

    Raises UnreadableBody with where it broke, and BodyTooLarge where there are too many.
    """
    rows = _rows(body, content_type)
    if len(rows) > MOST_ROWS:
        raise BodyTooLarge(f"A body may have {MOST_ROWS:,} rows; send smaller batches.")
    return rows


def _rows(body: bytes, content_type: str) -> list[bytes | msgspec.Raw]:
    text = body.strip()
    if not text:
        raise UnreadableBody("The body is empty. Send one request, an array, or one a line.")
    if b"\x00" in text:
        raise UnreadableBody("The body contains NUL bytes, so it is not JSON.")
    if "ndjson" in content_type or "jsonl" in content_type:
        return lines_of(text)
    if len(text) > LARGE and text.count(b",") > MOST_COMMAS:
        raise BodyTooLarge(f"A body may have {MOST_ROWS:,} rows; send smaller batches.")
    try:
        return list(ARRAY.decode(text)) if text[:1] == b"[" else [ONE.decode(text)]
    except UNDECODABLE as error:
        # Lines of JSON under application/json: each begins a new object.
        if text[:1] == b"{" and b"\n" in text and _decodes(text.partition(b"\n")[0]):
            return lines_of(text)
        raise UnreadableBody(f"The body is not JSON: {error}.") from error


def lines_of(text: bytes) -> list[bytes | msgspec.Raw]:
    return [line for line in (line.strip() for line in text.split(b"\n")) if line]


def _decodes(line: bytes) -> bool:
    try:
        ONE.decode(line)
    except UNDECODABLE:
        return False
    return True
