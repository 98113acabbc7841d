"""The page of unpriced models: who sees what of it, and what each may do about it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import log, make_price, native, post, save_prices, small_price_book
from tests.people import People, make_people
from usage.models import Price, PricedModel
from usage.pricing import ratecard

QUEUE = "/admin/prices/unpriced/"
ADD = f"{QUEUE}price/?provider=openai&model=unheard-of"
ANSWERS = f"{QUEUE}answers/?provider=openai&model=unheard-of"


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


@pytest.fixture
def waiting(people: People) -> People:
    """A request of Acme's research and one of Globex', to models without a price."""
    send(people.acme, model="unheard-of", workspace="research")
    send(people.globex, model="their-secret", workspace="launch")
    return people


def send(account, **fields) -> None:
    now = timezone.now()
    post(account, native(**{"occurred_at": now.isoformat()} | fields), now=now)


def queued(client, user, **parameters) -> list[str]:
    client.force_login(user)
    page = client.get(QUEUE, parameters)
    assert page.status_code == 200
    return [one.model for one, _, _ in page.context["entries"]]


def offered(client, user) -> list[str]:
    client.force_login(user)
    [(_, links, _)] = client.get(QUEUE, {"account": "acme"}).context["entries"]
    return [title for title, _ in links]


def test_everybody_sees_the_own_workspaces_queue(client, waiting):
    seen = {
        who: sorted(queued(client, getattr(waiting, who)))
        for who in ("staff", "viewer", "outsider", "support_manager", "newcomer")
    }

    assert seen == {
        "staff": ["their-secret", "unheard-of"],
        "viewer": ["unheard-of"],
        "outsider": ["their-secret"],
        "support_manager": [],
        "newcomer": [],
    }


def test_it_can_be_narrowed_to_an_account(client, waiting):
    assert queued(client, waiting.staff, account="acme") == ["unheard-of"]
    assert queued(client, waiting.viewer, account="globex") == []


@pytest.mark.parametrize("path", [QUEUE, ADD, ANSWERS])
def test_strangers_are_asked_to_log_in(client, db, path):
    assert client.get(path)["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("who", ["viewer", "accountant", "owner", "outsider"])
@pytest.mark.parametrize("path", [ADD, ANSWERS])
def test_list_prices_and_names_are_for_platform_staff(client, waiting, who, path):
    client.force_login(getattr(waiting, who))

    assert client.get(path).status_code == client.post(path).status_code == 403


def test_each_is_offered_what_they_may_do(client, waiting):
    assert offered(client, waiting.staff) == ["Add a price", "Requests"]
    assert offered(client, waiting.accountant) == ["Requests"]


def test_who_may_edit_prices_adds_the_one_that_is_missing(client, people):
    send(people.acme, workspace="research", meters={"file_search": 1})
    client.force_login(people.accountant)
    [(_, [(title, address), _], _)] = client.get(QUEUE).context["entries"]

    form = client.get(address).context["adminform"].form

    assert title == "Add a price"
    assert form["meter"].value() == "file_search"
    assert str(form["priced_model"].value()) == str(PricedModel.objects.get().pk)
    assert form["account"].value() == people.acme.pk
    assert offered(client, people.viewer) == ["Requests"]


def test_drafts_are_reviewed(client, waiting):
    save_prices(make_price("input", "1", model="unheard-of", status=Price.Status.DRAFT))

    assert offered(client, waiting.staff)[0] == "Review its drafts"


def test_what_has_a_price_since_is_repriced_by_who_keeps_prices(client, waiting):
    save_prices(*(make_price(meter, "1", model="unheard-of") for meter in ("input", "output")))

    assert offered(client, waiting.accountant) == ["Re-price", "Requests"]
    assert offered(client, waiting.viewer) == ["Requests"]


def test_the_link_to_the_requests_lists_them(client, waiting):
    client.force_login(waiting.viewer)
    [(_, links, _)] = client.get(QUEUE).context["entries"]

    page = client.get(dict(links)["Requests"])

    assert [row["model"] for row in page.context["page"].rows] == ["unheard-of"]


def first_price(**given: str) -> dict[str, str]:
    return {
        "name": "unheard-of",
        "pattern": "^unheard-of$",
        "input": "2",
        "output": "0.5",
        "cache_read": "",
        "cache_write_5m": "",
        "valid_from": "2026-01-01",
        "source": "their web site",
        "then": "review",
    } | given


def test_the_form_is_filled_in_as_far_as_is_known(client, waiting):
    client.force_login(waiting.staff)

    form = client.get(ADD).context["form"]

    assert (form["name"].value(), form["pattern"].value()) == ("unheard-of", "^unheard-of$")
    assert form["valid_from"].value() == timezone.now().date() - timedelta(days=1)


def test_a_first_price_becomes_drafts_of_a_new_model(client, waiting):
    client.force_login(waiting.staff)

    answer = client.post(ADD, first_price())

    made = Price.objects.drafts().filter(priced_model__name="unheard-of")
    assert answer["Location"] == "/admin/prices/review/?q=unheard-of"
    assert set(made.values_list("meter", "unit_price", "valid_from", "source")) == {
        ("input", Decimal(2), datetime(2026, 1, 1, tzinfo=UTC), "their web site"),
        ("output", Decimal("0.5"), datetime(2026, 1, 1, tzinfo=UTC), "their web site"),
    }


def test_an_approved_first_price_bills_the_next_request(client, waiting):
    client.force_login(waiting.staff)

    client.post(ADD, first_price(then="approve"))
    ratecard.forget()
    send(waiting.acme, model="unheard-of", workspace="research", request_id="next")

    assert {row["request_id"]: row["cost"] for row in log()}["next"] == Decimal("0.00205")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"pattern": "^another$"}, "pattern"),
        ({"pattern": "("}, "pattern"),
        ({"pattern": "(u+)+"}, "pattern"),
        ({"input": "-1"}, "input"),
        ({"output": ""}, "output"),
        ({"valid_from": "soon"}, "valid_from"),
    ],
)
def test_what_is_wrong_with_a_first_price_is_said(client, waiting, given, field):
    client.force_login(waiting.staff)

    page = client.post(ADD, first_price(**given))

    assert list(page.context["form"].errors) == [field]
    assert not PricedModel.objects.filter(name="unheard-of").exists()


@pytest.mark.parametrize("path", [ADD, ANSWERS])
def test_addresses_with_nonsense_in_them_are_answered(client, waiting, path):
    client.force_login(waiting.staff)
    for changed in (f"{path}&q=%00", path.replace("openai", ""), f"{path}{'x' * 300}"):
        assert client.get(changed).status_code in (200, 404)


def test_a_provider_that_is_too_long_for_the_book_is_said(client, waiting):
    client.force_login(waiting.staff)

    page = client.post(ADD.replace("openai", "x" * 61), first_price())

    assert "at most 60" in " ".join(page.context["form"].non_field_errors())


def test_the_likest_models_are_offered_with_their_prices(client, people):
    send(people.acme, model="gpt-4o-x", workspace="research")
    client.force_login(people.staff)

    page = client.get(f"{QUEUE}answers/?provider=openai&model=gpt-4o-x")

    [(model, input_price, output_price)] = page.context["entries"]
    assert (model.name, input_price.unit_price, output_price.unit_price) == (
        "gpt-4o", Decimal("2.5"), 10
    )  # fmt: skip


def test_a_name_is_billed_as_the_model_that_it_answers_to(client, waiting):
    client.force_login(waiting.staff)
    found = client.get(f"{ANSWERS}&q=4o").context["entries"]

    client.post(ANSWERS, {"priced_model": found[0][0].pk})
    ratecard.forget()
    send(waiting.acme, model="Unheard-Of", workspace="research", request_id="next")

    assert PricedModel.objects.get(name="gpt-4o").further_names == ["unheard-of"]
    assert {row["request_id"]: row["cost"] for row in log()}["next"] == Decimal("0.0035")


@pytest.mark.parametrize("chosen", ["", "x", "0", "9" * 30])
def test_a_name_answers_to_a_model_of_its_provider_only(client, waiting, chosen):
    save_prices(make_price("input", "1", provider="anthropic", model="claude"))
    client.force_login(waiting.staff)
    claude = str(PricedModel.objects.get(name="claude").pk)

    for pk in (chosen, claude):
        answer = client.post(ANSWERS, {"priced_model": pk}, follow=True)

    assert "Choose a model of this provider." in answer.content.decode()
    assert all(model.further_names == [] for model in PricedModel.objects.all())


def test_an_empty_queue_says_so(client, people):
    client.force_login(people.viewer)

    assert "Every request has a price" in client.get(QUEUE).content.decode()


def test_a_longer_queue_takes_no_more_queries(client, people, monkeypatch):
    monkeypatch.setattr("accounts.versions.CHECK_EVERY_SECONDS", 3600)
    client.force_login(people.viewer)
    needed = []
    for number in (1, 20):
        for n in range(number):
            send(people.acme, model=f"unheard-{number}-{n}", workspace="research")
        client.get(QUEUE)
        with CaptureQueriesContext(connection) as queries:
            client.get(QUEUE)
        needed.append(len(queries))

    assert needed[0] == needed[1] <= 20
