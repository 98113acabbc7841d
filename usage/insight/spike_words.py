"""Spikes in words: one sentence that says what, one that says why, and the mail of both."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from usage.formatting import compact, money, percent
from usage.spike_models import Anomaly

EXPLAINS = {
    "api_key": "API key",
    "model": "model",
    "endpoint": "endpoint",
    "member": "member",
    "project": "project",
}
MUCH = Decimal("0.5")
CACHED_LESS = Decimal("0.2")


def amount(anomaly: Anomaly, value: Decimal) -> str:
    if anomaly.measure == Anomaly.Measure.SPEND:
        return money(value.quantize(Decimal("0.0001")))
    return f"{compact(int(value))} tokens"


def window(minutes: int) -> str:
    if minutes < 60:
        return f"{minutes} minutes"
    hours = minutes // 60
    return "an hour" if hours == 1 else f"{hours} hours"


def what(anomaly: Anomaly) -> str:
    """`API key ci spent $12.40 in 15 minutes; up to $1.10 is usual then.`"""
    verb = "spent" if anomaly.measure == Anomaly.Measure.SPEND else "used"
    return (
        f"{anomaly.get_kind_display()} {anomaly.subject_name} {verb} "
        f"{amount(anomaly, anomaly.noticed)} in {window(anomaly.window_minutes)}; about "
        f"{amount(anomaly, anomaly.noticed_expected)} is usual then, and at most "
        f"{amount(anomaly, anomaly.noticed_upper)}."
    )


def why(anomaly: Anomaly) -> list[str]:
    """Who brings it and in which way, each in a sentence; nothing where nothing stands out."""
    return [*who(anomaly), *how(anomaly.drivers.get("factors") or {})]


def who(anomaly: Anomaly) -> list[str]:
    parts = []
    for dimension, label in EXPLAINS.items():
        if dimension == anomaly.kind:
            continue
        top = next(iter(anomaly.drivers.get("by", {}).get(dimension, [])), None)
        if top and top["id"] and Decimal(top["share"]) >= MUCH:
            parts.append(f"{label} {top['name']} {share(top['share'])}")
    return [f"Of the excess: {', '.join(parts)}."] if parts else []


def share(text: str) -> str:
    return percent(min(Decimal(text), Decimal(1)), places=0)


def how(factors: dict[str, Any]) -> list[str]:
    now, before = factors.get("now"), factors.get("before")
    if not now:
        return []
    if not before or not Decimal(before["requests"]):
        return ["At that time of day it was quiet in the days before."]
    said = [
        changed("Requests", before["requests"], now["requests"], count),
        changed("Tokens a request", before["tokens_per_request"], now["tokens_per_request"], count),
        changed("Cost a request", before["cost_per_request"], now["cost_per_request"], dollars),
    ]
    if before["cached"] and now["cached"]:
        was, has = Decimal(before["cached"]), Decimal(now["cached"])
        if was - has >= CACHED_LESS:
            said.append(f"Input from a cache: {percent(has, places=0)} instead of "
                        f"{percent(was, places=0)}.")  # fmt: skip
    return [sentence for sentence in said if sentence]


def changed(label: str, before: str, now: str, shown: Any) -> str:
    """What at least half as much again was."""
    was, has = Decimal(before), Decimal(now)
    if not was or has < was * Decimal("1.5"):
        return ""
    return f"{label}: {shown(has)} instead of {shown(was)}."


def count(value: Decimal) -> str:
    return compact(int(value)) if value >= 10 else f"{value.normalize():f}"


def dollars(value: Decimal) -> str:
    return money(value)


def message(anomaly: Anomaly) -> dict[str, str]:
    """Subject, text and HTML of the mail."""
    zone = anomaly.workspace.account.zone
    figures = {
        "anomaly": anomaly,
        "what": what(anomaly),
        "why": why(anomaly),
        "excess": money(anomaly.excess_cost.quantize(Decimal("0.01"))),
        "since": f"{timezone.localtime(anomaly.started_at, zone):%Y-%m-%d %H:%M}",
        "zone": zone.key,
        "link": f"{settings.PUBLIC_URL}/admin/insight/spikes/{anomaly.pk}/",
    }
    much = amount(anomaly, anomaly.noticed)
    return {
        "subject": f"{anomaly} spends more than usual: {much} in {window(anomaly.window_minutes)}",
        "text": render_to_string("usage/insight/spike_mail.txt", figures),
        "html": render_to_string("usage/insight/spike_mail.html", figures),
    }
