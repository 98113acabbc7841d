"""The log-in form: Django's, which refuses to try while a lock lasts."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.forms import AuthenticationForm

from accounts.models import User
from config import throttle
from config.client_address import address_of

LOCKED = "Too many failed log-ins. Wait 15 minutes, then try again."


class LoginForm(AuthenticationForm):
    def clean(self) -> dict[str, Any]:
        if self.request is not None and self.is_locked():
            self.request.locked_out = True  # type: ignore[attr-defined]
            raise ValidationError(LOCKED, code="locked")
        return super().clean()

    def is_locked(self) -> bool:
        username = self.cleaned_data.get("username") or ""
        user = User.objects.filter(username=username).only("pk").first()
        address = address_of(self.request)  # type: ignore[arg-type]
        return throttle.is_locked(user.pk if user else None, address, now=timezone.now())
