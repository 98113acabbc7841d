"""What was paid for without need, or may be: prompts sent anew, errors, keys that nobody uses."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from accounts.access import Reach
from accounts.models import ApiKey
from usage.insight.found import Found, evidence_of, key_of
from usage.insight.repriced import Seller, rate_on
from usage.insight.traffic import KEYS, PROMPT, SPAN, Key, Traffic, rows
from usage.insight_models import Saving
from usage.pricing.ratecard import STANDARD_TIERS, RateCard, dollars, stored_units
from usage.reports.question import Question, today_in
from usage.reports.run import ask

# What caches take at the least, and how long they keep it at the least.
LEAST_CACHED_TOKENS = 1024
CACHE_MINUTES = 5
CACHED_ALREADY = Decimal("0.2")
# Of what even the short prompts have: how much of it is taken to be the same every time.
SHARED_PART = 2
LEAST_REQUESTS = 50

RETRIED_WITHIN_MINUTES = 5
IDLE_DAYS = 30

# The same key's prompts to the same model, and how long after another each was sent.
REPEATED = f"""
SELECT {KEYS.replace("l.", "e.")}, count(*), count(*) FILTER (
        WHERE e.pause <= make_interval(mins => {CACHE_MINUTES})),
    sum(e.cost), percentile_disc(0.1) WITHIN GROUP (ORDER BY e.prompt),
    sum(e.cache_read)::numeric / sum(e.prompt)
FROM (
    SELECT {KEYS}, l.cost, l.cache_read, {PROMPT} AS prompt,
        l.occurred_at - lag(l.occurred_at) OVER (
            PARTITION BY {KEYS}, l.api_key_id ORDER BY l.occurred_at) AS pause
    FROM usage_requestlog l
    WHERE {SPAN} AND l.status < 400 AND l.cost IS NOT NULL
        AND {PROMPT} >= {LEAST_CACHED_TOKENS}
        AND lower(coalesce(l.service_tier, '')) = ANY(%(standard)s)
) e
GROUP BY {KEYS.replace("l.", "e.")}
"""

PAID_ERRORS = f"""
SELECT {KEYS.replace("l.", "e.")}, e.status, count(*), sum(e.cost),
    count(*) FILTER (WHERE e.pause <= make_interval(mins => {RETRIED_WITHIN_MINUTES}))
FROM (
    SELECT {KEYS}, l.status, l.cost,
        lead(l.occurred_at) OVER (
            PARTITION BY {KEYS}, l.api_key_id, {PROMPT} ORDER BY l.occurred_at
        ) - l.occurred_at AS pause
    FROM usage_requestlog l WHERE {SPAN}
) e
WHERE e.status >= 400 AND e.cost > 0
GROUP BY {KEYS.replace("l.", "e.")}, e.status
"""

LAST_USED = """
SELECT api_key_id, max(day) FROM usage_day_key
WHERE workspace_id = ANY(%(workspaces)s) AND api_key_id = ANY(%(keys)s) GROUP BY api_key_id
"""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts long enough to be cached; `shared_tokens` is what all of them may begin with."""

    requests: int
    following: int
    cost: Decimal
    shared_tokens: int
    cached: Decimal


@dataclass(frozen=True, slots=True)
class Rates:
    """Attodollars a token, at the standard rate."""

    fresh: int
    read: int
    write: int

    def saved(self, prompts: Prompts) -> Decimal:
        """Each prompt that soon follows another reads what the first one wrote."""
        first = prompts.requests - prompts.following
        atto = prompts.shared_tokens * (
            prompts.following * (self.fresh - self.read) - first * (self.write - self.fresh)
        )
        return dollars(stored_units(atto))

    @property
    def pays_from(self) -> Decimal:
        """The part of the prompts that must find something in the cache, for it to pay."""
        spread = self.write - self.read
        return Decimal(max(self.write - self.fresh, 0)) / spread if spread > 0 else Decimal(1)


def caching(traffic: Traffic, card: RateCard, workspace_ids: Sequence[int]) -> Iterator[Found]:
    """Long prompts in quick succession, of which hardly any part is read from a cache."""
    given = span_of(traffic, workspace_ids) | {"standard": list(STANDARD_TIERS)}
    for *ids, requests, following, cost, least, cached in rows(REPEATED, given):
        key, prompts = Key(*ids), Prompts(requests, following, cost, least // SHARED_PART, cached)
        rates = rates_of(key, traffic, card)
        if rates and requests >= LEAST_REQUESTS and cached < CACHED_ALREADY:
            yield cached_instead(key, prompts, rates, traffic)


def rates_of(key: Key, traffic: Traffic, card: RateCard) -> Rates | None:
    """None where reading from a cache has no price of its own, or is no cheaper."""
    seller = Seller(*traffic.name(key), traffic.account_id, traffic.until)
    fresh, read = (rate_on(meter, seller, card) for meter in ("input", "cache_read"))
    if fresh is None or read is None or read >= fresh:
        return None
    return Rates(fresh, read, rate_on("cache_write_5m", seller, card) or fresh)


def cached_instead(key: Key, prompts: Prompts, rates: Rates, traffic: Traffic) -> Found:
    return Found(
        kind=Saving.Kind.CACHING,
        key=key_of(Saving.Kind.CACHING, key),
        workspace_id=key.workspace_id,
        days=traffic.days,
        confidence=Saving.Confidence.LOW,
        about=key,
        paid=prompts.cost,
        cost_now=prompts.cost,
        cost_then=prompts.cost - rates.saved(prompts),
        evidence={
            "now": evidence_of(traffic.by_key[key]),
            "requests": prompts.requests,
            "following": prompts.following,
            "shared_tokens": prompts.shared_tokens,
            "cached": f"{prompts.cached:.4f}",
            "pays_from": f"{rates.pays_from:.4f}",
            "why": [
                f"Prompts are not kept here: that their first {prompts.shared_tokens:,} tokens are "
                "the same each time is an assumption, half of what even the short ones have."
            ],
        },
    )


@dataclass
class PaidErrors:
    """Failed requests that cost something."""

    cost: Decimal = Decimal(0)
    requests: int = 0
    retried: int = 0
    by_status: Counter[int] = field(default_factory=Counter)


def errors(traffic: Traffic, workspace_ids: Sequence[int]) -> Iterator[Found]:
    """Requests that failed and were charged all the same, and how many were then sent again."""
    paid: dict[Key, PaidErrors] = defaultdict(PaidErrors)
    for *ids, status, requests, cost, retried in rows(PAID_ERRORS, span_of(traffic, workspace_ids)):
        sums = paid[Key(*ids)]
        sums.cost += cost
        sums.requests += requests
        sums.retried += retried
        sums.by_status[status] += requests
    for key, sums in paid.items():
        yield failed(key, sums, traffic)


def failed(key: Key, sums: PaidErrors, traffic: Traffic) -> Found:
    return Found(
        kind=Saving.Kind.ERRORS,
        key=key_of(Saving.Kind.ERRORS, key),
        workspace_id=key.workspace_id,
        days=traffic.days,
        confidence=Saving.Confidence.MEDIUM,
        about=key,
        paid=sums.cost,
        cost_now=sums.cost,
        cost_then=Decimal(0),
        evidence={
            "now": evidence_of(traffic.by_key[key]),
            "paid_errors": sums.requests,
            "retried": sums.retried,
            "by_status": {str(status): n for status, n in sums.by_status.most_common()},
            "why": ["What was paid is known; whether all of it can be avoided is not."],
        },
    )


def idle_keys(reach: Reach, *, now: datetime) -> Iterator[Found]:
    """Keys that may spend but have not for long: each is a secret less to lose."""
    keys = ApiKey.objects.active().filter(workspace__in=reach.workspace_ids, disabled_at=None)
    today = today_in(reach, now=now)
    idle = {key.pk: key for key in keys.exclude(pk__in=used_keys(reach, today, now=now))}
    given = {"workspaces": reach.workspace_ids, "keys": list(idle)}
    last: dict[int, date] = dict(rows(LAST_USED, given))
    old = {a.pk for a in reach.accounts if a.created_at < now - timedelta(days=IDLE_DAYS)}
    account_of = {w.pk: w.account_id for w in reach.workspaces}
    for key in idle.values():
        # When a key was made is not known: of a young account none is called idle.
        if key.pk in last or account_of[key.workspace_id] in old:
            yield idle_key(key, last.get(key.pk))


def used_keys(reach: Reach, today: date, *, now: datetime) -> list[int]:
    question = Question(
        reach=reach,
        start=today - timedelta(days=IDLE_DAYS),
        end=today + timedelta(days=1),
        group_by=("api_key",),
        metrics=("requests",),
    )
    found = ask(question, now=now).rows
    return [row["api_key_id"] for row in found if row["api_key_id"]]


def idle_key(key: ApiKey, last_day: date | None) -> Found:
    return Found(
        kind=Saving.Kind.IDLE_KEY,
        key=f"{Saving.Kind.IDLE_KEY}:{key.pk}",
        workspace_id=key.workspace_id,
        days=Decimal(IDLE_DAYS),
        confidence=Saving.Confidence.HIGH,
        api_key_id=key.pk,
        evidence={"last_used_on": last_day.isoformat() if last_day else None, "why": []},
    )


def span_of(traffic: Traffic, workspace_ids: Sequence[int]) -> dict[str, object]:
    return {"workspaces": list(workspace_ids), "since": traffic.since, "until": traffic.until}
