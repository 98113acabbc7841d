"""The moves of history from one project or member to another."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q


class ReattributionQuerySet(models.QuerySet):
    def waiting(self) -> Self:
        return self.filter(finished_at=None)


class Reattribution(models.Model):
    """A workspace's requests that are to count for another project or member.

    Of a project (all its requests), or of an API key (those of one member, or of none). Days whose
    books are closed stay as they are.
    """

    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.PROTECT)
    from_project = models.ForeignKey(
        "accounts.Project", on_delete=models.PROTECT, null=True, related_name="+"
    )
    to_project = models.ForeignKey(
        "accounts.Project", on_delete=models.PROTECT, null=True, related_name="+"
    )
    api_key = models.ForeignKey(
        "accounts.ApiKey", on_delete=models.PROTECT, null=True, related_name="+"
    )
    from_member = models.ForeignKey(
        "accounts.Member", on_delete=models.PROTECT, null=True, related_name="+"
    )
    to_member = models.ForeignKey(
        "accounts.Member", on_delete=models.PROTECT, null=True, related_name="+"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    requests = models.BigIntegerField("requests moved", default=0)
    days_closed = models.IntegerField("days left, books closed", default=0)

    objects = ReattributionQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "-pk"]
        verbose_name = "move of history"
        verbose_name_plural = "moves of history"
        constraints = [
            models.CheckConstraint(
                condition=Q(from_project__isnull=False, to_project__isnull=False, api_key=None)
                | Q(api_key__isnull=False, from_project=None, to_project=None),
                name="history_of_a_project_or_of_a_key",
            )
        ]

    def __str__(self) -> str:
        if self.api_key:
            return f"{self.api_key}: {self.from_member or 'nobody'} → {self.to_member or 'nobody'}"
        return f"{self.from_project} → {self.to_project}"
