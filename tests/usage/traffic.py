"""Random requests of every kind, and what reports should say of them: counted here, in Python."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import Account, Client, Project, Workspace
from tests.factories import log, make_workspace, native, post, small_price_book

METRICS = (
    "requests",
    "errors",
    "unpriced_requests",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "cost",
    "ceiling_cost",
    "reported_cost",
    "reported_cost_difference",
)


def rows(
    count: int, *, days: Sequence[date], zone: str = "UTC", seed: int = 1
) -> list[dict[str, Any]]:
    """Requests on those local days, many of them within a microsecond of a midnight."""
    rng = random.Random(seed)
    return [row(rng, moment(rng, rng.choice(days), ZoneInfo(zone))) for _ in range(count)]


def moment(rng: random.Random, day: date, zone: ZoneInfo) -> datetime:
    midnight = datetime.combine(day, datetime.min.time(), tzinfo=zone).astimezone(UTC)
    if rng.random() < 0.3:
        return midnight + timedelta(microseconds=rng.choice((-1, 0, 1)))
    return midnight + timedelta(minutes=rng.randrange(24 * 60), seconds=rng.random() * 60)


def row(rng: random.Random, when: datetime) -> dict[str, Any]:

    def maybe(*values: Any) -> Any:
        return rng.choice((None, *values))

    tokens = rng.randrange(3000)
    output = rng.randrange(500)
    return native(
        occurred_at=when.isoformat(),
        workspace=rng.choice(("research", "support")),
        project=maybe("alpha", "beta", "gamma"),
        member=maybe("jane", "joe"),
        api_key=maybe("key-1", "key-2"),
        model=rng.choice(("gpt-4o", "gpt-4o", "brand-new")),
        provider=rng.choice(("openai", "openai", "azure")),
        endpoint=maybe("/v1/chat/completions", "/v1/responses"),
        status=rng.choice((200, 200, 200, 404, 500)),
        error_type=maybe("Timeout"),
        service_tier=maybe("batch"),
        streamed=maybe(True, False),
        input_tokens=tokens,
        cache_read_tokens=tokens // 3,
        cache_write_tokens=tokens // 7,
        cache_write_1h_tokens=tokens // 11,
        output_tokens=output,
        reasoning_tokens=output // 2,
        latency_ms=maybe(rng.randrange(5000)),
        time_to_first_token_ms=maybe(rng.randrange(900)),
        cost=maybe("0.001", "0"),
    )


def record(account: Account, requests: Sequence[Any], *, chunk: int = 50) -> None:
    """Posted in several calls, so that they are several batches; two projects have a client."""
    small_price_book()
    for slug in ("research", "support"):
        if not Workspace.objects.filter(account=account, slug=slug).exists():
            make_workspace(account, slug)
    for start in range(0, len(requests), chunk):
        assert post(account, *requests[start : start + chunk]).rejected == []
    client, _ = Client.objects.get_or_create(account=account, slug="initech", name="Initech")
    Project.objects.filter(tag__in=("alpha", "beta")).update(client=client)


def logged() -> list[dict[str, Any]]:
    """The log with the names that reports group by."""
    clients = {project.pk: project.client for project in Project.objects.select_related("client")}
    return [
        row
        | {
            "client": getattr(clients.get(row["project_id"]), "slug", None),
            "client_id": getattr(clients.get(row["project_id"]), "pk", None),
            "status_class": f"{row['status'] // 100}xx",
            "streamed": None if row["streamed"] is None else str(row["streamed"]).lower(),
        }
        for row in log()
    ]


def bucket(when: datetime, granularity: str, zone: str) -> date | datetime | None:
    local = when.astimezone(ZoneInfo(zone))
    if granularity == "hour":
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return when.astimezone(UTC) - into
    day = local.date()
    return {
        "none": None,
        "day": day,
        "week": day - timedelta(day.weekday()),
        "month": day.replace(day=1),
    }[granularity]


def grouped(
    requests: Iterable[dict[str, Any]],
    group_by: Sequence[str] = (),
    granularity: str = "none",
    zone: str = "UTC",
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """(bucket, ids) -> the figures of METRICS."""
    groups = defaultdict(list)
    for request in requests:
        time = bucket(request["occurred_at"], granularity, zone)
        groups[(time, *ids(request, group_by))].append(request)
    return {key: figures(members) for key, members in groups.items()}


def ids(row: dict[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    """What tells groups apart: tags and keys repeat in other workspaces, ids do not."""
    return tuple(row[f"{name}_id" if f"{name}_id" in row else name] for name in names)


def figures(requests: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    def total(*names: str) -> Any:
        return sum(request[name] or 0 for request in requests for name in names)

    unpriced = sum(request["cost"] is None for request in requests)
    claimed = [request for request in requests if request["reported_cost"] is not None]
    written = ("cache_write_5m", "cache_write_1h")
    return (
        len(requests),
        sum(request["status"] >= 400 for request in requests),
        unpriced,
        total("input", "cache_read", *written),
        total("cache_read"),
        total(*written),
        total("output"),
        total("reasoning"),
        total("input", "cache_read", *written, "output"),
        None if requests and unpriced == len(requests) else total("cost"),
        total("ceiling_cost"),
        total("reported_cost") if claimed else None,
        sum(r["reported_cost"] - r["cost"] for r in claimed if r["cost"] is not None)
        if claimed
        else None,
    )


def answered(report: Any) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """A report's rows in the form of `grouped`."""
    time = report.question.granularity
    return {
        (row[time] if time != "none" else None, *ids(row, report.question.group_by)): tuple(
            row[name] for name in METRICS
        )
        for row in report.rows
    }
