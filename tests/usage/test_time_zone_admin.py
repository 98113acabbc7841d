"""Moving an account to another time zone in the admin: said before, refused with the reason."""

from datetime import date

import pytest

from accounts.models import Account
from tests.books import assert_books_balance
from tests.factories import NOW, fetch, native, post
from tests.people import People, make_people
from usage.models import ZoneChange
from usage.pricing import reprice
from usage.rollups import recut, zone_change
from usage.rollups.fold import fold_all
from usage.tasks import change_zones

pytestmark = pytest.mark.django_db
KOLKATA = "Asia/Kolkata"


@pytest.fixture
def people() -> People:
    people = make_people()
    post(people.acme, native(workspace="research", occurred_at="2026-11-01T22:00:00Z"))
    fold_all()
    return people


def address(account: Account) -> str:
    return f"/admin/accounts/account/{account.pk}/change/"


def save(client, account: Account, **changes: str) -> str:
    """The page that comes of it."""
    form = {"name": account.name, "time_zone": account.time_zone}
    form |= {f"ceiling_{kind}_per_million": "15" for kind in ("input", "output")}
    form |= {"books_closed_until": str(account.books_closed_until or "")}
    page = client.post(address(account), form | changes, follow=True).content.decode()
    account.refresh_from_db()
    return page


@pytest.mark.parametrize("who", ["staff", "owner", "manager"])
def test_who_manages_an_account_moves_it(client, people, who):
    client.force_login(getattr(people, who))

    page = save(client, people.acme, time_zone=KOLKATA)

    assert people.acme.time_zone == KOLKATA
    assert "Days and budget periods are those of Asia/Kolkata from now on" in page
    fold_all()
    assert fetch("SELECT day FROM usage_day_model") == [{"day": date(2026, 11, 2)}]
    assert_books_balance()


@pytest.mark.parametrize("who", ["accountant", "viewer", "support_manager", "outsider"])
def test_nobody_else_does(client, people, who):
    client.force_login(getattr(people, who))
    save(client, people.acme, time_zone=KOLKATA)
    assert people.acme.time_zone == "UTC"


def test_the_page_says_before_what_another_zone_does(client, people):
    client.force_login(people.owner)
    page = client.get(address(people.acme)).content.decode()
    assert "are cut anew" in page
    assert "older days stay as they were cut" in page
    assert "still to be folded" not in page


def test_the_page_says_what_is_left_to_do(client, people, monkeypatch):
    monkeypatch.setattr(recut, "ROWS_AT_ONCE", 0)
    client.force_login(people.owner)
    save(client, people.acme, time_zone=KOLKATA)
    assert "1 requests are still to be folded" in client.get(address(people.acme)).content.decode()


def test_closed_books_are_in_the_way_until_they_are_opened(client, people):
    Account.objects.filter(pk=people.acme.pk).update(books_closed_until=date(2026, 11, 2))
    people.acme.refresh_from_db()
    client.force_login(people.owner)

    page = save(client, people.acme, time_zone=KOLKATA)
    assert "The books are closed before 2026-11-02" in page
    assert people.acme.time_zone == "UTC"

    save(client, people.acme, time_zone=KOLKATA, books_closed_until="")
    assert people.acme.time_zone == KOLKATA


def test_a_re_pricing_at_work_is_in_the_way(client, people):
    days = {"start_on": date(2026, 11, 1), "end_on": date(2026, 11, 2)}
    reprice.request(people.acme, **days, only_unpriced=False, by=None, now=NOW)
    client.force_login(people.owner)

    assert "A re-pricing of this account is at work" in save(client, people.acme, time_zone=KOLKATA)
    assert people.acme.time_zone == "UTC"


def test_what_is_no_zone_is_said_at_its_field(client, people):
    client.force_login(people.owner)
    assert "is not a time zone" in save(client, people.acme, time_zone="Mars/Olympus")


@pytest.fixture
def many(people, monkeypatch) -> People:
    """As if one request were too many to cut while somebody waits."""
    monkeypatch.setattr(zone_change, "AT_ONCE", 0)
    return people


def test_many_requests_are_cut_by_the_worker(client, many):
    client.force_login(many.owner)

    page = save(client, many.acme, time_zone=KOLKATA, name="Acme anew")

    assert (many.acme.time_zone, many.acme.name) == ("UTC", "Acme anew")
    assert "To be cut into the days of Asia/Kolkata: 1 request." in page
    assert "in about a minute; until then days and budget periods are those of UTC" in page
    assert fetch("SELECT day FROM usage_day_model") == [{"day": date(2026, 11, 1)}]
    assert_books_balance()

    change_zones()
    many.acme.refresh_from_db()
    assert many.acme.time_zone == KOLKATA
    assert_books_balance()
    fold_all()
    assert fetch("SELECT day FROM usage_day_model") == [{"day": date(2026, 11, 2)}]
    assert "into the days of" not in client.get(address(many.acme)).content.decode()


def test_an_account_on_its_way_goes_nowhere_else(client, many):
    client.force_login(many.owner)
    save(client, many.acme, time_zone=KOLKATA)

    assert "is on its way to Asia/Kolkata already" in save(
        client, many.acme, time_zone="Asia/Tokyo"
    )
    assert ZoneChange.objects.get().time_zone == KOLKATA


def test_what_the_worker_may_not_move_stays_and_says_why(client, many):
    client.force_login(many.owner)
    save(client, many.acme, time_zone=KOLKATA)
    days = {"start_on": date(2026, 11, 1), "end_on": date(2026, 11, 2)}
    reprice.request(many.acme, **days, only_unpriced=False, by=None, now=NOW)

    change_zones()

    page = client.get(address(many.acme)).content.decode()
    assert "was not moved to Asia/Kolkata: A re-pricing of this account is at work" in page
    many.acme.refresh_from_db()
    assert many.acme.time_zone == "UTC"


def test_a_worker_that_dies_begins_again(client, many, monkeypatch):
    client.force_login(many.owner)
    save(client, many.acme, time_zone=KOLKATA)

    with monkeypatch.context() as dying:
        dying.setattr(recut, "on_recut", [lambda *_, **__: 1 / 0])
        with pytest.raises(ZeroDivisionError):
            change_zones()
    assert (
        "Being cut into the days of Asia/Kolkata" in client.get(address(many.acme)).content.decode()
    )

    change_zones()
    many.acme.refresh_from_db()
    assert many.acme.time_zone == KOLKATA
