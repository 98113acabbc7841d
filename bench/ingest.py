"""Records/s over HTTP, authenticated, priced, durable and folded, beside bare COPY in the same run.

`--stored N` measures before and after the log is filled with N requests: they should not matter.
"""

import argparse
import json
import random
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
from django.db import connection

from bench import _harness as harness
from usage.rollups.fold import fold_all

LITELLM = Path(__file__).parent.parent / "tests/usage/ingest/litellm/proxy_chat_metadata_tags.json"
MODELS = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "gpt-5"]
COPIED = "occurred_at, received_at, batch_id, workspace_id, model_id, project_id, input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, status, cost, request_id"  # noqa: E501


def record(rng: random.Random, now: float) -> dict:
    """One request of an organisation of 30 people, whose keys are for one or two projects."""
    key = rng.randrange(50)
    return {
        "request_id": str(uuid.UUID(int=rng.getrandbits(128))),
        "occurred_at": now - rng.random() * 600,
        "api_key": f"key-{key}",
        "workspace": "bench",
        "project": f"project-{(key + rng.randrange(2)) % 20}",
        "member": f"member-{key % 30}@bench.test",
        "model": rng.choice(MODELS),
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "input_tokens": rng.randrange(200, 20_000),
        "cache_read_tokens": rng.randrange(200),
        "output_tokens": rng.randrange(20, 2_000),
        "latency_ms": rng.randrange(200, 20_000),
        "streamed": True,
        "cost": 0.001,
    }


def bodies(rng: random.Random, *, batch: int, count: int) -> list[bytes]:
    now = time.time()
    one = batch == 1
    made = [[record(rng, now) for _ in range(batch)] for _ in range(count)]
    return [json.dumps(rows[0] if one else rows).encode() for rows in made]


def post_all(
    server: harness.serving.Server,
    token: str,
    *,
    batch: int,
    clients: int,
    records: int,
    seed: str = "",
) -> harness.Timing:
    """Every client posts its share, over a connection of its own; another seed, other requests."""
    count = max(records // batch // clients, 1)
    prepared = [
        bodies(random.Random(f"{batch} {clients} {n} {seed}"), batch=batch, count=count)
        for n in range(clients)
    ]
    return post_prepared(server, token, prepared)


def litellm_bodies(*, count: int) -> list[bytes]:
    """Batches as LiteLLM sends them: 500 events of 12 kB, most of it a prompt."""
    event = json.loads(LITELLM.read_bytes())
    event["messages"] = [{"role": "user", "content": "word " * 2_000}]
    return [
        json.dumps(
            [event | {"id": str(uuid.uuid4()), "litellm_call_id": None} for _ in range(500)]
        ).encode()
        for _ in range(count)
    ]


def post_prepared(
    server: harness.serving.Server,
    token: str,
    prepared: Sequence[list[bytes]],
    path: str = "/api/v1/requests/",
) -> harness.Timing:
    calls: list[list[float]] = [[] for _ in prepared]

    def client(mine: list[float], bodies: list[bytes]) -> None:
        caller = harness.Client(server.url, token)
        for body in bodies:
            started_at = time.perf_counter()
            caller.post(path, body)
            mine.append(time.perf_counter() - started_at)

    workers = [partial(client, *pair) for pair in zip(calls, prepared, strict=True)]
    return harness.in_parallel(workers, calls)


def copied(table: str, rows: int) -> float:
    """Rows/s of COPY from memory, in one commit; what it wrote is deleted again."""
    now = datetime.now(UTC).isoformat()
    lines = "".join(
        f"{now}\t{now}\t1\t0\t1\t{i % 9}\t100\t0\t0\t0\t10\t0\t200\t0.001\tcopy-{i}\n"
        for i in range(rows)
    ).encode()
    with connection.cursor() as cursor:
        started_at = time.perf_counter()
        with cursor.copy(f"COPY {table} ({COPIED}) FROM STDIN") as copy:
            copy.write(lines)
        seconds = time.perf_counter() - started_at
        cursor.execute(f"DELETE FROM {table} WHERE workspace_id = 0")
    return rows / seconds


def unindexed() -> str:
    """A plain table of the log's columns, without index, constraint or WAL: as fast as it gets."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE UNLOGGED TABLE bench_unindexed (LIKE usage_requestlog)")
    return "bench_unindexed"


FILL = """
WITH made AS (
    SELECT now() - %(number)s * interval '30 days' * random() / %(number)s AS occurred_at, n
    FROM generate_series(%(first)s, %(last)s) AS n
), keys AS (
    INSERT INTO usage_requestkey (workspace_id, request_id, occurred_at)
    SELECT %(workspace)s, gen_random_uuid()::text, occurred_at FROM made
    RETURNING request_id, occurred_at
)
INSERT INTO usage_requestlog (occurred_at, received_at, batch_id, workspace_id, project_id,
    api_key_id, member_id, model_id, input, cache_read, cache_write_5m, cache_write_1h, output,
    reasoning, status, cost, request_id)
SELECT occurred_at, occurred_at, nextval('usage_batch_id_seq'), %(workspace)s, 1, 1, 1, 1, 1000, 0,
    0, 0, 100, 0, 200, 0.0035, request_id FROM keys
"""


def fill(number: int, workspace_id: int) -> None:
    """Requests of the last 30 days, straight into the log, whose indexes are made afterwards."""
    step = 500_000
    with connection.cursor() as cursor:
        cursor.execute(DROP_INDEXES)
        for first in range(0, number, step):
            last = min(first + step, number) - 1
            values = {"number": number, "first": first, "last": last, "workspace": workspace_id}
            cursor.execute(FILL, values)
        cursor.execute(CREATE_INDEXES)
        cursor.execute("VACUUM ANALYZE usage_requestlog")
        cursor.execute("VACUUM ANALYZE usage_requestkey")
        # What was written is on the disk, and nobody writes it while others are measured.
        cursor.execute("CHECKPOINT")


DROP_INDEXES = """
ALTER TABLE usage_requestkey DROP CONSTRAINT every_request_once;
DROP INDEX usage_requestlog_by_time, usage_requestlog_by_batch;
"""
# As the migration makes them.
CREATE_INDEXES = """
ALTER TABLE usage_requestkey
    ADD CONSTRAINT every_request_once PRIMARY KEY (workspace_id, request_id);
CREATE INDEX usage_requestlog_by_time ON usage_requestlog (workspace_id, occurred_at);
CREATE INDEX usage_requestlog_by_batch ON usage_requestlog (batch_id);
"""


def megabytes(leader: int) -> float:
    """Proportional memory of a process and all below it."""
    processes = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
    return sum(one.memory_full_info().pss for one in processes) / 2**20


SHAPES = [
    (1, 1, 1_000), (1, 4, 3_000), (1, 8, 4_000), (1, 16, 4_000),
    (100, 1, 20_000), (100, 4, 40_000), (100, 8, 40_000),
    (1000, 1, 50_000), (1000, 4, 100_000), (1000, 8, 100_000),
    (10_000, 1, 100_000), (10_000, 4, 160_000),
]  # fmt: skip
# What is measured again once the log is filled. The first of them comes right after a checkpoint,
# when PostgreSQL writes each page that changes to the WAL whole.
AGAIN = [
    (1000, 8, 100_000),
    (1, 16, 4_000), (100, 8, 80_000), (1000, 8, 200_000), (10_000, 4, 160_000),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=0, help="requests to fill the log with")
    parser.add_argument("--share", type=float, default=1, help="of the usual number of records")
    options = parser.parse_args()
    print(f"## Ingest ({harness.machine()})\n")
    with harness.database():
        place = harness.make_account()
        with harness.web() as server, harness.worker():
            post_all(server, place.token, batch=1000, clients=2, records=10_000)
            if options.stored:
                as_it_fills(server, place, options.stored)
            else:
                all_shapes(server, place, options.share)
            memory = megabytes(server.leader.pid)
        fold_all()
    print(f"\nMemory of the web processes afterwards: {memory:,.0f} MB")


def all_shapes(server: harness.serving.Server, place: harness.Place, share: float) -> None:
    rows: list[tuple[object, ...]] = []
    bare = copied("usage_requestlog", 200_000)
    plain = copied(unindexed(), 200_000)
    rows.append(("COPY, same table", 1, f"{bare:,.0f}", "", "", "1"))
    rows.append(("COPY, no index", 1, f"{plain:,.0f}", "", "", f"{plain / bare:.2f}"))
    for batch, clients, usual in SHAPES:
        records = int(usual * share)
        timing = post_all(server, place.token, batch=batch, clients=clients, records=records)
        rows.append(line(str(batch), clients, batch, timing, bare))
    again = bodies(random.Random("again"), batch=1000, count=40)
    post_prepared(server, place.token, [again])
    timing = post_prepared(server, place.token, [again])
    rows.append(line("1000, re-sent", 1, 1000, timing, bare))
    path = "/api/v1/ingest/litellm/"
    timing = post_prepared(server, place.token, [litellm_bodies(count=20)], path)
    rows.append(line("500 of LiteLLM, 6 MB", 1, 500, timing, bare))
    harness.table(("batch", "clients", "records/s", "p50 ms", "p99 ms", "of COPY"), rows)


def as_it_fills(server: harness.serving.Server, place: harness.Place, stored: int) -> None:
    """The same before and after the log is filled, in one run."""
    rates = []
    for number in (0, stored):
        if number:
            fill(number, place.workspace.pk)
        rates.append(
            [records_a_second(server, place, shape, f"{number} {shape}") for shape in AGAIN]
        )
    rows = [
        (batch, clients, f"{empty:,.0f}", f"{full:,.0f}", f"{full / empty:.2f}")
        for (batch, clients, _), empty, full in zip(AGAIN, *rates, strict=True)
    ]
    header = ("batch", "clients", "records/s, empty", f"records/s, {stored:,} stored", "ratio")
    harness.table(header, rows)


def records_a_second(
    server: harness.serving.Server, place: harness.Place, shape: tuple[int, int, int], seed: str
) -> float:
    batch, clients, records = shape
    timing = post_all(server, place.token, batch=batch, clients=clients, records=records, seed=seed)
    return len(timing.calls) * batch / timing.seconds


def line(
    name: str, clients: int, batch: int, timing: harness.Timing, bare: float
) -> tuple[object, ...]:
    rate = len(timing.calls) * batch / timing.seconds
    p50, p99 = timing.percentile(50) * 1000, timing.percentile(99) * 1000
    return name, clients, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}", f"{rate / bare:.3f}"


if __name__ == "__main__":
    main()
