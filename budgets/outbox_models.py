"""Thresholds crossed, what insight tells, and the mails about both on their way."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Account, Workspace


class Alert(models.Model):
    """A budget's threshold crossed, once in its period under each limit that it had."""

    period = models.ForeignKey(
        "budgets.BudgetPeriod", on_delete=models.CASCADE, related_name="alerts"
    )
    threshold = models.PositiveSmallIntegerField(help_text="Percent of the limit.")
    limit = models.DecimalField(max_digits=16, decimal_places=4)
    consumed = models.DecimalField(max_digits=30, decimal_places=10)
    crossed_at = models.DateTimeField(db_default=Now())
    addressed_at = models.DateTimeField(null=True, help_text="When its deliveries were made.")

    class Meta:
        ordering = ["-crossed_at"]
        indexes = [
            # The alerts whose deliveries are still to be made.
            models.Index(
                fields=["id"], condition=Q(addressed_at=None), name="alerts_to_be_addressed"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["period", "threshold", "limit"], name="alert_once_per_period_and_limit"
            )
        ]

    def __str__(self) -> str:
        return f"{self.period.budget} at {self.threshold} %"


class Notice(models.Model):
    """Something that insight found, such as a spike, told once by mail."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, null=True, related_name="+", help_text="Null: all."
    )
    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=200)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    html = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["key"], name="told_once")]

    def __str__(self) -> str:
        return self.subject


class Delivery(models.Model):
    """One alert or notice on its way to one address, tried until it is handed over or given up."""

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        FAILED = "failed"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, null=True, related_name="deliveries")
    notice = models.ForeignKey(
        Notice, on_delete=models.CASCADE, null=True, related_name="deliveries"
    )
    recipient = models.EmailField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        indexes = [
            # What is due to be sent.
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="waiting"), name="deliveries_due"
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["alert", "recipient"], name="alert_once_per_recipient"),
            models.UniqueConstraint(
                fields=["notice", "recipient"], name="notice_once_per_recipient"
            ),
            models.CheckConstraint(
                condition=Q(alert__isnull=False, notice=None) | Q(alert=None, notice__isnull=False),
                name="delivery_is_of_an_alert_or_a_notice",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.alert or self.notice} to {self.recipient}"
