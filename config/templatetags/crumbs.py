"""The way to a page in our own words: the navigation's section, the list, the row's own name."""

from typing import Any, NamedTuple

from django import template
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from config.unfold import sections

register = template.Library()


class Crumb(NamedTuple):
    title: str
    link: str


@register.simple_tag(takes_context=True)
def crumbs(context: dict[str, Any], parts: list[dict[str, Any]]) -> list[Crumb]:
    """Of unfold's parts: instead of the app the section, and names with their own first letter."""
    apps = [part for part in parts if is_app(part)]
    rest = [part for part in parts if part not in apps]
    found = [Crumb(section, "") for section in named(rest) if apps]
    found += [Crumb(title_of(part), str(part.get("link", ""))) for part in rest]
    return found + added(context.get("request"))


def added(request: HttpRequest | None) -> list[Crumb]:
    """The form of a row that is not there yet has no name to go by."""
    match = getattr(request, "resolver_match", None)
    if match is None or not (match.url_name or "").endswith("_add"):
        return []
    model_admin = getattr(match.func, "model_admin", None)
    return [Crumb(f"Add {model_admin.opts.verbose_name}", "")] if model_admin else []


def is_app(part: dict[str, Any]) -> bool:
    """Whether it leads to an app's list of models: the admin's address and one word."""
    rest = str(part.get("link", "")).removeprefix(reverse("admin:index"))
    return part.get("link") is not None and rest.count("/") == 1


def named(parts: list[dict[str, Any]]) -> list[str]:
    """The section whose navigation leads to one of these."""
    links = {str(part.get("link")) for part in parts}
    return [section for section, link in sections() if link in links][:1]


def title_of(part: dict[str, Any]) -> str:
    title = part["title"]
    return str(title) if isinstance(title, Model) else capfirst(str(title))
