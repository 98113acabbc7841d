"""May this call go? The decision, and the money held for it until the request is logged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from accounts.access import narrowed_to
from accounts.models import AccessToken
from budgets.models import Hold
from usage.coalescing import Coalescer
from usage.ingest import arrays
from usage.ingest.resolve import Owner, Resolver, ceiling_units, named, resolver
from usage.ingest.schema import MOST_DOLLARS, LabelledRequest, Name, RowError, Tokens, decode_with
from usage.pricing.ratecard import Unpriced, dollars, total_units


class Ask(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One question. Either `max_cost` or the tokens that the call may use at most."""

    request_id: Name
    model: Name | None = None
    provider: Name | None = None
    api_key: Name | None = None
    workspace: Name | None = None
    project: Name | None = None
    member: Name | None = None
    # How people call them, should this be the first that is heard of them.
    workspace_name: Name | None = None
    api_key_name: Name | None = None
    member_email: Annotated[str, msgspec.Meta(max_length=254)] | None = None
    service_tier: Name | None = None
    max_cost: Decimal | None = None
    input_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None


DECODER = msgspec.json.Decoder(Ask)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An ask with its names resolved and its worst case in US dollars."""

    ask: Ask
    owner: Owner
    amount: Decimal
    # Whether the caller's token reaches but some workspaces: what is above those is not told.
    is_narrowed: bool = False


def decode(raw: bytes | msgspec.Raw) -> Ask:
    """Raises RowError."""
    return decode_with(DECODER.decode, raw)


def preparer(*, token: AccessToken, now: datetime) -> Callable[[Ask], Prepared]:
    """What prepares one ask of this call; it raises RowError where that cannot be decided."""
    resolve = resolver(token.account, token, now=now)
    is_narrowed = bool(narrowed_to(token))
    owners: dict[tuple[str | None, ...], Owner] = {}  # the asks of a call are mostly of a few

    def prepared(ask: Ask) -> Prepared:
        key = (ask.workspace, ask.project, ask.member, ask.api_key)
        if key not in owners:
            owners[key] = resolve.owner(as_request(ask))
        return Prepared(ask, owners[key], worst_case(ask, resolve), is_narrowed)

    return prepared


def as_request(ask: Ask) -> LabelledRequest:
    return LabelledRequest(
        request_id=ask.request_id,
        model=ask.model or "unknown",
        api_key=ask.api_key,
        workspace=ask.workspace,
        project=ask.project,
        member=ask.member,
        workspace_name=ask.workspace_name,
        api_key_name=ask.api_key_name,
        member_email=ask.member_email,
    )


def worst_case(ask: Ask, resolve: Resolver) -> Decimal:
    """What the call costs at most, in US dollars. Raises RowError where that cannot be said.

    Input is taken at the dearer of its plain and its 5-minute cache-write price. A caller that
    writes to hour-long caches, or is charged for searches, says `max_cost`.
    """
    if ask.max_cost is not None:
        if not (ask.max_cost.is_finite() and 0 <= ask.max_cost <= MOST_DOLLARS):
            raise RowError("max_cost", f"Send max_cost in US dollars, from 0 to {MOST_DOLLARS:,}.")
        return ask.max_cost.quantize(Decimal("1e-10"))
    if ask.model is None or ask.input_tokens is None or ask.max_output_tokens is None:
        raise RowError(
            "max_cost", "Send max_cost, or model with input_tokens and max_output_tokens."
        )
    cost = worst_case_of_tokens(ask, resolve)
    if cost > MOST_DOLLARS:
        raise RowError(
            "max_output_tokens", f"So many tokens may cost more than ${MOST_DOLLARS:,}: send fewer."
        )
    return cost


def worst_case_of_tokens(ask: Ask, resolve: Resolver) -> Decimal:
    """By the price book, or where that does not know the model by the account's ceiling."""
    input_tokens, output_tokens = ask.input_tokens or 0, ask.max_output_tokens or 0
    provider, model = named(ask.provider, ask.model or "unknown")
    try:
        return dollars(
            max(
                total_units(
                    resolve.card.bill(
                        {meter: input_tokens, "output": output_tokens},
                        provider=provider,
                        model=model,
                        account_id=resolve.account.pk,
                        service_tier=ask.service_tier,
                        moment=resolve.now,
                    )
                )
                for meter in ("input", "cache_write_5m")
            )
        )
    except Unpriced:
        return dollars(ceiling_units(resolve.account, input_tokens, output_tokens))


def authorize(
    prepared: Sequence[Prepared], *, account_id: int, now: datetime
) -> list[dict[str, Any]]:
    """Decide in order, hold what is allowed, and answer in one shape for yes and no."""
    live = [one for one in prepared if not one.owner.key_disabled]
    decided = iter(decide(account_id, (live, now)) if live else [])
    return [refused_key(one) if one.owner.key_disabled else next(decided) for one in prepared]


def refused_key(one: Prepared) -> dict[str, Any]:
    return {
        "request_id": one.ask.request_id,
        "allowed": False,
        "reason": "The API key is disabled.",
        "hold_id": None,
        "expires_at": None,
        "budgets": [],
    }


DECIDE = """
SELECT budgets_decide(%s, %s::integer[], %s::integer[], %s::integer[], %s::integer[],
    %s::integer[], %s::text[], %s::numeric[], %s, make_interval(secs => %s))
"""


def decide_together(
    account_id: int, calls: Sequence[tuple[Sequence[Prepared], datetime]]
) -> list[list[dict[str, Any]]]:
    """The answers to several calls of one account, decided in one round trip and one commit."""
    now = calls[-1][1]
    asked = [one for prepared, _ in calls for one in prepared]
    runs = [decide_run(account_id, run, now) for run in distinct_runs(asked)]
    decided = chain.from_iterable(runs)
    return [list(islice(decided, len(prepared))) for prepared, _ in calls]


def distinct_runs(asked: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Cut where a request is asked for once more: by then its first answer must be there."""
    run: list[Prepared] = []
    seen: set[tuple[int, str]] = set()
    for one in asked:
        key = (one.owner.workspace_id, one.ask.request_id)
        if key in seen:
            yield run
            run, seen = [], set()
        run.append(one)
        seen.add(key)
    yield run


def decide_run(account_id: int, asked: Sequence[Prepared], now: datetime) -> list[dict[str, Any]]:
    places: dict[Owner, int] = {}
    owners = [places.setdefault(one.owner, len(places) + 1) for one in asked]
    with connection.cursor() as cursor:
        cursor.execute(
            DECIDE,
            [
                account_id,
                arrays.numbers(owner.workspace_id for owner in places),
                arrays.numbers(owner.project_id for owner in places),
                arrays.numbers(owner.member_id for owner in places),
                arrays.numbers(owner.api_key_id for owner in places),
                arrays.numbers(owners),
                arrays.texts(one.ask.request_id for one in asked),
                arrays.numbers(one.amount for one in asked),  # type: ignore[misc]
                now,
                settings.HOLD_TTL_SECONDS,
            ],
        )
        answer = ANSWER.decode(cursor.fetchone()[0])
    held = iter(answer.held)
    return [
        as_answer(one, answer.decision(number, owner, held), answer.counters)
        for number, (one, owner) in enumerate(zip(asked, owners, strict=True))
    ]


# Callers of one account wait for the same counters anyway: those of one process wait together.
decide: Coalescer[int, tuple[Sequence[Prepared], datetime], list[dict[str, Any]]] = Coalescer(
    decide_together,
    weight=lambda call: len(call[0]),
    most=200,
    is_everybodys=lambda error: isinstance(error, OperationalError | InterfaceError),
)


WIDER_THAN_WORKSPACES = frozenset({"account", "member"})


class Counter(msgspec.Struct, array_like=True):
    budget_id: int
    name: str
    scope: str
    period: str
    spent: Decimal
    estimated: Decimal
    consumed: Decimal
    resets_at: str | None
    hard: bool
    limit: Decimal | None
    shown: dict[str, Any] | None = None

    def standing(self, held: Decimal) -> dict[str, Any]:
        if self.shown is None:  # the same in every decision of an answer
            self.shown = {
                "id": self.budget_id,
                "name": self.name,
                "scope": self.scope,
                "period": self.period,
                "hard": self.hard,
                "limit": plain(self.limit),
                "spent": plain(self.spent),
                "estimated": plain(self.estimated),
                "held": "0",
                "remaining": None,
                "resets_at": utc(self.resets_at),
            }
        left = self.left(held)
        return self.shown | {"held": plain(held), "remaining": plain(left)}

    def left(self, held: Decimal) -> Decimal | None:
        if self.limit is None:
            return None
        return max(self.limit - self.consumed - held, Decimal(0))


@dataclass(frozen=True, slots=True)
class Decision:
    """`places` are those of the counters above the ask, from 1; `held` what each holds after it."""

    places: list[int]
    held: list[Decimal]
    hold_id: str | None
    ends_at: str
    refused_by: int | None


class Answer(msgspec.Struct):
    """As `budgets_decide()` gives it."""

    counters: list[Counter]
    places: list[int]
    firsts: list[int]
    lasts: list[int]
    refused_by: list[int | None]
    holds: list[str | None]
    held: list[Decimal]
    ends_at: str
    endings: list[str | None]

    def decision(self, number: int, owner: int, held: Iterator[Decimal]) -> Decision:
        """The ask's; `held` goes on from one ask to the next."""
        places = self.places[self.firsts[owner - 1] - 1 : self.lasts[owner - 1]]
        return Decision(
            places,
            list(islice(held, len(places))),
            self.holds[number],
            self.endings[number] or self.ends_at,
            self.refused_by[number],
        )


ANSWER = msgspec.json.Decoder(Answer)


def as_answer(one: Prepared, decision: Decision, counters: list[Counter]) -> dict[str, Any]:
    allowed = decision.refused_by is None
    budgets = [
        counters[place - 1].standing(held)
        for place, held in zip(decision.places, decision.held, strict=True)
        if not (one.is_narrowed and counters[place - 1].scope in WIDER_THAN_WORKSPACES)
    ]
    return {
        "request_id": one.ask.request_id,
        "allowed": allowed,
        "reason": reason(one, decision, counters),
        "hold_id": decision.hold_id,
        "expires_at": utc(decision.ends_at) if decision.hold_id else None,
        "budgets": budgets,
    }


def reason(one: Prepared, decision: Decision, counters: list[Counter]) -> str:
    if decision.refused_by is not None:
        counter = counters[decision.refused_by - 1]
        held = decision.held[decision.places.index(decision.refused_by)]
        return refusal(one, counter, counter.left(held))
    within = "Within every budget." if decision.places else "No budget applies."
    if decision.hold_id is None:
        return f"{within} The request is logged already, so that nothing is held."
    return within


def refusal(one: Prepared, counter: Counter, left: Decimal | None) -> str:
    until = f"It resets at {utc(counter.resets_at)}." if counter.resets_at else "It does not reset."
    scope = counter.scope.replace("_", " ")
    if one.is_narrowed and counter.scope in WIDER_THAN_WORKSPACES:
        return f"A hard {scope} budget above this access token's workspaces is in the way. {until}"
    during = "" if counter.period == "total" else f" this {counter.period}"
    return (
        f"The {scope} budget {counter.name!r} has "
        f"${plain(left)} left of ${plain(counter.limit)}{during}; "
        f"the call may cost ${plain(one.amount)}. {until}"
    )


def utc(text: str | None) -> str | None:
    """PostgreSQL's text of a moment as the API writes it."""
    return text and text.replace("+00:00", "Z")


def plain(value: Decimal | None) -> str | None:
    if value is None:
        return None
    return f"{value.normalize():f}" if value else "0"


def release(hold_id: str, *, token: AccessToken, now: datetime) -> bool:
    """Free an open hold of the token's account; whether there is such a hold, open or not."""
    holds = Hold.objects.filter(account=token.account_id, pk=hold_id)
    if allowed := narrowed_to(token):
        holds = holds.filter(workspace__in=allowed)
    if not holds.exists():
        return False
    end_holds([hold_id], Hold.State.RELEASED, now=now)
    return True


def release_expired(*, now: datetime, at_most: int = 1000) -> int:
    """Free holds whose time is over, where no decision came along to do it; how many."""
    overdue = Hold.objects.filter(state=Hold.State.OPEN, expires_at__lte=now)
    ids = [str(pk) for pk in overdue.values_list("pk", flat=True)[:at_most]]
    return end_holds(ids, Hold.State.EXPIRED, now=now) if ids else 0


def end_holds(hold_ids: Sequence[str], ending: str, *, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT budgets_end_holds(%s::uuid[], %s, %s)", [list(hold_ids), ending, now]
        )
        return cursor.fetchone()[0]
