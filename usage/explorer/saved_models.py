"""Questions kept by name. What one answers depends on who opens it, never on who saved it."""

from typing import Self

from django.db import models
from django.db.models import Q

from accounts.access import Reach
from accounts.models import Account, User

LONGEST_NAME = 80


class SavedViewQuerySet(models.QuerySet):
    def seen_by(self, user: User, reach: Reach) -> Self:
        """Somebody's own, and what others share with those who may see the account."""
        within = Q(account__in=reach.account_ids)
        return self.filter(Q(owner=user) & (within | Q(account=None)) | within & Q(is_shared=True))


class SavedView(models.Model):
    """An address of the explorer under a name. Without an account it is of all that one sees."""

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=LONGEST_NAME)
    query = models.TextField(help_text="The explorer's query string.")
    is_shared = models.BooleanField(
        default=False, help_text="With everybody who may see the account."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="saved_view_once_by_name"),
            models.CheckConstraint(
                condition=Q(is_shared=False) | Q(account__isnull=False),
                name="saved_view_is_shared_within_an_account",
            ),
        ]

    def __str__(self) -> str:
        return self.name
