"""Save an exploration under a name, change it, delete it: always the caller's own."""

from dataclasses import replace
from typing import cast

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.scoped_admin import reach_of
from usage.explorer.exploration import Exploration
from usage.explorer.reading import explore
from usage.explorer.saved_models import LONGEST_NAME, SavedView

MOST_CHARACTERS = 8_000
LONGEST_ID = 9


class CannotSave(Exception):
    """Why a view cannot be saved so, in words."""


def seen(request: HttpRequest) -> list[SavedView]:
    """What the reader may open, their own first."""
    user = cast(User, request.user)
    views = SavedView.objects.seen_by(user, reach_of(request)).select_related("owner", "account")
    return sorted(views, key=lambda view: (view.owner_id != user.pk, view.name.casefold()))


def current(views: list[SavedView], exploration: Exploration) -> SavedView | None:
    return next((view for view in views if str(view.pk) == exploration.view), None)


def address_of(view: SavedView) -> str:
    return f"{view.query}&view={view.pk}"


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Save what the form holds, as a new view or in the place of one's own."""
    query = request.POST.get("query", "")[:MOST_CHARACTERS]
    exploration = explore(QueryDict(query), reach_of(request), now=timezone.now())
    try:
        view = keep(request, exploration)
    except CannotSave as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(f"{reverse('admin:explorer')}?{exploration.query()}")
    messages.success(request, f"Saved as “{view.name}”.")
    return HttpResponseRedirect(f"{reverse('admin:explorer')}?{address_of(view)}")


def keep(request: HttpRequest, exploration: Exploration) -> SavedView:
    """Raises CannotSave, and Http404 where the view is not the caller's own."""
    number = request.POST.get("view", "")
    view = own(request, number) if number else SavedView(owner=cast(User, request.user))
    view.account = exploration.account
    view.name = " ".join(request.POST.get("name", "").replace("\x00", "").split())
    view.is_shared = bool(request.POST.get("shared"))
    view.query = replace(exploration, view=None).query()
    if not 0 < len(view.name) <= LONGEST_NAME:
        raise CannotSave(f"Give the view a name of at most {LONGEST_NAME} characters.")
    if view.is_shared and view.account is None:
        raise CannotSave("Choose one account to share a view with those who may see it.")
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:
        raise CannotSave(f"You have a view named “{view.name}” already.") from error
    return view


@require_POST
def delete(request: HttpRequest) -> HttpResponse:
    view = own(request, request.POST.get("view", ""))
    view.delete()
    messages.success(request, f"Deleted “{view.name}”.")
    return HttpResponseRedirect(f"{reverse('admin:explorer')}?{view.query}")


def own(request: HttpRequest, number: str) -> SavedView:
    """The caller's view of that number; anybody else's looks like none."""
    is_number = number.isdecimal() and len(number) <= LONGEST_ID
    found = SavedView.objects.filter(owner=cast(User, request.user), pk=number) if is_number else ()
    for view in found:
        return view
    raise Http404("There is no such view, or it is not yours.")
