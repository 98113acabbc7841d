"""From a posted request to a row of the log: names become ids, quantities become a cost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from accounts.access import narrowed_to
from accounts.directory import (
    DEFAULT_WORKSPACE,
    Directory,
    TooManyNames,
    directory,
    safe_identifier,
)
from accounts.models import AccessToken, Account
from accounts.versions import Versioned
from usage.ingest.schema import MOST_DOLLARS, NativeRequest, RowError, check, milliseconds
from usage.models import Endpoint, LlmModel, Name, Provider
from usage.pricing.names import canonical
from usage.pricing.ratecard import (
    RateCard,
    Tariff,
    Unpriced,
    rate_card,
    stored_units,
)

NAMES_VERSION = "names"
LONGEST_NAME = 200  # characters; some letters become several in lower case
MOST_NEW_A_DAY = 1000  # names of models, providers and endpoints, of an account and process
MOST_UNITS = MOST_DOLLARS * 10**10

# The same few names come again and again.
named = lru_cache(maxsize=4096)(canonical)


class NameCache:
    """Ids of names of one kind; a new name gets its row, committed, on first sight."""

    def __init__(self, model: type[Name]) -> None:
        self.model = model
        self.versioned = Versioned(f"{NAMES_VERSION}:{model.__name__}", model.objects.all().ids)

    def id_of(self, name: str, *, before_a_new_one: Callable[[], None] = lambda: None) -> int:
        ids = self.versioned.get()
        if name not in ids:
            row = self.model.objects.filter(name=name).first()
            if row is None:
                before_a_new_one()
                row, _ = self.model.objects.get_or_create(name=name)
            ids[name] = row.pk
        return ids[name]

    def forget(self) -> None:
        self.versioned.forget()


class NewNames:
    """All accounts share these names, hence each makes only so many new ones a day: an emitter that
    makes them up fills neither the table nor every process's memory. Counted in each process by
    itself."""

    def __init__(self) -> None:
        self.made: dict[int, tuple[date, int]] = {}

    def one_more(self, account_id: int, *, day: date) -> None:
        """Raises RowError."""
        last, number = self.made.get(account_id, (day, 0))
        number = number + 1 if last == day else 1
        if number > MOST_NEW_A_DAY:
            raise RowError(
                "model",
                f"{MOST_NEW_A_DAY:,} names of models, providers and endpoints are new today; more "
                "are taken tomorrow. Check what the gateway sends there, then send this row again.",
            )
        self.made[account_id] = day, number


new_names = NewNames()
MODELS, PROVIDERS, ENDPOINTS = NameCache(LlmModel), NameCache(Provider), NameCache(Endpoint)


def forget() -> None:
    for cache in (MODELS, PROVIDERS, ENDPOINTS):
        cache.forget()


class Row(NamedTuple):
    """A row of the request log, and what recording needs beside it. Costs in 1e-10 dollars.

    The fields but the last two are the columns of `record.COLUMNS`, in their order.
    """

    occurred_at: datetime
    workspace_id: int
    project_id: int | None
    api_key_id: int | None
    member_id: int | None
    model_id: int
    requested_model_id: int | None
    provider_id: int | None
    endpoint_id: int | None
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    latency_ms: int | None
    time_to_first_token_ms: int | None
    status: int
    streamed: bool | None
    cost: int | None
    ceiling_cost: int | None
    reported_cost: int | None
    request_id: str
    error_type: str | None
    service_tier: str | None
    meters: dict[str, int] | None
    tags: dict | None
    hold_id: UUID | None
    held_as: str | None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a request is attributed to."""

    workspace_id: int
    project_id: int | None
    api_key_id: int | None
    member_id: int | None
    key_disabled: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What a request went to, under the names that reports group by, and what that costs."""

    tariff: Tariff | None
    model_id: int
    requested_model_id: int | None
    provider_id: int | None
    endpoint_id: int | None


@dataclass
class Resolver:
    """Resolves the rows of one call, on behalf of one access token.

    Whoever a row names explicitly wins; then what its API key belongs to; then, for the
    workspace, the only one that the token may use; then the account's workspace `default`.
    """

    account: Account
    allowed: frozenset[int]
    now: datetime
    names: Directory
    card: RateCard
    owners: dict[tuple[str | None, ...], Owner] = field(default_factory=dict)
    targets: dict[tuple[str | bool | None, ...], Target] = field(default_factory=dict)

    def row(self, request: NativeRequest) -> Row:
        """Raises RowError."""
        occurred_at = check(request, now=self.now)
        owner = self.remembered_owner(request)
        target = self.remembered_target(request)
        quantities = quantities_of(request)
        cost, ceiling = self.price(request, quantities, target.tariff, occurred_at)
        latency, to_first = request.latency_ms, request.time_to_first_token_ms
        # In the order of the fields: by their names it takes three times as long.
        return Row(
            occurred_at,
            owner.workspace_id,
            owner.project_id,
            owner.api_key_id,
            owner.member_id,
            target.model_id,
            target.requested_model_id,
            target.provider_id,
            target.endpoint_id,
            quantities["input"],
            request.cache_read_tokens,
            request.cache_write_tokens,
            request.cache_write_1h_tokens,
            quantities["output"],
            request.reasoning_tokens,
            None if latency is None else milliseconds("latency_ms", latency),
            None if to_first is None else milliseconds("time_to_first_token_ms", to_first),
            request.status,
            request.streamed,
            cost,
            ceiling,
            None if request.cost is None else units_of(request.cost),
            request.request_id,
            request.error_type,
            request.service_tier,
            request.meters,
            request.tags,
            request.hold_id,
            getattr(request, "held_as", None),
        )

    def remembered_owner(self, request: NativeRequest) -> Owner:
        """The rows of a call mostly belong to a few: each is resolved once. Raises RowError."""
        key = (request.workspace, request.project, request.member, request.api_key)
        owner = self.owners.get(key)
        if owner is None:
            owner = self.owners[key] = self.owner(request)
        return owner

    def remembered_target(self, request: NativeRequest) -> Target:
        """As `remembered_owner`. Raises RowError."""
        key = (
            request.provider,
            request.model,
            request.requested_model,
            request.endpoint,
            request.service_tier,
            getattr(request, "no_provider_asked", False),
        )
        target = self.targets.get(key)
        if target is None:
            target = self.targets[key] = self.target(request)
        return target

    def owner(self, request: NativeRequest) -> Owner:
        """Whom the request belongs to; who is new is created. Raises RowError."""
        try:
            return self.named_owner(request)
        except TooManyNames as error:
            raise RowError(error.field, str(error)) from error

    def named_owner(self, request: NativeRequest) -> Owner:
        identifier = safe_identifier(request.api_key) if request.api_key else None
        workspace_id = self.workspace(request, identifier)
        member_id = self.member(request)
        entry = None
        if identifier:
            entry = self.names.key(
                self.account.id,
                workspace_id,
                identifier,
                name=getattr(request, "api_key_name", None),
                member_id=member_id,
            )
        project_id = entry.project_id if entry else None
        if request.project:
            project_id = self.names.project(workspace_id, request.project)
        return Owner(
            workspace_id=workspace_id,
            project_id=project_id,
            api_key_id=entry.id if entry else None,
            member_id=member_id if member_id is not None or entry is None else entry.member_id,
            key_disabled=entry is not None and entry.disabled,
        )

    def workspace(self, request: NativeRequest, identifier: str | None) -> int:
        if request.workspace:
            return self.named_workspace(request.workspace, getattr(request, "workspace_name", None))
        if identifier:
            entry = self.names.known_key(self.account.id, identifier)
            if entry is not None and (not self.allowed or entry.workspace_id in self.allowed):
                return entry.workspace_id
        if len(self.allowed) == 1:
            return next(iter(self.allowed))
        return self.named_workspace(DEFAULT_WORKSPACE, None)

    def named_workspace(self, ref: str, name: str | None) -> int:
        if not self.allowed:
            return self.names.workspace(self.account.id, ref, name=name)
        found = self.names.known_workspace(self.account.id, ref)
        if found is None or found not in self.allowed:
            raise RowError("workspace", f"This access token may not use the workspace {ref!r}.")
        return found

    def member(self, request: NativeRequest) -> int | None:
        if not request.member:
            return None
        email = getattr(request, "member_email", None)
        return self.names.member(self.account.id, request.member, email=email)

    def target(self, request: NativeRequest) -> Target:
        """Names that were never seen get their row, committed. Raises RowError."""
        provider, model = named(request.provider, request.model)
        if getattr(request, "no_provider_asked", False):
            provider = None
        if provider is not None and not 0 < len(provider) <= LONGEST_NAME:
            raise RowError("provider", f"Send 1 to {LONGEST_NAME} characters, or null.")
        return Target(
            tariff=self.card.tariff(
                provider=provider,
                model=model,
                account_id=self.account.pk,
                service_tier=request.service_tier,
            ),
            model_id=self.id_of(MODELS, model),
            requested_model_id=self.maybe(MODELS, request.requested_model),
            provider_id=self.maybe(PROVIDERS, provider),
            endpoint_id=self.maybe(ENDPOINTS, request.endpoint),
        )

    def id_of(self, names: NameCache, name: str) -> int:
        def count() -> None:
            new_names.one_more(self.account.pk, day=self.now.date())

        return names.id_of(name, before_a_new_one=count)

    def maybe(self, names: NameCache, name: str | None) -> int | None:
        return None if name is None else self.id_of(names, name)

    def price(
        self,
        request: NativeRequest,
        quantities: dict[str, int],
        tariff: Tariff | None,
        occurred_at: datetime,
    ) -> tuple[int | None, int | None]:
        """(cost, ceiling): the one that is known, in 1e-10 dollars, and null for the other.

        Raises RowError where either is more than the log can hold.
        """
        if not any(quantities.values()):
            return (None, 0) if is_unmeasured(request) else (0, None)
        try:
            if tariff is not None:
                return storable(tariff.units(quantities, occurred_at)), None
        except Unpriced:
            pass
        input_tokens, output_tokens = request.input_tokens or 0, request.output_tokens or 0
        return None, storable(ceiling_units(self.account, input_tokens, output_tokens))


def is_unmeasured(request: NativeRequest) -> bool:
    """Whether a request succeeded and nobody said what it used, so that its cost is unknown."""
    return request.status < 400 and request.input_tokens is None and request.output_tokens is None


def resolver(account: Account, token: AccessToken | None, *, now: datetime) -> Resolver:
    allowed = frozenset(narrowed_to(token)) if token else frozenset()
    return Resolver(account, allowed, now, directory(), rate_card())


def quantities_of(request: NativeRequest) -> dict[str, int]:
    """The request's quantities by meter; a failed request is not charged as a request."""
    read, written = request.cache_read_tokens, request.cache_write_tokens
    written_1h = request.cache_write_1h_tokens
    quantities = {"input": (request.input_tokens or 0) - read - written - written_1h}
    if read:
        quantities["cache_read"] = read
    if written:
        quantities["cache_write_5m"] = written
    if written_1h:
        quantities["cache_write_1h"] = written_1h
    quantities["output"] = request.output_tokens or 0
    if request.reasoning_tokens:
        quantities["reasoning"] = request.reasoning_tokens
    if request.meters:
        quantities |= request.meters
    if request.status < 400 and any(quantities.values()):
        quantities["request"] = 1
    return quantities


def ceiling_units(account: Account, input_tokens: int, output_tokens: int) -> int:
    """What so many tokens of an unpriced model count towards caps, in 1e-10 dollars."""
    atto = 10**12 * (
        input_tokens * account.ceiling_input_per_million
        + output_tokens * account.ceiling_output_per_million
    )
    return stored_units(int(atto))


def storable(units: int) -> int:
    if units > MOST_UNITS:
        raise RowError(
            "model",
            f"By its price this request costs more than ${MOST_DOLLARS:,}. Check its quantities, "
            "then the price of its model.",
        )
    return units


def units_of(dollars: Decimal) -> int:
    """Dollars in 1e-10 dollars, half up."""
    return stored_units(int(dollars.scaleb(18)))
