"""What must be true of a company's books at any moment, beside what its gateways know."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.models import Account
from budgets.models import Alert, BudgetPeriod
from config import books
from exports.models import Export
from tests.factories import count, fetch
from tests.faults.company import Company
from tests.faults.traffic import CAP, DIME, Traffic


@dataclass
class Findings:
    """Sentences about what is wrong; mails that came twice are told apart, because of those there
    is a moment, between the mail server's answer and our commit, that no program can close."""

    wrong: list[str] = field(default_factory=list)
    requests: int = 0
    alerts: int = 0
    mails: int = 0
    mails_again: int = 0


def look(company: Company, traffic: Traffic) -> Findings:
    """While everybody goes on."""
    findings = Findings()
    with traffic.lock:
        acknowledged, holds = set(traffic.acknowledged), Counter(traffic.holds)
    connection.close()  # the server that it led to may be gone
    with books.one_snapshot():
        stored_once(traffic, acknowledged, findings)
        caps_held(holds, findings)
        alerts_made(findings)
    books_balance(findings)
    mails_sent(company, findings)
    return findings


def stored_once(traffic: Traffic, acknowledged: set[str], findings: Findings) -> None:
    rows = fetch("SELECT request_id, input, cost FROM usage_requestlog")
    stored = Counter(row["request_id"] for row in rows)
    with traffic.lock:
        sent = dict(traffic.sent)
    findings.requests = len(rows)
    say(findings, "acknowledged and lost", acknowledged - set(stored))
    say(findings, "stored twice", {name for name, n in stored.items() if n > 1})
    say(findings, "never sent", set(stored) - set(sent))
    other = {r["request_id"] for r in rows if sent.get(r["request_id"]) != r["input"]}
    say(findings, "stored with other tokens", other)
    tokens, cost = sum(row["input"] for row in rows), sum(row["cost"] for row in rows)
    if cost != tokens * Decimal("2.5") / 1_000_000:
        findings.wrong.append(f"{tokens} tokens cost {cost}")
    if set_aside := count("usage_quarantinedrow"):
        findings.wrong.append(f"{set_aside} rows set aside")


def caps_held(holds: Counter[int], findings: Findings) -> None:
    for period in BudgetPeriod.objects.filter(budget__name__startswith="cap-"):
        used = period.spent + period.estimated + period.held
        number = int(period.budget.name.removeprefix("cap-"))
        if used > CAP or holds[number] * DIME > used:
            findings.wrong.append(
                f"{period.budget.name}: {used} used of {CAP}, {holds[number]} yes"
            )


def alerts_made(findings: Findings) -> None:
    """For each threshold that a counter has reached there is one alert, and no other."""
    there = Counter(Alert.objects.values_list("period__budget__name", "threshold"))
    due = {
        (period.budget.name, threshold)
        for period in BudgetPeriod.objects.select_related("budget")
        for threshold in reached(period)
    }
    findings.alerts = len(due)
    say(findings, "alerts lost", due - set(there))
    say(findings, "alerts too many", (there - Counter(due)).keys())


def reached(period: BudgetPeriod) -> list[int]:
    limit, used = period.budget.limit, period.spent + period.estimated
    return [t for t in period.budget.thresholds if limit and used * 100 >= limit * t]


def books_balance(findings: Findings) -> None:
    found = books.check(Account.objects.order_by("slug"), now=timezone.now())
    findings.wrong += [books.sentence(line) for line in found.differences[:5]]


def mails_sent(company: Company, findings: Findings) -> None:
    ids = Counter(str(message["Message-ID"]) for message in list(company.mail.messages))
    findings.mails = len(ids)
    findings.mails_again = ids.total() - len(ids)


def mails_missing(company: Company) -> set[str]:
    """Alerts of which nobody was told, by budget and threshold: after enough time none."""
    told = Counter(
        (str(message["X-Envelope-To"]), str(message["Message-ID"]))
        for message in list(company.mail.messages)
    )
    due = Counter(
        f"{name}@acme.test" for name in Alert.objects.values_list("period__budget__name", flat=True)
    )
    return set((due - Counter(recipient for recipient, _ in told)).elements())


def exports_at_work() -> list[tuple[Any, ...]]:
    return list(Export.objects.filter(state__in=Export.AT_WORK).values_list("state", "error"))


def exports_made(company: Company, findings: Findings) -> None:
    """Each is done, and its file in the bucket is the one that its manifest tells of."""
    for export in Export.objects.all():
        if export.state != Export.State.DONE:
            findings.wrong.append(f"export {export.state}: {export.error}")
        elif company.storage.size_of(export.key) != export.size:
            findings.wrong.append(f"export {export.key} is not the file that was made")


def say(findings: Findings, what: str, names: Any) -> None:
    if names:
        findings.wrong.append(f"{what}: {len(names)}, such as {sorted(names)[:3]}")
