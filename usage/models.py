"""What was used and what it cost.

The request log, its keys, the batch ledger and the roll-ups are made in SQL by the migrations
(partitions, collations and unique indexes that Django cannot express); here they stand unmanaged,
for reading.
"""

from datetime import datetime
from decimal import Decimal
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from accounts.models import AccessToken, Account, ApiKey, Member, Project, Workspace
from usage import formatting
from usage.pricing import patterns
from usage.pricing.meters import METERS
from usage.pricing.names import provider_key


class NameQuerySet(models.QuerySet):
    def ids(self) -> dict[str, int]:
        return dict(self.values_list("name", "pk"))


class Name(models.Model):
    """A word that requests carry, such as a model's name, kept once and referred to by number."""

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=200, unique=True, db_collation="C")

    objects = NameQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class LlmModel(Name):
    class Meta(Name.Meta):
        verbose_name = "model"


class Provider(Name):
    pass


class Endpoint(Name):
    """An API route, such as /v1/chat/completions."""


class RequestLog(models.Model):
    """One API request. Partitioned by day of `occurred_at`; see migration 0002.

    Tokens are those of our meters: `input` excludes cache reads and writes. `cost` is null where
    no price is known; `ceiling_cost` is then what the request counts towards caps.
    """

    pk = models.CompositePrimaryKey("workspace_id", "request_id")
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    batch_id = models.BigIntegerField()
    workspace = models.ForeignKey(Workspace, models.DO_NOTHING, related_name="+")
    project = models.ForeignKey(Project, models.DO_NOTHING, null=True, related_name="+")
    api_key = models.ForeignKey(ApiKey, models.DO_NOTHING, null=True, related_name="+")
    member = models.ForeignKey(Member, models.DO_NOTHING, null=True, related_name="+")
    model = models.ForeignKey(LlmModel, models.DO_NOTHING, related_name="+")
    requested_model = models.ForeignKey(LlmModel, models.DO_NOTHING, null=True, related_name="+")
    provider = models.ForeignKey(Provider, models.DO_NOTHING, null=True, related_name="+")
    endpoint = models.ForeignKey(Endpoint, models.DO_NOTHING, null=True, related_name="+")
    input = models.IntegerField()
    cache_read = models.IntegerField()
    cache_write_5m = models.IntegerField()
    cache_write_1h = models.IntegerField()
    output = models.IntegerField()
    reasoning = models.IntegerField()
    latency_ms = models.IntegerField(null=True)
    time_to_first_token_ms = models.IntegerField(null=True)
    status = models.SmallIntegerField()
    streamed = models.BooleanField(null=True)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    ceiling_cost = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    reported_cost = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    request_id = models.TextField(db_collation="C")
    error_type = models.TextField(null=True)
    service_tier = models.TextField(null=True)
    meters = models.JSONField(null=True)
    tags = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "usage_requestlog"

    def __str__(self) -> str:
        return self.request_id


class QuarantinedRow(models.Model):
    """A posted row that could not be recorded, kept whole with the reason."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RECORDED = "recorded"
        DISCARDED = "discarded"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    token = models.ForeignKey(
        AccessToken, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    received_at = models.DateTimeField()
    source = models.CharField(max_length=20)
    index = models.PositiveIntegerField(help_text="Its place in the batch, from 0.")
    request_id = models.CharField(max_length=200, blank=True)
    errors = models.JSONField()
    body = models.TextField(help_text="The row as it was sent.")
    digest = models.CharField(max_length=64, editable=False)
    times_sent = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            # The admin's list of one account's rows, newest first.
            models.Index(fields=["account", "-received_at"], name="quarantine_by_account"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "digest"], name="quarantined_once_however_often_it_is_sent"
            )
        ]

    def __str__(self) -> str:
        return self.request_id or f"row {self.index}"


class PricedModel(models.Model):
    """A model in the price book: which names it answers to at one provider."""

    provider = models.CharField(max_length=60, help_text="As in the price book, such as openai.")
    name = models.CharField(max_length=200)
    pattern = models.TextField(
        help_text="Regular expression, ignoring case, for the names that this model goes by."
    )
    further_names = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="Names that it answers to beside its pattern. No import changes them.",
    )
    context_window = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")

    class Meta:
        ordering = ["provider", "name"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "name"], name="priced_model_once")
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.name}"

    def clean(self) -> None:
        """Providers go by the price book's name for them; no other is ever asked for a price."""
        self.provider = provider_key(self.provider) or ""
        try:
            patterns.check(self.pattern)
        except patterns.BadPattern as error:
            raise ValidationError({"pattern": str(error)}) from error


class PriceQuerySet(models.QuerySet):
    def approved(self) -> Self:
        return self.filter(status=Price.Status.APPROVED)

    def drafts(self) -> Self:
        return self.filter(status=Price.Status.DRAFT)


class Price(models.Model):
    """What one meter of one model costs from a moment on.

    Once approved it is never edited, except to end it. What was discarded is kept, so that no
    import brings it again.
    """

    class Status(models.TextChoices):
        DRAFT = "draft"
        APPROVED = "approved"
        DISCARDED = "discarded"

    PER = [(1, "each"), (1_000, "thousand"), (1_000_000, "million")]

    priced_model = models.ForeignKey(PricedModel, on_delete=models.PROTECT, related_name="prices")
    account = models.ForeignKey(
        Account,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="Empty: list price. Otherwise this account's contract rate.",
    )
    meter = models.CharField(
        max_length=20, choices=[(name, name.replace("_", " ")) for name in METERS]
    )
    unit_price = models.DecimalField(max_digits=24, decimal_places=12, help_text="US dollars.")
    per = models.PositiveIntegerField(choices=PER, default=1_000_000)
    from_input_tokens = models.PositiveIntegerField(
        default=0, help_text="For the whole of requests with more input tokens than this."
    )
    service_tier = models.CharField(
        max_length=20, blank=True, help_text="batch, flex, priority; empty: the standard rate."
    )
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    source = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)

    objects = PriceQuerySet.as_manager()

    class Meta:
        ordering = ["priced_model", "meter", "service_tier", "from_input_tokens", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "priced_model",
                    "account",
                    "meter",
                    "service_tier",
                    "from_input_tokens",
                    "valid_from",
                ],
                condition=Q(status="approved"),
                nulls_distinct=False,
                name="one_approved_price_at_a_time",
            ),
            models.CheckConstraint(condition=Q(unit_price__gte=0), name="price_is_not_negative"),
            models.CheckConstraint(
                condition=Q(per__in=[1, 1_000, 1_000_000]), name="price_per_is_a_round_number"
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=models.F("valid_from")),
                name="price_ends_after_it_begins",
            ),
        ]

    def __str__(self) -> str:
        price = formatting.exact_money(self.unit_price)
        unit = "each" if self.per == 1 else f"per {self.get_per_display()}"
        return f"{self.priced_model} {self.meter}: {price} {unit}"

    def clean(self) -> None:
        if self.valid_from and self.valid_to and self.valid_to <= self.valid_from:
            raise ValidationError({"valid_to": "A price ends after it begins."})
        if self.unit_price is not None and self.unit_price < 0:
            raise ValidationError({"unit_price": "A price is not negative."})

    @property
    def price_of_one(self) -> Decimal:
        """US dollars for one unit; exact, because prices are for 1, 1,000 or 1,000,000."""
        return self.unit_price / self.per

    def holds_at(self, moment: datetime) -> bool:
        return self.valid_from <= moment and (self.valid_to is None or moment < self.valid_to)


from usage.availability_models import (  # noqa: E402, F401
    OutageWatch,
    ProviderChange,
    ProviderCheck,
    ProviderMinute,
    ProviderState,
)
from usage.explorer.saved_models import SavedView  # noqa: E402, F401
from usage.insight_models import ModelCapability, Saving  # noqa: E402, F401
from usage.repricing_models import RepricedModel, Repricing  # noqa: E402, F401
from usage.retention_models import GoneDay  # noqa: E402, F401
from usage.spike_models import Anomaly, SeriesHour, SpikeWatch  # noqa: E402, F401
from usage.zone_change_models import ZoneChange  # noqa: E402, F401
