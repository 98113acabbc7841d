"""Availability: what is checked, what each minute brought, and when a provider went down or up."""

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from accounts.models import Account
from usage.insight import addresses


class ProviderCheck(models.Model):
    """An address of a provider that is asked every minute; never one that costs anything."""

    provider = models.OneToOneField("usage.Provider", on_delete=models.CASCADE, related_name="+")
    url = models.CharField(
        max_length=500,
        help_text="Its list of models or status page, such as https://api.openai.com/v1/models. "
        "No key is sent.",
    )
    expected_status = models.PositiveSmallIntegerField(
        default=200,
        validators=[MinValueValidator(100), MaxValueValidator(599)],
        help_text="Without a key, 401 tells as well as 200 that it answers.",
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(20)]
    )
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        ordering = ["provider"]

    def __str__(self) -> str:
        return f"{self.provider}: {self.url}"

    def clean(self) -> None:
        try:
            addresses.parts_of(self.url)
        except addresses.BadAddress as error:
            raise ValidationError({"url": str(error)}) from error


class ProviderMinute(models.Model):
    """One provider in one minute: what its check said, and what became of requests to it."""

    pk = models.CompositePrimaryKey("provider_id", "minute")
    minute = models.DateTimeField()
    provider = models.ForeignKey(
        "usage.Provider", on_delete=models.CASCADE, db_index=False, related_name="+"
    )
    requests = models.IntegerField(default=0)
    failed = models.IntegerField(default=0, help_text="5xx and time-outs.")
    limited = models.IntegerField(default=0, help_text="429: too many requests.")
    claimed_at = models.DateTimeField(null=True, help_text="When its check was begun.")
    check_ok = models.BooleanField(null=True)
    check_status = models.PositiveSmallIntegerField(null=True)
    check_ms = models.IntegerField(null=True)
    check_error = models.CharField(max_length=200, blank=True, default="")
    is_ok = models.BooleanField(null=True, help_text="Null: too little is known to say.")

    def __str__(self) -> str:
        return f"{self.provider_id} at {self.minute}"


class ProviderState(models.Model):
    """Whether a provider is up, and since when: as the last of its changes says."""

    provider = models.OneToOneField("usage.Provider", on_delete=models.CASCADE, related_name="+")
    is_up = models.BooleanField(default=True)
    since = models.DateTimeField()

    class Meta:
        ordering = ["provider"]

    def __str__(self) -> str:
        return f"{self.provider} is {'up' if self.is_up else 'down'}"


class ProviderChange(models.Model):
    """A provider went down, or came up again."""

    provider = models.ForeignKey("usage.Provider", on_delete=models.CASCADE, related_name="+")
    is_up = models.BooleanField()
    changed_at = models.DateTimeField()
    reason = models.CharField(max_length=300)

    class Meta:
        ordering = ["-changed_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.provider} {'up' if self.is_up else 'down'} at {self.changed_at}"


class OutageWatch(models.Model):
    """Who of an account hears when a provider goes down and comes up again."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    provider = models.ForeignKey(
        "usage.Provider",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: any provider.",
    )
    recipients = ArrayField(models.EmailField(), help_text="E-mail addresses.")

    class Meta:
        verbose_name = "outage mail"
        ordering = ["account", "provider"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "provider"],
                nulls_distinct=False,
                name="one_outage_watch_per_provider",
            )
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.provider or 'any provider'}"
