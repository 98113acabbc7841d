"""How the admin looks and what its navigation offers: settings of django-unfold.

Imported by the settings, so that nothing here may import models.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse, reverse_lazy

Item = dict[str, Any]


def page(title: str, icon: str, name: str, permission: Callable[..., bool] | None = None) -> Item:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(name),
        "permission": permission or is_staff,
    }


def rows(title: str, icon: str, model: str) -> Item:
    """The list of a model such as `usage.price`, for those who may see its rows."""
    name = f"admin:{model.replace('.', '_')}_changelist"
    return {
        "title": title,
        "icon": icon,
        "list": name,
        "link": lambda request: address(name),
        "active": lambda request: request.path.startswith(address(name) or "/nowhere/"),
        "permission": lambda request: sees(request, model),
    }


def is_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_staff)


def sees(request: HttpRequest, label: str) -> bool:
    from django.apps import apps
    from django.contrib import admin
    from django.contrib.admin.exceptions import NotRegistered

    try:
        model = apps.get_model(label)
        return admin.site.get_model_admin(model).has_view_permission(request)
    except (LookupError, NotRegistered):
        return False


def keeps_books(request: HttpRequest) -> bool:
    from config import books_page

    return books_page.may_see(request)


def is_platform(request: HttpRequest) -> bool:
    return is_staff(request) and bool(request.user.is_superuser)


def manages(request: HttpRequest) -> bool:
    from config import audit_page

    return audit_page.may_see(request)


def edits(label: str) -> Callable[[HttpRequest], bool]:
    """Whether somebody may add rows of a model such as `usage.price`."""
    from django.apps import apps
    from django.contrib import admin

    return lambda request: admin.site.get_model_admin(apps.get_model(label)).has_add_permission(
        request
    )


def address(name: str, *keys: Any) -> str:
    """Where a page is; nothing where there is no such page."""
    try:
        return reverse(name, args=keys)
    except NoReverseMatch:
        return ""


def sections() -> Iterator[tuple[str, str]]:
    """Each section of the navigation, beside the address of each list in it."""
    for section in UNFOLD["SIDEBAR"]["navigation"]:
        for item in section["items"]:
            if "list" in item:
                yield section["title"], address(item["list"])


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Tokenbook",
    "SITE_HEADER": "Tokenbook",
    "SITE_SUBHEADER": "LLM spend",
    "SITE_SYMBOL": "receipt_long",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("config/tokenbook.svg"),
        }
    ],
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "SCRIPTS": [lambda request: static("config/labels.js")],
    "STYLES": [lambda request: static("config/tokenbook.css")],
    "COLORS": {
        "primary": {
            "50": "oklch(97.2% .014 258)",
            "100": "oklch(93.6% .032 258)",
            "200": "oklch(88.4% .059 258)",
            "300": "oklch(80.9% .105 257)",
            "400": "oklch(70.7% .155 257)",
            "500": "oklch(60.5% .19 259)",
            "600": "oklch(52.5% .19 261)",
            "700": "oklch(46.5% .175 262)",
            "800": "oklch(40.5% .145 263)",
            "900": "oklch(36% .115 264)",
            "950": "oklch(27% .08 266)",
        },
    },
    "ACCOUNT": {
        "navigation": [{"title": "Second factor", "link": reverse_lazy("admin:second_factor")}]
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Analytics",
                "items": [
                    page("Dashboard", "monitoring", "admin:index"),
                    page("Explorer", "query_stats", "admin:explorer"),
                    page("Request log", "receipt_long", "admin:request_log"),
                ],
            },
            {
                "title": "Budgets",
                "items": [
                    rows("Budgets", "savings", "budgets.budget"),
                    rows("Alerts", "notifications", "budgets.alert"),
                ],
            },
            {
                "title": "Insight",
                "items": [
                    page("Spikes", "crisis_alert", "admin:spikes"),
                    page("Availability", "network_check", "admin:availability"),
                    page("Latency and errors", "speed", "admin:latency"),
                    page("Savings", "energy_savings_leaf", "admin:savings"),
                ],
            },
            {
                "title": "Accounting",
                "items": [
                    rows("Prices", "sell", "usage.price"),
                    page("Price review", "rule", "admin:price_review", edits("usage.price")),
                    page(
                        "Unpriced models",
                        "price_change",
                        "admin:unpriced",
                        lambda request: sees(request, "usage.price"),
                    ),
                    rows("Priced models", "neurology", "usage.pricedmodel"),
                    rows("Re-pricing", "currency_exchange", "usage.repricing"),
                    rows("Clients", "handshake", "accounts.client"),
                    rows("Exports", "download", "exports.export"),
                    rows("Export schedules", "schedule_send", "exports.exportschedule"),
                    rows("Sent files", "outbox", "exports.sentfile"),
                    rows("Destinations", "cloud_upload", "exports.destination"),
                ],
            },
            {
                "title": "Configuration",
                "items": [
                    rows("Accounts", "corporate_fare", "accounts.account"),
                    rows("Workspaces", "workspaces", "accounts.workspace"),
                    rows("Projects", "folder", "accounts.project"),
                    rows("Members", "group", "accounts.member"),
                    rows("API keys", "key", "accounts.apikey"),
                    rows("Access tokens", "token", "accounts.accesstoken"),
                    rows("Roles", "badge", "accounts.role"),
                    rows("Users", "person", "accounts.user"),
                ],
            },
            {
                "title": "Operations",
                "items": [
                    page("Condition", "monitor_heart", "admin:operations", is_platform),
                    page("Audit log", "history", "admin:audit", manages),
                    page("Books", "balance", "admin:books", keeps_books),
                    rows("Archive", "inventory_2", "exports.archivefile"),
                    rows("Retention runs", "auto_delete", "exports.retentionrun"),
                    rows("Moves of history", "move_up", "accounts.reattribution"),
                    rows("Quarantine", "report", "usage.quarantinedrow"),
                    rows("Mail deliveries", "mail", "budgets.delivery"),
                    rows("Failed tasks", "running_with_errors", "django_q.failure"),
                    page("API docs", "api", "docs"),
                ],
            },
        ],
    },
}
