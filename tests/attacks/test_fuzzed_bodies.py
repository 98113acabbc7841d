"""Whatever is posted to a route that takes logs is taken, set aside or refused: it never fails.

Bodies that gateways really sent are broken at random, in their bytes and in their values: a few of
each in `make test`, and as many as the variable FUZZED_BODIES says. A failure names the number that
makes its body again.
"""

import json
import os
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.factories import bearer, make_account, native, small_price_book
from tests.usage.ingest.exports import GENAI, OPENINFERENCE, call, export
from tests.usage.ingest.recorded import EVENTS

BODIES = int(os.environ.get("FUZZED_BODIES", "80"))
JSON, PROTOBUF = "application/json", "application/x-protobuf"
NATIVE = native(
    workspace="research", project="apollo", member="ada@acme.test", api_key="k1", tags={"a": "b"},
    meters={"web_search": 1}, cost="0.5", status=200, latency_ms=7, hold_id=None, streamed=True,
)  # fmt: skip
SEEDS: dict[str, tuple[str, str, list[bytes]]] = {
    "native": ("requests/", JSON, [json.dumps([NATIVE, NATIVE]).encode()]),
    "litellm": ("ingest/litellm/", JSON, list(EVENTS.values())),
    "otlp-json": ("otlp/v1/traces", JSON, [json.dumps(export(call(), call())).encode()]),
    "otlp-protobuf": ("otlp/v1/traces", PROTOBUF, [GENAI, OPENINFERENCE]),
}
NASTY: list[Any] = [
    None, True, -1, 0, 1e308, -0.0, 2**31, 2**63, 2**64, 10**400, "", "\x00", "\ud800", "９", "NaN",
    "1e999999", "9" * 5000, "a" * 5000, [], {}, [[]], {"": {}}, ["x"] * 50, "2026-02-30T25:61:61Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "' OR 1=1 --", "\u202e", "\r\nX: y",
]  # fmt: skip
PIECES = [b"\x00", b"\xff", b"\\u0000", b"\\ud800", b"{", b"[" * 2000, b'"', b"1e999", b"-", b"\n"]


def broken_bytes(body: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out, put in or repeated."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(body) + 1)
        until = min(len(body), at + rng.choice([0, 1, 1, 8, 200]))
        put = rng.choice([b"", bytes([rng.randrange(256)]), rng.choice(PIECES), body[at:until] * 2])
        body = body[:at] + put + body[until:]
    return body


def broken_values(body: bytes, rng: random.Random) -> bytes:
    """The same JSON, with something else in the place of a few of its values or names."""
    whole = [json.loads(body)]
    for _ in range(rng.randint(1, 4)):
        holder, key = rng.choice(list(places(whole)))
        if isinstance(holder, dict) and rng.random() < 0.1:
            holder[str(rng.choice(NASTY))[:300]] = holder.pop(key)
        else:
            holder[key] = deepcopy(rng.choice(NASTY))  # it may be the next to be broken
    return json.dumps(whole[0]).encode()


def places(value: Any) -> Any:
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@pytest.mark.django_db
@pytest.mark.parametrize("name", SEEDS)
def test_no_body_makes_a_parser_fail(name, client):
    path, kind, seeds = SEEDS[name]
    small_price_book()
    header = bearer(make_account())
    wrong, ways = [], [broken_bytes] if kind == PROTOBUF else [broken_bytes, broken_values]
    for number in range(BODIES):
        rng = random.Random(f"{name} {number}")
        way: Callable[..., bytes] = rng.choice(ways)
        body = way(rng.choice(seeds), rng)
        answer = client.post(f"/api/v1/{path}", body, content_type=kind, headers=header)
        if answer.status_code not in (200, 400, 413):
            wrong.append((number, answer.status_code, body[:200]))

    assert wrong == []
