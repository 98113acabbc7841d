"""Requests as an organisation makes them, written straight into the log.

A few models, members, keys and projects make most of the requests (zipf), one workspace makes
nearly half of them; there are more by day than by night and on weekdays than at weekends. Batches
have about a hundred requests of one workspace, numbered in the order of time, as recording does.
"""

import itertools
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.access import Reach
from accounts.models import Account, ApiKey, Member, Project, Workspace
from usage import partitions
from usage.models import Endpoint, LlmModel, Provider

DAYS = 90
WORKSPACES, MEMBERS, PROJECTS, KEYS = 12, 400, 160, 1000
CHOICES = 5  # models that one key is used with
ROWS_AT_ONCE = 50_000

# By hour of the day and by weekday from Monday: how busy people are.
HOURS = (3, 2, 2, 2, 2, 3, 6, 12, 22, 30, 33, 32, 26, 29, 33, 34, 31, 26, 18, 13, 10, 8, 6, 4)
WEEKDAYS = (100, 108, 110, 106, 92, 24, 20)

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"

# Name, provider, second provider, dollars a million input, cached and output tokens (None: nobody
# knows them), median latency in ms, the most popular first.
MODELS = (
    ("gpt-4o-mini", "openai", "azure", ("0.15", "0.075", "0.6"), 900),
    ("claude-sonnet-4-5", "anthropic", "aws", ("3", "0.3", "15"), 4200),
    ("gpt-5-mini", "openai", "azure", ("0.25", "0.025", "2"), 2600),
    ("gemini-2.5-flash", "google", "google", ("0.3", "0.075", "2.5"), 1100),
    ("gpt-4o", "openai", "azure", ("2.5", "1.25", "10"), 1800),
    ("text-embedding-3-small", "openai", "azure", ("0.02", "0.02", "0"), 120),
    ("claude-haiku-4-5", "anthropic", "aws", ("1", "0.1", "5"), 1400),
    ("gpt-5", "openai", "azure", ("1.25", "0.125", "10"), 9800),
    ("gemini-2.5-pro", "google", "google", ("1.25", "0.31", "10"), 7600),
    ("claude-opus-4-1", "anthropic", "aws", ("15", "1.5", "75"), 8900),
    ("gpt-4.1-mini", "openai", "azure", ("0.4", "0.1", "1.6"), 1000),
    ("deepseek-chat", "deepseek", "deepseek", ("0.28", "0.028", "0.42"), 5200),
    ("llama-3.3-70b-instruct", "groq", "together", ("0.59", "0.59", "0.79"), 700),
    ("gpt-4.1", "openai", "azure", ("2", "0.5", "8"), 2100),
    ("mistral-small-latest", "mistral", "mistral", ("0.1", "0.1", "0.3"), 900),
    ("text-embedding-3-large", "openai", "azure", ("0.13", "0.13", "0"), 150),
    ("o4-mini", "openai", "azure", ("1.1", "0.275", "4.4"), 6900),
    ("gemini-2.0-flash", "google", "google", ("0.1", "0.025", "0.4"), 800),
    ("house-model-7b", "vllm", "vllm", (None, None, None), 400),
    ("gpt-5-nano", "openai", "azure", ("0.05", "0.005", "0.4"), 1500),
    ("mistral-large-latest", "mistral", "mistral", ("2", "2", "6"), 2900),
    ("claude-3-5-haiku-latest", "anthropic", "aws", ("0.8", "0.08", "4"), 1500),
    ("o3", "openai", "azure", ("2", "0.5", "8"), 14000),
    ("command-r-plus", "cohere", "cohere", ("2.5", "2.5", "10"), 3100),
)


def zipf(number: int, exponent: float = 1.0) -> list[float]:
    """Shares that add up to 1, the largest first."""
    weights = [1 / place**exponent for place in range(1, number + 1)]
    return [weight / sum(weights) for weight in weights]


def edges(shares: Sequence[float]) -> list[float]:
    """Where each share begins; width_bucket() of a number from 0 to 1 then says whose it is."""
    return [0.0, *itertools.accumulate(shares[:-1])]


@dataclass(frozen=True)
class Traffic:
    """`rows` requests in the `days` up to `end`; `workspaces` has the largest first."""

    account: Account
    workspaces: list[Workspace]
    member: Member
    end: datetime
    rows: int
    days: int = DAYS

    @property
    def zone(self) -> ZoneInfo:
        return self.account.zone

    @property
    def platform(self) -> Reach:
        return Reach((self.account,), tuple(self.workspaces))

    @property
    def largest(self) -> Reach:
        return Reach((self.account,), (self.workspaces[0],))

    @property
    def today(self) -> date:
        return self.end.astimezone(self.zone).date()


def prepare(account: Account, workspace: Workspace, *, rows: int, now: datetime) -> Traffic:
    """Everything that requests refer to, in an account that has its largest workspace already."""
    partitions.make_around(now)
    rng = random.Random(7)
    workspaces = [workspace, *_workspaces(account)]
    members = Member.objects.bulk_create(
        Member(account=account, identifier=f"person-{n}@bench.test") for n in range(MEMBERS)
    )
    shares = [0.45, *(0.55 * share for share in zipf(WORKSPACES - 1, 0.7))]
    places = rng.choices(range(WORKSPACES), shares, k=KEYS)
    places[0] = 0
    projects = Project.objects.bulk_create(
        Project(workspace=workspaces[n % WORKSPACES], tag=f"project-{n}") for n in range(PROJECTS)
    )
    _make_dictionaries()
    _make_models()
    owners = rng.choices(members, zipf(MEMBERS, 0.5), k=KEYS)
    keys = ApiKey.objects.bulk_create(
        ApiKey(workspace=workspaces[place], identifier=f"key-{n}", member=owners[n])
        for n, place in enumerate(places)
    )
    _describe(keys, places, projects, rng)
    return Traffic(account, workspaces, owners[0], now, rows)


def found(account: Account) -> Traffic:
    """What an earlier run left, as that run had it."""
    workspaces = sorted(account.workspaces.all(), key=lambda one: one.slug != account.slug)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(occurred_at), count(*) FROM usage_requestlog")
        end, rows = cursor.fetchone()
        cursor.execute("SELECT member_id FROM bench_key ORDER BY number LIMIT 1")
        member = Member.objects.get(pk=cursor.fetchone()[0])
    return Traffic(account, workspaces, member, end, rows)


def _workspaces(account: Account) -> list[Workspace]:
    return Workspace.objects.bulk_create(
        Workspace(account=account, name=f"Team {n}", slug=f"team-{n}", retention_days=90)
        for n in range(1, WORKSPACES)
    )


def _make_dictionaries() -> None:
    """What the generator looks up; dropped with the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE UNLOGGED TABLE bench_key (number int PRIMARY KEY, workspace_id int, "
            "member_id int, api_key_id int, project_ids int[], model_numbers int[], "
            "answers boolean);"
            "CREATE UNLOGGED TABLE bench_model (number int PRIMARY KEY, model_id int, "
            "provider_ids int[], embeds boolean, endpoint_ids int[], input numeric, "
            "cache_read numeric, output numeric, latency_ms float, error_rate float)"
        )


def _make_models() -> None:
    names = {name for model in MODELS for name in model[1:3]}
    providers = {name: Provider.objects.get_or_create(name=name)[0].pk for name in names}
    endpoints = {
        name: Endpoint.objects.get_or_create(name=name)[0].pk
        for name in (CHAT, RESPONSES, EMBEDDINGS)
    }
    rows = []
    for number, (name, provider, second, prices, latency_ms) in enumerate(MODELS, 1):
        model_id = LlmModel.objects.get_or_create(name=name)[0].pk
        embeds = "embedding" in name
        routes = [EMBEDDINGS, EMBEDDINGS] if embeds else [CHAT, RESPONSES]
        rows.append(
            (
                *(number, model_id, [providers[provider], providers[second]], embeds),
                *([endpoints[route] for route in routes], *prices),
                *(latency_ms, 0.004 + 0.005 * (number % 7)),
            )
        )
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO bench_model VALUES ({', '.join(['%s'] * 10)})", rows)


def _describe(
    keys: Sequence[ApiKey], places: Sequence[int], projects: Sequence[Project], rng: random.Random
) -> None:
    """Each key works on one or two projects of its workspace, with a few models, in one way.

    One in twenty belongs to nobody in particular, and one in ten names no project.
    """
    rows = []
    for number, (key, place) in enumerate(zip(keys, places, strict=True), 1):
        own = projects[place::WORKSPACES]
        chosen = [p.pk for p in rng.choices(own, zipf(len(own)), k=2)]
        models = rng.choices(range(1, len(MODELS) + 1), zipf(len(MODELS)), k=CHOICES)
        rows.append(
            (
                *(number, key.workspace_id, None if number % 20 == 0 else key.member_id, key.pk),
                *([] if number % 10 == 5 else chosen, models, number % 4 == 0),
            )
        )
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO bench_key VALUES ({', '.join(['%s'] * 7)})", rows)
        cursor.execute("ANALYZE bench_key; ANALYZE bench_model")


def hour_shares(traffic: Traffic) -> tuple[datetime, list[float]]:
    """The first hour, and how much of the traffic each of the hours up to `end` has."""
    hours = traffic.days * 24
    first = traffic.end - timedelta(hours=hours)
    weights = []
    for hour in range(hours):
        local = (first + timedelta(hours=hour)).astimezone(traffic.zone)
        weights.append(HOURS[local.hour] * WEEKDAYS[local.weekday()])
    return first, [weight / sum(weights) for weight in weights]


# Drawn in the order of time. A subquery that draws numbers is computed once for each row.
MAKE = """
WITH ticks AS (
    SELECT n, (n + random()) / %(rows)s AS share FROM generate_series(%(first)s, %(last)s) AS n
), timed AS (
    SELECT n, share, width_bucket(share, %(hours)s::float[]) AS hour FROM ticks
), drawn AS (
    SELECT n,
        %(start)s::timestamptz + interval '1 hour' * (hour - 1
            + (share - (%(hours)s::float[])[hour]) / (%(ends)s::float[])[hour]) AS occurred_at,
        width_bucket(random(), %(keys)s::float[]) AS key_number,
        width_bucket(random(), %(choices)s::float[]) AS choice,
        random() AS luck, random() AS route, random() AS project,
        least(exp(random_normal(6.8, 1.2)), 180000)::int AS prompt,
        least(exp(random_normal(5.2, 1.0)), 16000)::int AS completion,
        greatest(random() * 2 - 1, 0) AS cached,
        exp(random_normal(0, 0.6)) AS slowness
    FROM timed
), requests AS (
    SELECT d.n, d.occurred_at, k.workspace_id, k.member_id, k.api_key_id, m.model_id,
        k.project_ids[CASE WHEN d.project < 0.8 THEN 1 ELSE 2 END] AS project_id,
        m.provider_ids[CASE WHEN d.route < 0.93 THEN 1 ELSE 2 END] AS provider_id,
        m.endpoint_ids[CASE WHEN k.answers THEN 2 ELSE 1 END] AS endpoint_id,
        d.luck < m.error_rate AS failed, d.luck,
        CASE WHEN d.luck < m.error_rate THEN 0 ELSE (d.prompt * (1 - d.cached))::int END AS input,
        CASE WHEN d.luck < m.error_rate THEN 0 ELSE (d.prompt * d.cached)::int END AS cache_read,
        CASE WHEN d.luck < m.error_rate OR m.embeds THEN 0 ELSE d.completion END AS output,
        (m.latency_ms * d.slowness * (0.5 + d.completion / 400.0))::int AS latency_ms,
        NOT m.embeds AND d.project < 0.7 AS streamed,
        m.input AS input_price, m.cache_read AS cache_read_price, m.output AS output_price,
        (row_number() OVER (PARTITION BY k.workspace_id ORDER BY d.n) - 1) / 100 AS batch
    FROM drawn d
    JOIN bench_key k ON k.number = d.key_number
    JOIN bench_model m ON m.number = k.model_numbers[d.choice]
), closed AS (
    SELECT *, max(n) OVER (PARTITION BY workspace_id, batch) AS closed_at FROM requests
), made AS (
    SELECT *, %(batches)s + dense_rank() OVER (ORDER BY closed_at) AS batch_id,
        (input * input_price + cache_read * cache_read_price + output * output_price)
            / 1000000 AS cost,
        uuidv7()::text AS request_id
    FROM closed
), keys AS (
    INSERT INTO usage_requestkey (workspace_id, request_id, occurred_at)
    SELECT workspace_id, request_id, occurred_at FROM made
), ledger AS (
    INSERT INTO usage_batch (workspace_id, batch_id, least_at, greatest_at, row_count)
    SELECT workspace_id, batch_id, min(occurred_at), max(occurred_at), count(*)
    FROM made GROUP BY workspace_id, batch_id
), stored AS (
    INSERT INTO usage_requestlog (occurred_at, received_at, batch_id, workspace_id, project_id,
        api_key_id, member_id, model_id, provider_id, endpoint_id, input, cache_read,
        cache_write_5m, cache_write_1h, output, reasoning, latency_ms, time_to_first_token_ms,
        status, streamed, cost, ceiling_cost, reported_cost, request_id, error_type)
    SELECT occurred_at, occurred_at + interval '1 second', batch_id, workspace_id, project_id,
        api_key_id, member_id, model_id, provider_id, endpoint_id, input, cache_read,
        0, 0, output, output / 3, latency_ms, CASE WHEN streamed THEN latency_ms / 5 END,
        CASE WHEN NOT failed THEN 200 WHEN luck < 0.003 THEN 500 ELSE 429 END, streamed, cost,
        CASE WHEN cost IS NULL THEN (input * 15 + output * 75) / 1000000.0 END,
        CASE WHEN n %% 3 > 0 THEN round(cost, 6) END, request_id,
        CASE WHEN failed THEN CASE WHEN luck < 0.003 THEN 'ServerError' ELSE 'RateLimit' END END
    FROM made ORDER BY batch_id, n
)
SELECT max(batch_id) FROM made
"""


def write(traffic: Traffic) -> Iterator[int]:
    """Write the requests in steps; yields how many are written. Memory does not grow with them."""
    start, hours = hour_shares(traffic)
    constants = {
        "rows": traffic.rows,
        "start": start,
        "hours": edges(hours),
        "ends": hours,
        "keys": edges(zipf(KEYS, 0.9)),
        "choices": edges(zipf(CHOICES, 1.3)),
    }
    for first in range(0, traffic.rows, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, traffic.rows) - 1
        _write_step(constants | {"first": first, "last": last})
        yield last + 1


def _write_step(values: dict) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('usage_batch_id_seq')")
        cursor.execute(MAKE, values | {"batches": cursor.fetchone()[0]})
        cursor.execute("SELECT setval('usage_batch_id_seq', %s)", cursor.fetchone())


def posted(rng: random.Random, *, count: int) -> list[bytes]:
    """Requests as a gateway posts them, by names, with places for a number and for the moment."""
    return [_posted_row(rng) for _ in range(count)]


KEY_EDGES = list(itertools.accumulate(zipf(KEYS, 0.9)))
MODEL_EDGES = list(itertools.accumulate(zipf(len(MODELS))))


def _posted_row(rng: random.Random) -> bytes:
    key = rng.choices(range(KEYS), cum_weights=KEY_EDGES)[0]
    model = rng.choices(MODELS, cum_weights=MODEL_EDGES)[0]
    row = {
        "request_id": f"{uuid.UUID(int=rng.getrandbits(128))}-%d",
        "occurred_at": "%s",
        "api_key": f"key-{key}",
        "model": model[0],
        "provider": model[1],
        "endpoint": CHAT,
        "status": 200 if rng.random() < 0.98 else 429,
        "input_tokens": rng.randrange(20, 20_000),
        "output_tokens": rng.randrange(2, 2_000),
        "latency_ms": rng.randrange(100, 20_000),
        "streamed": True,
    }
    return json.dumps(row).encode()
