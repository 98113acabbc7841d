"""The pages of the second factor: the code at log-in; setting it up, and taking it away.

A session says how far its user has come: who has a factor and did not show it yet is asked for it,
and until then is nobody to the admin (`site.py`).
"""

from typing import Any

import segno
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts.models import User
from config import acting, second_factor, throttle
from config.client_address import address_of
from config.login import LOCKED
from config.models import AuditEntry, SecondFactor

KEY = "second_factor"
ASKED, GIVEN, NONE = "asked", "given", "none"
WRONG = "This code is not right, or it was used before. Codes change every half minute."


def stands_at(request: HttpRequest) -> str:
    return str(request.session.get(KEY, NONE))


def satisfies(request: HttpRequest) -> bool:
    """Whether the session has all that a log-in takes."""
    state = stands_at(request)
    return state == GIVEN or (state == NONE and not settings.REQUIRE_SECOND_FACTOR)


def begin_session(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    """A log-in with a second factor is complete, and told, only with its code."""
    has_factor = second_factor.of(user) is not None
    request.session[KEY] = ASKED if has_factor else NONE
    if not has_factor:
        acting.note_person(AuditEntry.Action.LOG_IN, request, user)


def where_to_go_on(request: HttpRequest) -> str:
    """The page that a half-finished log-in goes on at."""
    name = "admin:login_code" if stands_at(request) == ASKED else "admin:second_factor"
    query = request.META.get("QUERY_STRING", "")
    return reverse(name) + (f"?{query}" if query else "")


@never_cache
@sensitive_post_parameters("code")
def login_code(request: HttpRequest) -> HttpResponse:
    user, factor = whose(request)
    if user is None or factor is None or stands_at(request) != ASKED:
        return HttpResponseRedirect(reverse("admin:login"))
    error = code_error(request, user, factor) if request.method == "POST" else ""
    if request.method == "POST" and not error:
        request.session[KEY] = GIVEN
        request.session.cycle_key()
        acting.note_person(AuditEntry.Action.LOG_IN, request, user)
        return HttpResponseRedirect(next_of(request))
    response = render(request, "config/login_code.html", title="Log in", error=error)
    response.status_code = 429 if error == LOCKED else 200
    return response


def code_error(request: HttpRequest, user: User, factor: SecondFactor) -> str:
    now = timezone.now()
    if throttle.is_locked(user.pk, address_of(request), now=now):
        return LOCKED
    if second_factor.passes(factor, request.POST.get("code", "")[:100], now=now):
        return ""
    credentials = {User.USERNAME_FIELD: user.get_username()}
    user_login_failed.send(sender=__name__, credentials=credentials, request=request)
    return WRONG


@never_cache
@sensitive_post_parameters("code")
def manage(request: HttpRequest) -> HttpResponse:
    """Set up, confirm or remove one's own second factor."""
    user, factor = whose(request)
    if user is None or stands_at(request) == ASKED:
        return HttpResponseRedirect(reverse("admin:login"))
    if request.method == "POST":
        return changed(request, user, factor)
    fresh = SecondFactor.objects.filter(user=user, confirmed_at=None).first()
    return shown(request, factor, fresh)


def changed(request: HttpRequest, user: User, factor: SecondFactor | None) -> HttpResponse:
    act = request.POST.get("act", "")
    code = request.POST.get("code", "")[:100]
    if act == "remove" and factor:
        return removed(request, user, factor, code)
    if act == "confirm" and not factor:
        return confirmed(request, user, code)
    if act == "begin" and not factor:
        second_factor.begin(user)
    return HttpResponseRedirect(reverse("admin:second_factor"))


def confirmed(request: HttpRequest, user: User, code: str) -> HttpResponse:
    fresh = SecondFactor.objects.filter(user=user, confirmed_at=None).first()
    codes = second_factor.confirm(fresh, code, now=timezone.now()) if fresh else None
    if codes is None:
        return shown(request, None, fresh, error=WRONG)
    request.session[KEY] = GIVEN
    return render(request, "config/second_factor_done.html", title="Recovery codes", codes=codes)


def removed(request: HttpRequest, user: User, factor: SecondFactor, code: str) -> HttpResponse:
    if error := code_error_of_removal(request, user, factor, code):
        return shown(request, factor, None, error=error)
    factor.delete()
    request.session[KEY] = NONE
    messages.success(request, "Removed: you log in with your password alone.")
    return HttpResponseRedirect(reverse("admin:second_factor"))


def code_error_of_removal(request: HttpRequest, user: User, factor: SecondFactor, code: str) -> str:
    return code_error(request, user, factor) if code else "Say a code first."


def whose(request: HttpRequest) -> tuple[User | None, SecondFactor | None]:
    user = request.user
    if not (user.is_active and user.is_staff):
        return None, None
    return user, second_factor.of(user)


def shown(
    request: HttpRequest,
    factor: SecondFactor | None,
    fresh: SecondFactor | None,
    *,
    error: str = "",
) -> HttpResponse:
    return render(
        request,
        "config/second_factor.html",
        title="Second factor",
        factor=factor,
        typed=second_factor.typed(fresh) if fresh else "",
        picture=picture_of(fresh) if fresh else "",
        error=error,
        is_required=settings.REQUIRE_SECOND_FACTOR,
        left=len(factor.recovery_digests) if factor else 0,
    )


def picture_of(factor: SecondFactor) -> SafeString:
    """The QR code as SVG, made here: the secret is told to nobody who draws pictures."""
    svg = segno.make(second_factor.address(factor)).svg_inline(
        scale=4, dark="#111", light="#fff", border=3
    )
    return mark_safe(svg)  # noqa: S308 (segno writes paths, never text)


def next_of(request: HttpRequest) -> str:
    """Where somebody wanted to go, if it is here."""
    wanted = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else reverse("admin:index")


def render(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


user_logged_in.connect(begin_session, dispatch_uid="begin-with-the-second-factor")
