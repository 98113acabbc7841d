"""What the pages of insight share: the part of the reader's reach they show, and addresses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.access import Reach, Right
from accounts.scoped_admin import reach_of


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a reach that a page shows; `whole` is all that the reader may choose from."""

    whole: Reach
    reach: Reach
    account: str
    workspace: str

    @property
    def workspaces(self) -> tuple[Any, ...]:
        """Those to choose from: of the chosen account, or of the only one."""
        return self.whole.within(account=self.account).workspaces

    @property
    def zone(self) -> ZoneInfo:
        return self.reach.accounts[0].zone if self.reach.accounts else ZoneInfo("UTC")


def part_of(request: HttpRequest, right: Right = Right.SEE) -> Part:
    whole = reach_of(request, right)
    account = request.GET.get("account", "")
    if not account and len(whole.accounts) == 1:
        account = whole.accounts[0].slug
    workspace = request.GET.get("workspace", "") if account else ""
    reach = whole.within(account=account, workspaces=[workspace] if workspace else None)
    return Part(whole, reach, account, workspace)


def render(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


def urls(admin_view: Callable[..., Any]) -> list[URLPattern]:
    """The pages below the admin. Here, so that the site imports them when all is registered."""
    from usage.insight import availability_page, latency_page, savings_page, spikes_page

    return [
        path("insight/savings/", admin_view(savings_page.page), name="savings"),
        path("insight/savings/find/", admin_view(savings_page.find_now), name="savings_find"),
        path(
            "insight/savings/<int:pk>/decide/",
            admin_view(savings_page.decide),
            name="savings_decide",
        ),
        path("insight/availability/", admin_view(availability_page.page), name="availability"),
        path("insight/latency/", admin_view(latency_page.page), name="latency"),
        path("insight/spikes/", admin_view(spikes_page.page), name="spikes"),
        path("insight/spikes/<int:pk>/", admin_view(spikes_page.detail), name="spike"),
        path(
            "insight/spikes/<int:pk>/decide/", admin_view(spikes_page.decide), name="spike_decide"
        ),
        path(
            "insight/spikes/<int:pk>/disable-key/",
            admin_view(spikes_page.disable_key),
            name="spike_disable_key",
        ),
    ]
