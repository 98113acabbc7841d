"""What the demo's keys ask for, and when: pure, and the same for the same moment and seed."""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from config.demo import waste
from config.demo.organisation import KEYS, TIME_ZONE
from usage.ingest.schema import NativeRequest

T = TypeVar("T")
ZONE = ZoneInfo(TIME_ZONE)
HOUR = timedelta(hours=1)

CHAT, MESSAGES, RESPONSES, EMBEDDINGS = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1/embeddings",
)


@dataclass(frozen=True, slots=True)
class Usage:
    """How a model is used, and how fast it answers: medians of tokens and milliseconds, and parts.

    `cached` and `written` are parts of the input, `reasoning` is a part of the output.
    """

    provider: str
    endpoint: str
    input: int
    output: int
    first_token_ms: int
    ms_per_token: float
    cached: float = 0
    written: float = 0
    reasoning: float = 0
    streamed: float = 0
    rate_limited: float = 0.003


MODELS = {
    "claude-sonnet-5-5": Usage(
        "anthropic", MESSAGES, 55_000, 800, 900, 14, 0.85, 0.06, 0.2, 0.9, rate_limited=0.012
    ),
    "claude-opus-5-5": Usage("anthropic", MESSAGES, 60_000, 1_400, 1_500, 22, 0.7, 0.1, 0.4, 0.9),
    "claude-haiku-5-5": Usage("anthropic", MESSAGES, 6_200, 320, 420, 6, 0.5, 0.1, 0, 0.8),
    "gpt-6-sol": Usage("openai", RESPONSES, 16_000, 1_100, 1_100, 12, 0.45, 0, 0.55, 0.6),
    "gpt-5.4-mini": Usage("openai", CHAT, 4_200, 360, 500, 7, 0.3, 0, 0.2, 0.3),
    "text-embedding-3-small": Usage("openai", EMBEDDINGS, 1_800, 0, 90, 0),
    "gemini-3.8-flash": Usage("vertex_ai", CHAT, 6_500, 420, 450, 5, 0.25, 0, 0.1, 0.5),
    "mistral-large-4": Usage("mistral", CHAT, 3_800, 480, 600, 11, 0.1, 0, 0, 0.4),
    "grok-4-1-fast-reasoning": Usage("xai", CHAT, 5_200, 650, 800, 18, 0.3, 0, 0.3, 0.2),
    "acme-support-8b-v3": Usage("hosted_vllm", CHAT, 1_500, 210, 160, 9, streamed=0.9),
}
# What is new in the company has no price yet, and the gateway reports its cost as nothing.
UNPRICED_MODEL = "acme-support-8b-v3"
UNPRICED_SINCE = timedelta(days=9)

# Weight of each local hour of a day, and of each weekday from Monday.
Shape = tuple[tuple[float, ...], tuple[float, ...]]
OFFICE: Shape = (
    (0.2, 0.1, 0, 0, 0, 0, 0.3, 1, 3, 7, 9, 9, 6, 7, 9, 9, 8, 6, 3, 2, 1.5, 1.2, 0.8, 0.4),
    (1, 1.05, 1.1, 1.05, 0.8, 0.12, 0.1),
)
AROUND_THE_CLOCK: Shape = (
    (
        2,
        1.6,
        1.3,
        1.2,
        1.4,
        2,
        3,
        4.5,
        6,
        7,
        7.5,
        7.5,
        7,
        7,
        7,
        6.8,
        6.5,
        6,
        5.5,
        5.5,
        5,
        4.5,
        4,
        3,
    ),
    (1.1, 1, 1, 1, 1, 0.7, 0.65),
)
NIGHTLY: Shape = (
    (4, 9, 9, 6, 2) + (0.05,) * 19,
    (1, 1, 1, 1, 1, 1, 1),
)


@dataclass(frozen=True, slots=True)
class Habit:
    """One key's part of the traffic: when, with which models, for which projects beside its own."""

    key: str
    part: float
    shape: Shape
    models: Mapping[str, float]
    projects: Mapping[str | None, float] = field(default_factory=lambda: {None: 1})
    service_tier: str | None = None
    cached: bool = True


CODING = {"claude-sonnet-5-5": 6, "gpt-6-sol": 2, "claude-opus-5-5": 0.6}
CONSOLE = {"claude-haiku-5-5": 4, "gpt-5.4-mini": 3}
EVALUATION = {"gemini-3.8-flash": 2, "grok-4-1-fast-reasoning": 3}
HABITS = (
    Habit("ada-laptop", 7, OFFICE, CODING, {None: 5, "checkout": 3}),
    Habit("ben-laptop", 5, OFFICE, CODING),
    Habit("chiara-laptop", 4, OFFICE, CODING, {None: 2, "checkout": 4}),
    Habit("daniel-laptop", 3, OFFICE, {"gpt-6-sol": 5, "claude-sonnet-5-5": 2}),
    Habit("elena-laptop", 3, OFFICE, CODING),
    Habit("elena-bluebird-staging", 8, OFFICE, {"gpt-5.4-mini": 4, "gemini-3.8-flash": 5}),
    Habit("ci", 7, OFFICE, {"gpt-6-sol": 3, "mistral-large-4": 4}),
    Habit("support-bot-live", 26, AROUND_THE_CLOCK, CONSOLE, {None: 6, "help-center": 3}),
    Habit("support-bot-live", 3, AROUND_THE_CLOCK, {UNPRICED_MODEL: 1}, {"help-center": 1}),
    Habit("farah-console", 3, OFFICE, CONSOLE),
    Habit("grace-console", 3, OFFICE, {"mistral-large-4": 3, "claude-haiku-5-5": 1}),
    Habit(
        "hugo-triage", 6, AROUND_THE_CLOCK, {"gemini-3.8-flash": 4, "grok-4-1-fast-reasoning": 2}
    ),
    Habit("enrichment", 8, NIGHTLY, {"text-embedding-3-small": 5, "gemini-3.8-flash": 1}),
    Habit("enrichment", 4, NIGHTLY, {"gpt-5.4-mini": 1}, service_tier="batch"),
    Habit("ines-notebook", 4, OFFICE, {"gpt-6-sol": 1}, {"evals": 1}, service_tier="flex"),
    Habit("ines-notebook", 3, OFFICE, EVALUATION | {"claude-opus-5-5": 2}, {None: 1, "evals": 3}),
    Habit("jonas-notebook", 3, OFFICE, EVALUATION, {"evals": 1}),
)

# One afternoon an evaluation ran away: long prompts to the dearest model, none of them cached.
SPIKE = Habit("jonas-notebook", 1, OFFICE, {"claude-opus-5-5": 1}, {"evals": 1}, cached=False)
SPIKE_DAYS_AGO = 5
SPIKE_HOUR = 14
SPIKE_PART = 0.006

# What could be saved beside a dear model.
SUMMARIES = Habit("enrichment", 1, NIGHTLY, {"claude-sonnet-5-5": 1}, cached=False)
FORGOTTEN = Habit("hackathon-bot", 1, OFFICE, {"gpt-5.4-mini": 1})
TIMEOUTS = Habit("ci", 1, OFFICE, {"gpt-6-sol": 1})

OUTAGE_PROVIDER = "openai"
OUTAGE_DAYS_AGO = 11
OUTAGE_HOUR = 11


@dataclass
class Traffic:
    """The requests of the `days` that end `now`, about `count` in all, in the order of time."""

    now: datetime
    days: int
    count: int
    rng: random.Random

    def requests(self) -> list[NativeRequest]:
        moments = sorted(
            ((moment, habit) for habit in HABITS for moment in self.moments(habit)),
            key=lambda pair: pair[0],
        )
        ordinary = [self.request(moment, habit) for moment, habit in moments]
        spike = [self.request(moment, SPIKE) for moment in self.spike()]
        return sorted(ordinary + spike + self.wasted(), key=occurred_at)

    def wasted(self) -> list[NativeRequest]:
        if not waste.part_of(self.days):
            return []
        return [
            *waste.summaries(self, SUMMARIES),
            *waste.forgotten(self, FORGOTTEN),
            *waste.timeouts(self, TIMEOUTS),
        ]

    def moments(self, habit: Habit) -> list[datetime]:
        weights = self.weights(habit)
        ordinary = self.count * (1 - SPIKE_PART - waste.part_of(self.days))
        expected = ordinary * habit.part / sum(h.part for h in HABITS)
        hours = self.rng.choices(list(weights), list(weights.values()), k=round(expected))
        return [self.within(hour) for hour in hours]

    def weights(self, habit: Habit) -> dict[datetime, float]:
        """How likely each hour is: by its place in the local day and week, growing with time."""
        by_hour, by_weekday = habit.shape
        since = self.now - UNPRICED_SINCE if UNPRICED_MODEL in habit.models else None
        weights = {}
        for hour in self.hours():
            local = hour.astimezone(ZONE)
            age = (self.now - hour) / timedelta(days=self.days)
            whole = min(1.0, (self.now - hour) / HOUR)
            grown = 1.35 - 0.7 * age
            if since is None or hour >= since:
                weights[hour] = by_hour[local.hour] * by_weekday[local.weekday()] * grown * whole
        return weights if any(weights.values()) else dict.fromkeys(weights, 1.0)

    def hours(self) -> Iterator[datetime]:
        hour = (self.now - timedelta(days=self.days)).replace(minute=0, second=0, microsecond=0)
        while hour < self.now:
            yield hour
            hour += HOUR

    def within(self, hour: datetime) -> datetime:
        return hour + min(HOUR, self.now - hour) * self.rng.random()

    @property
    def has_spike(self) -> bool:
        return self.days >= SPIKE_DAYS_AGO + 3  # a weekend may lie before it

    def spike(self) -> list[datetime]:
        if not self.has_spike:
            return []
        start = self.weekday_at(SPIKE_DAYS_AGO, hour=SPIKE_HOUR)
        count = round(self.count * SPIKE_PART)
        return [start + timedelta(hours=3) * self.rng.random() for _ in range(count)]

    def weekday_at(self, days_ago: int, *, hour: int) -> datetime:
        """A local hour of the last working day that is at least so many days ago."""
        day = self.day_at(days_ago, hour=hour)
        while day.weekday() > 4:
            day -= timedelta(days=1)
        return day

    def day_at(self, days_ago: int, *, hour: int) -> datetime:
        local = (self.now - timedelta(days=days_ago)).astimezone(ZONE)
        return local.replace(hour=hour, minute=0, second=0, microsecond=0)

    def request(self, moment: datetime, habit: Habit) -> NativeRequest:
        model = self.one_of(habit.models)
        usage = MODELS[model]
        request = NativeRequest(
            request_id=f"req_{self.rng.getrandbits(80):020x}",
            model=model,
            occurred_at=moment,
            api_key=KEYS[habit.key].identifier,
            project=self.one_of(habit.projects),
            provider=usage.provider,
            endpoint=usage.endpoint,
            service_tier=habit.service_tier,
            streamed=self.rng.random() < usage.streamed,
        )
        failure = self.failure(usage, moment)
        if failure:
            request.status, request.error_type = failure
            request.latency_ms = self.around(180 if request.status < 500 else 12_000)
        else:
            self.answer(request, usage, cached=habit.cached)
        return request

    @cached_property
    def outage_at(self) -> datetime:
        return self.weekday_at(OUTAGE_DAYS_AGO, hour=OUTAGE_HOUR)

    def failure(self, usage: Usage, moment: datetime) -> tuple[int, str] | None:
        since = self.outage_at
        out = usage.provider == OUTAGE_PROVIDER and since <= moment < since + HOUR
        chance = self.rng.random()
        for part, status, kind in (
            (0.8 if out else 0.003, 503, "service_unavailable"),
            (usage.rate_limited, 429, "rate_limit_error"),
            (0.004, 400, "invalid_request_error"),
            (0.002, 504, "timeout"),
        ):
            if chance < part:
                return status, kind
            chance -= part
        return None

    def answer(self, request: NativeRequest, usage: Usage, *, cached: bool) -> None:
        """Tokens and times of a request that was answered."""
        request.input_tokens = self.around(usage.input)
        if cached:
            request.cache_read_tokens = self.part(request.input_tokens, usage.cached)
            request.cache_write_tokens = self.part(
                request.input_tokens - request.cache_read_tokens, usage.written
            )
        request.output_tokens = self.around(usage.output) if usage.output else 0
        request.reasoning_tokens = self.part(request.output_tokens, usage.reasoning)
        if request.model == UNPRICED_MODEL:
            request.cost = Decimal(0)
        if request.service_tier == "batch":  # answered within a day; nobody measures it
            return
        first = self.around(usage.first_token_ms)
        request.latency_ms = first + round(request.output_tokens * usage.ms_per_token)
        if request.streamed:
            request.time_to_first_token_ms = first

    def around(self, median: float) -> int:
        return max(1, round(median * math.exp(self.rng.gauss(0, 0.45))))

    def part(self, whole: int, part: float) -> int:
        """About that part of the whole; now and then nothing, as in the first turn of a chat."""
        if not part or self.rng.random() < 0.12:
            return 0
        return int(whole * min(0.98, max(0.0, self.rng.gauss(part, 0.08))))

    def one_of(self, weights: Mapping[T, float]) -> T:
        if len(weights) == 1:
            return next(iter(weights))
        return self.rng.choices(list(weights), list(weights.values()))[0]


def occurred_at(request: NativeRequest) -> datetime:
    """When it occurred: here always a moment, never left out and never in seconds."""
    return cast(datetime, request.occurred_at)
