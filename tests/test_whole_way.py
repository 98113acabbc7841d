"""The whole way as its users go it: real processes, real HTTP, a real mail server."""

import csv
import io
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts import tokens
from accounts.models import Account, Role, Scope, User
from tests import serving
from tests.mailing import MailServer
from usage.models import Price
from usage.pricing.catalogue import import_catalogue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PAYLOADS = Path(__file__).parent / "usage" / "ingest" / "litellm"


class Gateway:
    """What a gateway and an accountant's script do, over HTTP."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path: str) -> Any:
        status, body = self.send("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, body: Any) -> Any:
        status, answer = self.send("POST", path, body)
        assert status in (200, 201), answer
        return json.loads(answer)


def recorded_events() -> list[dict[str, Any]]:
    """The recorded payloads, as if they had happened in the last hour."""
    now = datetime.now(UTC)
    events = [json.loads(path.read_text()) for path in sorted(PAYLOADS.glob("*.json"))]
    for minutes, event in enumerate(events):
        moved = (now - timedelta(minutes=5 + minutes)).timestamp() - event["startTime"]
        for name in ("startTime", "endTime", "completionStartTime"):
            event[name] += moved
    return events


@pytest.fixture
def token(transactional_db: None) -> str:
    account = Account.objects.create(name="Acme", slug="acme", time_zone="America/New_York")
    owner = User.objects.create_user("owner", "owner@acme.test", "correct horse", is_staff=True)
    Role.objects.create(user=owner, account=account, name=Role.Name.OWNER)
    return tokens.issue(account=account, name="all", scopes=Scope.values)[1]


def test_from_a_posted_log_to_the_refusal_and_the_same_total_everywhere(
    token: str, smtp_server: MailServer, live_web: serving.Server
):
    import_catalogue(status=Price.Status.APPROVED, now=datetime.now(UTC))
    with serving.worker(EMAIL_URL=smtp_server.url):
        gateway = Gateway(live_web.url, token)
        answer = gateway.post("ingest/litellm/", recorded_events())
        assert answer == {"accepted": 8, "duplicates": 0, "rejected": []}
        assert gateway.post("ingest/litellm/", recorded_events()[:3])["duplicates"] == 3

        by_project = gateway.get(
            "usage/?group_by=project,member,api_key,workspace&metrics=requests,cost"
        )
        finance = next(row for row in by_project["rows"] if row["project"] == "proj-9")
        assert finance["member"] == "jane@example.com"
        assert finance["workspace_name"] == "Finance"
        assert finance["api_key_name"] == "svc-billing-bot"
        assert (finance["requests"], finance["cost"]) == (2, "0.03146")

        budget = {
            "name": "Billing", "scope": "project", "key": "proj-9", "limit": "0.05", "hard": True,
            "recipients": ["lead@acme.test"],
        }  # fmt: skip
        made = gateway.post("budgets/", budget)
        assert Decimal(made["spent"]) == Decimal("0.03146")

        call = {"workspace": "finance", "project": "proj-9", "max_cost": "0.018"}
        allowed = gateway.post("authorize/", call | {"request_id": "last call"})
        assert allowed["allowed"]
        row = {
            "request_id": "last call", "workspace": "finance", "project": "proj-9",
            "model": "claude-sonnet-4-5", "provider": "anthropic", "output_tokens": 1300,
        }  # fmt: skip
        assert gateway.post("requests/", row)["accepted"] == 1
        refused = gateway.post("authorize/", call | {"request_id": "one too many"})
        assert not refused["allowed"]
        assert "The project budget 'Billing' has" in refused["reason"]

        serving.wait_until(lambda: len(smtp_server.messages) >= 2, 30)
        assert sorted(mail["Subject"] for mail in smtp_server.messages) == [
            "Billing passed 100 %: $0.051 of $0.05 used",
            "Billing passed 80 %: $0.051 of $0.05 used",
        ]

        total = gateway.get("usage/?metrics=cost,requests")["totals"]
        status, text = gateway.send("GET", "exports/requests.csv")
        assert status == 200
        rows = list(csv.DictReader(io.StringIO(text.decode())))
        assert len(rows) == total["requests"] == 9
        costs = [Decimal(row["cost"]) for row in rows if row["cost"]]
        assert sum(costs) == Decimal(total["cost"])

        day = gateway.get("usage/?metrics=cost&granularity=day&group_by=model")
        assert sum(Decimal(row["cost"] or 0) for row in day["rows"]) == Decimal(total["cost"])
        call_command("fold_usage")
        assert gateway.get("usage/?metrics=cost,requests")["totals"] == total
        spent = gateway.get(f"budgets/{made['id']}/")["spent"]
        assert Decimal(spent) == Decimal("0.03146") + Decimal("0.0195")


def test_bad_input_is_answered_as_documented(token: str, live_web: serving.Server):
    other = Account.objects.create(name="Other", slug="other")
    _, foreign = tokens.issue(account=other, name="other", scopes=Scope.values)
    _, reader = tokens.issue(account=Account.objects.get(slug="acme"), name="r", scopes=["read"])
    good = {"request_id": "good", "model": "gpt-4o", "input_tokens": 1}
    gateway = Gateway(live_web.url, token)
    assert Gateway(live_web.url, "tb_0_nothing").send("GET", "usage/")[0] == 401
    assert Gateway(live_web.url, reader).send("POST", "requests/", good)[0] == 403
    answer = gateway.post("requests/", [good, good | {"request_id": "bad", "status": "ok"}])
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["errors"][0]["field"] == "status"
    assert Gateway(live_web.url, foreign).send("GET", "requests/good/")[0] == 404
    request = urllib.request.Request(
        f"{live_web.url}/api/v1/requests/",
        data=b'[{"request_id": "x",,]',
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 400
    assert "byte 20" in json.loads(refused.value.read())["error"]["message"]
