"""The review of drafts, and who may decide about which prices."""

import json
import time
import urllib.request
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Scope
from tests.factories import (
    bearer,
    log,
    make_price,
    native,
    save_prices,
    small_price_book,
)
from tests.people import People, make_people
from tests.serving import wait_until
from usage.models import Price, PricedModel

REVIEW = "/admin/prices/review/"
PRICES = "/admin/usage/price/"
DRAFT = Price.Status.DRAFT


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


@pytest.fixture
def drafts(people: People) -> People:
    """Of the list: gpt-4o dearer, gpt-9 new. Contract rates of Acme and of Globex."""
    now = timezone.now()
    save_prices(
        make_price("input", "3", status=DRAFT, valid_from=now),
        make_price("input", "9", status=DRAFT, model="gpt-9"),
        make_price("input", "2", status=DRAFT, account=people.acme),
        make_price("input", "1", status=DRAFT, account=people.globex),
    )
    return people


def the(unit_price: str) -> Price:
    return Price.objects.get(unit_price=unit_price)


def shown(client, **parameters) -> list[tuple[str, list[Decimal]]]:
    page = client.get(REVIEW, parameters)
    assert page.status_code == 200
    return [
        (group.name, [change.draft.unit_price for change in changes])
        for group, changes in page.context["entries"]
    ]


def decide(client, decision: str, *prices: Price, query: str = "", **more: str):
    ticked = {"decision": decision, "price": [price.pk for price in prices]} | more
    return client.post(f"{REVIEW}{query}", ticked, follow=True)


def told(response) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def approved() -> set[Decimal]:
    return set(Price.objects.approved().values_list("unit_price", flat=True)) - BOOK


BOOK = {Decimal(text) for text in ("2.5", "1.25", "10", "0.01")}


def test_platform_staff_review_everything_changed_first(client, drafts):
    client.force_login(drafts.staff)

    assert shown(client) == [("gpt-4o", [3]), ("gpt-4o", [2]), ("gpt-4o", [1]), ("gpt-9", [9])]


def test_an_accountant_reviews_the_own_accounts_contract_rates(client, drafts):
    client.force_login(drafts.accountant)

    assert shown(client) == [("gpt-4o", [2])]


@pytest.mark.parametrize("who", ["viewer", "manager", "support_manager", "newcomer"])
def test_nobody_else_reviews_anything(client, drafts, who):
    client.force_login(getattr(drafts, who))

    assert client.get(REVIEW).status_code == 403
    assert client.post(REVIEW, {"decision": "approve"}).status_code == 403


def test_strangers_are_asked_to_log_in(client, db):
    assert client.get(REVIEW)["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(
    ("query", "prices"),
    [
        ({"kind": "changed"}, [3]),
        ({"kind": "new"}, [2, 1, 9]),
        ({"whose": "list"}, [3, 9]),
        ({"whose": "acme"}, [2]),
        ({"q": "GPT 9"}, [9]),
        ({"provider": "anthropic"}, []),
        ({"q": "openai", "kind": "new", "whose": "list"}, [9]),
    ],
)
def test_filters(client, drafts, query, prices):
    client.force_login(drafts.staff)

    assert [price for _, prices in shown(client, **query) for price in prices] == prices


def test_the_summary_counts_models(client, drafts):
    save_prices(make_price("input", "5", model="old", source="genai-prices 0.0.1"))
    client.force_login(drafts.staff)

    assert client.get(REVIEW).context["summary"] == {
        "changed": 1,
        "new": 3,
        "unchanged": 1,
        "removed": 1,
    }


def test_a_change_is_told_without_colour(client, drafts):
    client.force_login(drafts.staff)

    page = client.get(REVIEW, {"kind": "changed"}).content.decode()

    assert "20.0 %" in page
    assert "dearer" in page


def test_what_is_ticked_is_approved_and_written_down(client, drafts):
    client.force_login(drafts.staff)

    decide(client, "approve", the("3"), the("9"))

    assert approved() == {3, 9}
    entries = LogEntry.objects.values_list("user__username", "change_message", "object_id")
    assert ("stella", "Approved.", str(the("9").pk)) in entries


def test_all_that_a_filter_finds_is_approved(client, drafts):
    client.force_login(drafts.staff)

    decide(client, "approve", query="?kind=new", all="1", expected="3")

    assert approved() == {1, 2, 9}


def test_what_came_since_the_page_was_shown_is_not_approved_unseen(client, drafts):
    client.force_login(drafts.staff)

    answer = decide(client, "approve", query="?kind=new", all="1", expected="2")

    assert approved() == set()
    assert "have changed" in told(answer)


def test_all_is_all_of_ones_own(client, drafts):
    client.force_login(drafts.accountant)

    decide(client, "approve", all="1", expected="1")

    assert approved() == {2}


@pytest.mark.parametrize("decision", ["approve", "from_today", "discard", "end"])
def test_nobody_decides_about_anothers_prices(client, drafts, decision):
    client.force_login(drafts.accountant)

    decide(client, decision, the("3"), the("9"), the("1"), the("10"))

    statuses = Price.objects.values_list("unit_price", "status", "valid_to")
    assert {(row[1], row[2]) for row in statuses if row[0] in (3, 9, 1)} == {(DRAFT, None)}
    assert the("10").valid_to is None


def test_discarded_drafts_are_kept_and_no_longer_shown(client, drafts):
    client.force_login(drafts.staff)

    decide(client, "discard", the("9"))

    assert the("9").status == Price.Status.DISCARDED
    assert shown(client, whose="list") == [("gpt-4o", [3])]


def test_a_clash_is_shown_and_begins_today_when_asked(client, people):
    save_prices(make_price("input", "3", status=DRAFT))
    client.force_login(people.staff)

    answer = decide(client, "approve", the("3"))
    assert "begins at the same moment" in told(answer)
    assert "clashes from today" in answer.content.decode()
    decide(client, "from_today", the("3"))

    assert the("3").status == Price.Status.APPROVED
    assert the("3").valid_from == the("2.5").valid_to


def test_prices_that_are_no_longer_listed_can_be_ended(client, people):
    save_prices(make_price("input", "5", model="old", source="genai-prices 0.0.1"))
    client.force_login(people.staff)
    page = client.get(REVIEW, {"kind": "removed"})

    decide(client, "end", the("5"), query="?kind=removed")

    assert [price.unit_price for price in page.context["page"]] == [5]
    assert the("5").valid_to <= timezone.now()


def test_nothing_chosen_is_said(client, drafts):
    client.force_login(drafts.staff)

    assert "Choose at least one" in told(decide(client, "approve"))


def test_decisions_need_the_token_of_the_form(client, drafts):
    client.handler.enforce_csrf_checks = True
    client.force_login(drafts.staff)

    assert client.post(REVIEW, {"decision": "approve", "price": the("9").pk}).status_code == 403


def test_thousands_of_drafts_take_no_more_queries(client, people):
    client.force_login(people.staff)
    client.get(REVIEW)
    needed = []
    for count in (3, 600):
        many_drafts(count)
        with CaptureQueriesContext(connection) as queries:
            page = client.get(REVIEW)
        needed.append(len(queries))

    assert needed[0] == needed[1] <= 20
    assert page.context["drafts_found"] == 2 * 603
    assert len(page.context["entries"]) == 20


def test_approving_thousands_takes_a_few_statements(client, people):
    many_drafts(600)
    client.force_login(people.staff)

    with CaptureQueriesContext(connection) as queries:
        decide(client, "approve", all="1", expected="1200")

    assert Price.objects.approved().count() == 1200 + len(BOOK)
    assert len(queries) < 60


def many_drafts(count: int) -> None:
    start = PricedModel.objects.count()
    models = PricedModel.objects.bulk_create(
        PricedModel(provider="many", name=f"m{start + n}", pattern="^x$") for n in range(count)
    )
    Price.objects.bulk_create(
        make_price(meter, "1", priced_model=model, status=DRAFT)
        for model in models
        for meter in ("input", "output")
    )


def test_the_list_of_prices_leads_to_the_review_of_those_who_may(client, drafts):
    offered = {}
    for who in ("staff", "accountant", "viewer"):
        client.force_login(getattr(drafts, who))
        offered[who] = "Review drafts" in client.get(PRICES).content.decode()

    assert offered == {"staff": True, "accountant": True, "viewer": False}


def test_navigation_offers_the_review_to_those_who_may(client, people):
    offered = {}
    for who in ("staff", "accountant", "viewer"):
        client.force_login(getattr(people, who))
        offered[who] = REVIEW in client.get("/admin/requests/").content.decode()

    assert offered == {"staff": True, "accountant": True, "viewer": False}


def test_an_edited_draft_of_an_import_says_so(client, people):
    save_prices(make_price("input", "3", status=DRAFT, source="genai-prices 0.2.3"))
    client.force_login(people.staff)

    client.post(f"{PRICES}{the('3').pk}/change/", form(the("3").priced_model, unit_price="4"))

    assert the("4").source == "genai-prices 0.2.3, edited"


def test_a_priced_model_with_an_endless_pattern_is_refused(client, people):
    client.force_login(people.staff)
    given = {"provider": "openai", "name": "x", "pattern": "(x+)+", "further_names": ""}

    page = client.post("/admin/usage/pricedmodel/add/", given)

    assert "for ever" in str(page.context["adminform"].form.errors["pattern"])


def form(model: PricedModel, **given: str) -> dict[str, str]:
    return {
        "priced_model": str(model.pk),
        "account": "",
        "meter": "input",
        "service_tier": "",
        "per": "1000000",
        "from_input_tokens": "0",
        "valid_from_0": "2020-01-01",
        "valid_from_1": "00:00:00",
        "valid_to_0": "",
        "valid_to_1": "",
        "source": "genai-prices 0.2.3",
    } | given


def test_an_accountant_makes_contract_rates_of_the_own_account_only(client, people):
    client.force_login(people.accountant)
    model = the("10").priced_model

    refused = client.post(
        f"{PRICES}add/", form(model, account=str(people.globex.pk), unit_price="1")
    )
    client.post(f"{PRICES}add/", form(model, account=str(people.acme.pk), unit_price="2"))

    assert "account" in refused.context["adminform"].form.errors
    assert the("2").account == people.acme


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_contract_rate_bills_the_next_requests_in_another_process(client, live_web):
    """From the form to the bill: the web server has the old rates in memory when it is approved."""
    small_price_book()
    people = make_people()
    headers = bearer(people.acme, Scope.INGEST) | {"content-type": "application/json"}
    model = the("10").priced_model

    def post(request_id: str) -> Decimal:
        row = native(request_id=request_id, workspace="research", occurred_at=None)
        asked = urllib.request.Request(
            f"{live_web.url}/api/v1/requests/", json.dumps(row).encode(), headers
        )
        urllib.request.urlopen(asked, timeout=10).close()
        return next(row["cost"] for row in log() if row["request_id"] == request_id)

    assert post("before") == Decimal("0.0035")
    client.force_login(people.accountant)
    since = timezone.now() - timedelta(days=1)
    given = form(
        model, account=str(people.acme.pk), unit_price="1", valid_from_0=f"{since:%Y-%m-%d}"
    )
    client.post(f"{PRICES}add/", given)
    decide(client, "approve", the("1"))

    # 1,000 tokens in at $1 instead of $2.50 a million, 100 out at $10 as before
    wait_until(lambda: post(f"after-{time.monotonic()}") == Decimal("0.002"), 5)


def test_an_address_that_names_no_row_leads_nowhere(client, people):
    client.force_login(people.owner)

    assert client.get("/admin/usage/price/none/change/").status_code in (302, 403, 404)
