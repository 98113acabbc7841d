from datetime import UTC, datetime

import pytest

from accounts.models import CacheVersion
from tests.factories import log, make_price, native, post, save_prices, small_price_book
from tests.people import People, make_people
from usage.models import Price, QuarantinedRow
from usage.pricing.ratecard import PRICES_VERSION

PRICES = "/admin/usage/price/"
ROWS = "/admin/usage/quarantinedrow/"


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


@pytest.fixture
def draft(people: People) -> Price:
    """Acme's contract rate, not yet approved."""
    save_prices(make_price("input", "1", account=people.acme, status=Price.Status.DRAFT))
    return Price.objects.get(status=Price.Status.DRAFT)


def bad_row():
    return native(request_id="bad", workspace="research", input_tokens=-1, occurred_at=None)


@pytest.fixture
def waiting(people: People) -> QuarantinedRow:
    post(people.acme, bad_row())
    return QuarantinedRow.objects.get()


def test_approved_prices_are_never_changed(client, people):
    price = Price.objects.approved().first()
    client.force_login(people.staff)

    response = client.post(f"{PRICES}{price.pk}/change/", {"unit_price": "99"})

    price.refresh_from_db()
    assert response.status_code == 403
    assert price.unit_price != 99


def test_approving_a_draft_makes_it_count_everywhere(client, people, draft):
    client.force_login(people.accountant)

    client.post(PRICES, {"action": "approve_chosen", "_selected_action": draft.pk})

    draft.refresh_from_db()
    assert draft.status == Price.Status.APPROVED
    assert CacheVersion.objects.get(name=PRICES_VERSION).version > 0


@pytest.mark.parametrize("who", ["viewer", "manager", "outsider"])
def test_prices_are_approved_by_nobody_else(client, people, draft, who):
    client.force_login(getattr(people, who))

    client.post(PRICES, {"action": "approve_chosen", "_selected_action": draft.pk})

    draft.refresh_from_db()
    assert draft.status == Price.Status.DRAFT


def test_contract_rates_are_nobody_elses_business(client, people, draft):
    seen = {}
    for who in ("accountant", "outsider"):
        client.force_login(getattr(people, who))
        seen[who] = draft in client.get(PRICES).context["cl"].queryset

    assert seen == {"accountant": True, "outsider": False}


def test_list_prices_are_made_by_platform_staff_only(client, people):
    model = Price.objects.first().priced_model
    client.force_login(people.accountant)

    page = client.post(f"{PRICES}add/", {"priced_model": model.pk, "meter": "input"})

    assert "account" in page.context["adminform"].form.errors


def test_list_prices_are_imported_as_drafts_by_platform_staff(client, people):
    client.force_login(people.accountant)
    refused = client.post(f"{PRICES}import_list_prices/", {"_form_submitted": "on"})
    client.force_login(people.staff)
    asked = client.get(f"{PRICES}import_list_prices/")
    before = Price.objects.filter(status=Price.Status.DRAFT).count()

    client.post(f"{PRICES}import_list_prices/", {"_form_submitted": "on"})

    assert (refused.status_code, asked.status_code, before) == (403, 200, 0)
    assert Price.objects.filter(status=Price.Status.DRAFT).count() > 5000


@pytest.mark.django_db(transaction=True)
def test_a_corrected_row_is_sent_again_and_lands_in_its_own_time(client, transactional_db):
    small_price_book()
    people = make_people()
    received_at = datetime(2026, 11, 18, 9, tzinfo=UTC)
    post(people.acme, bad_row(), now=received_at)
    row = QuarantinedRow.objects.get()
    client.force_login(people.manager)

    client.post(
        f"{ROWS}{row.pk}/change/",
        {"body": row.body.replace("-1", "1000"), "usage_quarantinedrow_send_this": ""},
    )

    row.refresh_from_db()
    assert row.state == QuarantinedRow.State.RECORDED
    assert [(r["request_id"], r["occurred_at"]) for r in log()] == [("bad", received_at)]


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_still_wrong_stays_with_the_new_reason(client, transactional_db):
    people = make_people()
    post(people.acme, native(request_id="bad", workspace="research", input_tokens=-1))
    row = QuarantinedRow.objects.get()
    client.force_login(people.manager)

    page = client.post(
        f"{ROWS}{row.pk}/change/",
        {"body": row.body.replace('"model"', '"modell"'), "usage_quarantinedrow_send_this": ""},
        follow=True,
    )

    assert page.request["PATH_INFO"] == f"{ROWS}{row.pk}/change/"
    assert "still cannot be recorded" in page.content.decode()

    row = QuarantinedRow.objects.get()
    assert row.state == QuarantinedRow.State.WAITING
    assert "modell" in row.errors[0]["message"]
    assert log() == []


def test_a_discarded_row_stays_discarded_when_it_is_sent_again(client, people, waiting):
    client.force_login(people.manager)

    client.post(ROWS, {"action": "discard_chosen", "_selected_action": waiting.pk})
    post(people.acme, waiting.body.encode())

    waiting.refresh_from_db()
    assert (waiting.state, waiting.times_sent) == (QuarantinedRow.State.DISCARDED, 2)


def test_quarantined_rows_are_for_account_wide_roles(client, people, waiting):
    statuses = {}
    for who in ("viewer", "support_manager", "outsider", "newcomer"):
        client.force_login(getattr(people, who))
        page = client.get(ROWS)
        shown = page.status_code == 200 and waiting in page.context["cl"].queryset
        statuses[who] = shown

    assert statuses == {
        "viewer": True,
        "support_manager": False,
        "outsider": False,
        "newcomer": False,
    }


def test_a_viewer_decides_nothing_about_them(client, people, waiting):
    client.force_login(people.viewer)

    client.post(ROWS, {"action": "discard_chosen", "_selected_action": waiting.pk})

    waiting.refresh_from_db()
    assert waiting.state == QuarantinedRow.State.WAITING
