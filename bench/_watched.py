"""Thousands of series in the database, and how long a minute's look at all of them takes."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection

from accounts.models import Account, Workspace
from bench._engines import backend_seconds
from usage import partitions
from usage.insight import spikes
from usage.insight.seasons import HISTORY_HOURS
from usage.models import Anomaly

NOW = datetime(2026, 6, 17, 14, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
# Of each workspace: so many of each kind, and itself.
KEYS, MEMBERS, PROJECTS, MODELS = 150, 50, 39, 10
SERIES_A_WORKSPACE = KEYS + MEMBERS + PROJECTS + MODELS + 1
REQUESTS_A_KEY_AND_HOUR = 20
LOGGED_HOURS = 6
BURSTS = 20

# What a key does, its member, project and model do; so do their series.
KEY_HOURS = """
INSERT INTO usage_serieshour (workspace_id, hour, kind, subject_id, requests, tokens, cost)
SELECT w, hour, kind.name, w * 1000 + n, requests, requests * 2000, requests * 0.02
FROM unnest(%(workspaces)s::int[]) AS w
CROSS JOIN generate_series(%(start)s::timestamptz, %(end)s - interval '1 hour', '1 hour') AS hour
CROSS JOIN (VALUES ('api_key', %(keys)s), ('member', %(members)s), ('project', %(projects)s),
    ('model', %(models)s), ('workspace', 1)) AS kind(name, number)
CROSS JOIN LATERAL generate_series(0, kind.number - 1) AS n
CROSS JOIN LATERAL (SELECT (%(keys)s * %(requests)s / kind.number * (0.5 + random()))::int
    AS requests) AS r
"""
LOG = """
INSERT INTO usage_requestlog (occurred_at, received_at, batch_id, workspace_id, project_id,
    api_key_id, member_id, model_id, input, cache_read, cache_write_5m, cache_write_1h, output,
    reasoning, status, cost, request_id)
SELECT moment, moment, 0, w, w * 1000 + n %% %(projects)s,
    w * 1000 + n, w * 1000 + n %% %(members)s,
    w * 1000 + n %% %(models)s, 1800, 0, 0, 0, 200, 0, 200, 0.02,
    %(source)s || '-' || w || '-' || n || '-' || extract(epoch FROM moment)
FROM unnest(%(workspaces)s::int[]) AS w CROSS JOIN generate_series(0, %(keys)s - 1) AS n
CROSS JOIN generate_series(%(start)s::timestamptz, %(end)s, %(every)s::interval) AS m(at)
CROSS JOIN LATERAL (SELECT m.at - random() * %(every)s::interval AS moment) AS t
"""
SIZES = {"keys": KEYS, "members": MEMBERS, "projects": PROJECTS, "models": MODELS}


def make(number: int) -> list[int]:
    """So many series with four weeks of history; the workspaces that they are in."""
    account = Account.objects.create(name="Watched", slug="watched")
    names = [f"w{n}" for n in range(number // SERIES_A_WORKSPACE)]
    workspaces = [
        Workspace.objects.create(account=account, name=name, slug=name).pk for name in names
    ]
    partitions.make_between((NOW - timedelta(days=1)).date(), NOW.date() + timedelta(1))
    hour = NOW.replace(minute=0)
    given = SIZES | {"workspaces": workspaces, "requests": REQUESTS_A_KEY_AND_HOUR}
    with connection.cursor() as cursor:
        cursor.execute(KEY_HOURS, given | {"start": hour - (HISTORY_HOURS + 2) * HOUR, "end": hour})
    log(workspaces, KEYS, start=NOW - LOGGED_HOURS * HOUR, every=HOUR / REQUESTS_A_KEY_AND_HOUR)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE usage_serieshour, usage_requestlog")
    return workspaces


def log(workspaces: Sequence[int], keys: int, *, start: datetime, every: timedelta) -> None:
    given = SIZES | {"workspaces": list(workspaces), "keys": keys, "source": start.isoformat()}
    with connection.cursor() as cursor:
        cursor.execute(LOG, given | {"start": start, "end": NOW, "every": every})


Seconds = tuple[float, float]


def seconds_of_looks(number: int) -> dict[str, Seconds]:
    """What is done -> seconds it takes, and of them of processors, this one's and the database's:
    from the log to the episodes."""
    workspaces, memory = make(number), spikes.Memory()
    found = {
        "the first minute of an hour": look(memory, NOW),
        "any other minute": look(memory, NOW + timedelta(minutes=1)),
    }
    log(workspaces[:BURSTS], 1, start=NOW - timedelta(minutes=5), every=timedelta(seconds=1))
    bursts = len(workspaces[:BURSTS])
    found[f"a minute in which {bursts} keys run away"] = look(memory, NOW + timedelta(minutes=2))
    assert Anomaly.objects.count() == bursts
    found["the minute after it"] = look(memory, NOW + timedelta(minutes=3))
    found["the first minute after a restart, next hour"] = look(spikes.Memory(), NOW + HOUR)
    return found


def look(memory: spikes.Memory, now: datetime) -> Seconds:
    started_at, spent = time.perf_counter(), cpu_seconds()
    spikes.look(now=now, memory=memory)
    return time.perf_counter() - started_at, cpu_seconds() - spent


def cpu_seconds() -> float:
    return time.process_time() + backend_seconds()
