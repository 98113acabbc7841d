"""Records/s over HTTP, authenticated, priced, durable and folded, beside bare COPY."""

import argparse
import json
import random
import time
import uuid
from datetime import UTC, datetime
from functools import partial

from django.db import connection

from bench import _harness as harness

MODELS = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "gpt-5"]
COPIED = "occurred_at, received_at, batch_id, workspace_id, model_id, input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, status, cost, request_id"  # noqa: E501


def record(rng: random.Random, now: float) -> dict:
    return {
        "request_id": str(uuid.UUID(int=rng.getrandbits(128))),
        "occurred_at": now - rng.random() * 600,
        "api_key": f"key-{rng.randrange(50)}",
        "workspace": "bench",
        "project": f"project-{rng.randrange(20)}",
        "member": f"member-{rng.randrange(30)}@bench.test",
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


def post_all(url: str, token: str, *, batch: int, clients: int, records: int) -> harness.Timing:
    rng = random.Random(f"{batch} {clients} {records}")
    calls: list[list[float]] = [[] for _ in range(clients)]

    def client(mine: list[float]) -> None:
        caller = harness.Client(url, token)
        for body in prepared[id(mine)]:
            started_at = time.perf_counter()
            caller.post("/api/v1/requests/", body)
            mine.append(time.perf_counter() - started_at)

    count = max(records // batch // clients, 1)
    prepared = {id(mine): bodies(rng, batch=batch, count=count) for mine in calls}
    return harness.in_parallel([partial(client, mine) for mine in calls], calls)


def bare_copy(rows: int) -> float:
    """Rows/s of COPY into the same partitioned, indexed table."""
    now = datetime.now(UTC)
    lines = [
        (now, now, 1, 1, 1, 100, 0, 0, 0, 10, 0, 200, "0.001", f"copy-{i}") for i in range(rows)
    ]
    with connection.cursor() as cursor:
        started_at = time.perf_counter()
        with cursor.copy(f"COPY usage_requestlog ({COPIED}) FROM STDIN") as copy:
            for line in lines:
                copy.write_row(line)
        seconds = time.perf_counter() - started_at
        cursor.execute("DELETE FROM usage_requestlog WHERE workspace_id = 1 AND batch_id = 1")
    return rows / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="a run")
    records = parser.parse_args().records
    print(f"## Ingest ({harness.machine()})\n")
    with harness.database():
        place = harness.make_account()
        with harness.web() as server, harness.worker():
            post_all(server.url, place.token, batch=1000, clients=2, records=10_000)
            copied = bare_copy(records)
            rows: list[tuple[object, ...]] = [("bare COPY", 1, f"{copied:,.0f}", "", "", "1")]
            for batch, clients, share in (
                (1, 4, 40), (1, 8, 40), (100, 4, 2), (1000, 1, 1), (1000, 4, 1), (10_000, 2, 1),
            ):  # fmt: skip
                timing = post_all(
                    server.url, place.token, batch=batch, clients=clients, records=records // share
                )
                rate = len(timing.calls) * batch / timing.seconds
                rows.append(
                    (
                        batch,
                        clients,
                        f"{rate:,.0f}",
                        f"{timing.percentile(50) * 1000:.1f}",
                        f"{timing.percentile(99) * 1000:.1f}",
                        f"{rate / copied:.2f}",
                    )
                )
    harness.table(("batch", "clients", "records/s", "p50 ms", "p99 ms", "of bare COPY"), rows)


if __name__ == "__main__":
    main()
