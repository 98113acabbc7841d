"""Re-pricing in the admin: who may, what the pages say, and what stays on record."""

from datetime import date, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Account
from tests.factories import (
    log,
    make_price,
    make_role,
    make_user,
    native,
    post,
    save_prices,
    small_price_book,
)
from tests.people import People, make_people
from tests.usage.pricing.repricings import new_model_prices, worked
from usage.models import LlmModel, Price, Repricing

LIST, NEW = "/admin/usage/repricing/", "/admin/usage/repricing/new/"
MOST_QUERIES = 25

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> People:
    """Two requests of Acme's waited for a price that is approved by now."""
    small_price_book()
    people = make_people()
    for model in ("brand-new", "brand-new", "gpt-4o"):
        row = native(model=model, workspace="research", occurred_at=timezone.now().isoformat())
        post(people.acme, row, now=timezone.now())
    new_model_prices()
    return people


def asked(client, account="acme", **more):
    """What the form sends as it is offered, for the last days."""
    today = timezone.now().date()
    form = {"account": account, "which": "unpriced", "first": today - timedelta(3)}
    return client.post(NEW, form | {"through": today + timedelta(1)} | more)


def url_of(repricing, act="change"):
    return f"{LIST}{repricing.pk}/{act}/"


@pytest.fixture
def previewed(client, people) -> Repricing:
    client.force_login(people.accountant)
    asked(client)
    return worked(Repricing.objects.get())


def test_from_the_form_to_the_record(client, people):
    client.force_login(people.accountant)

    made = asked(client)
    repricing = Repricing.objects.get()
    assert made.url == url_of(repricing)
    assert "waiting for the worker" in client.get(made.url).content.decode()
    worked(repricing)
    shown = client.get(made.url).content.decode()
    client.post(url_of(repricing, "apply"), {"reason": "price came late"})
    worked(repricing)
    record = client.get(made.url).content.decode()

    assert "Apply to 2 requests" in shown
    assert "$0.0088" in shown
    assert "price came late" in record
    assert [row["cost"] for row in log() if row["model"] == "brand-new"] == [Decimal("0.0044")] * 2
    assert repricing.applied_by == people.accountant


def test_the_history_says_who_did_what(client, people, previewed):
    client.force_login(people.owner)
    client.post(url_of(previewed, "apply"), {"reason": "price came late"})
    worked(previewed)

    entries = LogEntry.objects.order_by("pk").values_list("user__username", "change_message")

    assert list(entries) == [
        ("amina", "Asked for a preview."),
        ("olivia", "Applied: price came late"),
        ("olivia", "Done: 2 of 2 requests have another cost, $0.00 became $0.0088."),
    ]


@pytest.mark.parametrize(
    ("who", "statuses"),
    [
        ("owner", (200, 200, 200, 302)),
        ("accountant", (200, 200, 200, 302)),
        ("staff", (200, 200, 200, 302)),
        ("manager", (403, 403, 403, 403)),
        ("viewer", (403, 403, 403, 403)),
        ("newcomer", (403, 403, 403, 403)),
        ("outsider", (200, 200, 404, 404)),
    ],
)
def test_who_keeps_the_accounts_prices_may_and_nobody_else(
    client, people, previewed, who, statuses
):
    client.force_login(getattr(people, who))

    pages = client.get(LIST), client.get(NEW), client.get(url_of(previewed))
    acted = client.post(url_of(previewed, "apply"), {"reason": "because"})

    assert (*(page.status_code for page in pages), acted.status_code) == statuses
    previewed.refresh_from_db()
    assert previewed.is_applied == (statuses[3] == 302)


def test_an_accountant_of_one_workspace_may_not(client, people, previewed):
    sam = make_user("sam")
    make_role(sam, "accountant", people.acme, people.research)
    client.force_login(sam)

    assert [client.get(url).status_code for url in (LIST, NEW, url_of(previewed))] == [403] * 3


def test_another_account_is_neither_offered_nor_taken(client, people):
    client.force_login(people.outsider)

    refused = asked(client, account="acme")
    offered = client.get(f"{NEW}?account=acme")

    assert "account" in refused.context["form"].errors
    assert [account.slug for account in offered.context["accounts"]] == ["globex"]
    assert "brand-new" not in offered.content.decode()
    assert not Repricing.objects.exists()


def test_workspaces_of_another_account_are_not_taken(client, people):
    client.force_login(people.accountant)

    refused = asked(client, workspaces=[people.launch.pk])

    assert "workspaces" in refused.context["form"].errors


@pytest.mark.parametrize("act", ["apply", "cancel", "resume"])
def test_a_look_at_an_act_does_nothing(client, previewed, act):
    assert client.get(url_of(previewed, act)).status_code == 302
    previewed.refresh_from_db()
    assert previewed.state == Repricing.State.PREVIEWED


def test_it_is_never_edited_nor_deleted(client, people, previewed):
    client.force_login(people.staff)

    deleted = client.post(url_of(previewed, "delete"), {"post": "yes"})
    client.post(url_of(previewed), {"state": "done", "reason": "mine"})

    previewed.refresh_from_db()
    assert deleted.status_code == 403
    assert (previewed.state, previewed.reason) == ("previewed", "")


def test_without_a_reason_nothing_is_applied(client, previewed):
    answer = client.post(url_of(previewed, "apply"), {"reason": " "}, follow=True)

    previewed.refresh_from_db()
    assert "Say why" in answer.content.decode()
    assert previewed.state == Repricing.State.PREVIEWED


def test_closed_books_are_said_and_not_offered(client, people):
    today = timezone.now().date()
    Account.objects.filter(pk=people.acme.pk).update(books_closed_until=today)
    client.force_login(people.accountant)

    refused = asked(client)

    assert f"closed before {today}" in refused.content.decode()
    assert client.get(NEW).context["shown"]["first"] == f"{today}"
    assert not Repricing.objects.exists()


def test_a_link_offers_its_account_and_model(client, people):
    client.force_login(people.staff)

    page = client.get(f"{NEW}?account=acme&model=gpt-4o")

    assert page.context["account"] == people.acme
    assert [row["model"] for row in page.context["models"] if row["chosen"]] == ["gpt-4o"]


def test_a_link_offers_a_model_that_the_account_has_not_used_lately(client, people):
    long_ago = "2026-01-15T12:00:00Z"
    post(people.acme, native(model="of-last-year", occurred_at=long_ago), now=timezone.now())
    client.force_login(people.accountant)

    page = client.get(f"{NEW}?account=acme&model=of-last-year")

    assert page.status_code == 200
    assert [row["model"] for row in page.context["models"] if row["chosen"]] == ["of-last-year"]


def test_the_last_day_that_there_is_is_refused_in_words(client, people):
    client.force_login(people.accountant)

    page = asked(client, through="9999-12-31")

    assert page.status_code == 200
    assert "Name an earlier day." in page.content.decode()


def test_a_price_offers_what_it_touches(client, people):
    price = Price.objects.get(meter="cache_read")
    Price.objects.filter(pk=price.pk).update(valid_from=timezone.now() - timedelta(5))
    client.force_login(people.accountant)

    page = client.get(f"{NEW}?price={price.pk}")

    assert [row["model"] for row in page.context["models"] if row["chosen"]] == ["gpt-4o"]
    shown = page.context["shown"]
    assert shown["which"] == "all"
    assert date.fromisoformat(shown["first"]) == timezone.now().date() - timedelta(6)


def test_a_foreign_contract_rate_offers_nothing(client, people):
    save_prices(make_price("input", "1", account=people.acme))
    price = Price.objects.get(account=people.acme)
    client.force_login(people.outsider)

    page = client.get(f"{NEW}?price={price.pk}")

    assert (page.status_code, page.context["account"].slug) == (200, "globex")
    assert page.context["shown"]["which"] == "unpriced"


def test_the_same_again_offers_the_same(client, people):
    model = LlmModel.objects.get(name="brand-new")
    client.force_login(people.accountant)
    asked(client, models=[model.pk], workspaces=[people.research.pk], which="all", reason="late")
    made = Repricing.objects.get()

    page = client.get(f"{NEW}?again={made.pk}")

    assert [row["model"] for row in page.context["models"] if row["chosen"]] == ["brand-new"]
    assert page.context["chosen_workspaces"] == {str(people.research.pk)}
    assert page.context["shown"]["first"] == str(made.start_on)
    assert (page.context["shown"]["which"], page.context["shown"]["reason"]) == ("all", "late")


@pytest.mark.parametrize(
    "query", ["again=x", "price=99999999999999", "account=%00", "model=%00", "first=x"]
)
def test_odd_addresses_do_no_harm(client, people, query):
    client.force_login(people.accountant)

    assert client.get(f"{NEW}?{query}").status_code == 200


def test_the_pages_ask_few_questions(client, people, previewed, django_assert_max_num_queries):
    for _ in range(5):
        asked(client)
    assert asked(client, account="acme\x00").status_code == 200

    for url in (LIST, NEW, url_of(previewed)):
        with django_assert_max_num_queries(MOST_QUERIES):
            client.get(url)


def test_a_failed_one_is_resumed(client, people, previewed):
    client.post(url_of(previewed, "apply"), {"reason": "late"})
    Repricing.objects.update(state="failed", error="OSError: the disk is full")
    assert "the disk is full" in client.get(url_of(previewed)).content.decode()

    client.post(url_of(previewed, "resume"))

    assert worked(previewed).state == Repricing.State.DONE


def test_a_discarded_preview_stays_on_record(client, people, previewed):
    client.post(url_of(previewed, "cancel"))
    client.post(url_of(previewed, "apply"), {"reason": "too late"})

    assert worked(previewed).state == Repricing.State.CANCELLED
    assert [row["cost"] for row in log() if row["model"] == "brand-new"] == [None, None]


# The books are closed in the account's form.


def close_books(client, account, **more):
    form = {"name": account.name, "time_zone": account.time_zone, "ceiling_input_per_million": "15"}
    form |= {"ceiling_output_per_million": "75", "books_closed_until": "2026-11-01"}
    client.post(f"/admin/accounts/account/{account.pk}/change/", form | more)
    account.refresh_from_db()
    return account.books_closed_until


def test_who_reopens_the_books_is_found_with_the_days(client, people):
    client.force_login(people.owner)
    close_books(client, people.acme)
    close_books(client, people.acme, books_closed_until="")

    entries = LogEntry.objects.order_by("action_time", "pk")
    closed, reopened = [entry.get_change_message() for entry in entries]

    assert "open → 2026-11-01" in closed
    assert "2026-11-01 → open" in reopened


@pytest.mark.parametrize(
    ("who", "may"), [("owner", True), ("accountant", True), ("manager", False), ("viewer", False)]
)
def test_books_are_closed_by_who_keeps_prices(client, people, who, may):
    client.force_login(getattr(people, who))

    assert close_books(client, people.acme) == (date(2026, 11, 1) if may else None)


def test_an_accountant_changes_nothing_else_of_the_account(client, people):
    client.force_login(people.accountant)

    close_books(client, people.acme, name="Mine", ceiling_input_per_million="0")
    client.post(
        f"/admin/accounts/account/{people.acme.pk}/change/", {"accounts_account_archive_this": ""}
    )
    action = {"action": "archive_chosen", "_selected_action": people.acme.pk}
    client.post("/admin/accounts/account/", action)

    people.acme.refresh_from_db()
    assert (people.acme.name, people.acme.ceiling_input_per_million) == ("Acme", 15)
    assert people.acme.archived_at is None


# The command.


def command(*arguments):
    out = StringIO()
    today = timezone.now().date()
    period = (f"--from={today - timedelta(3)}", f"--to={today + timedelta(2)}")
    call_command("reprice", "--account=acme", *period, *arguments, stdout=out)
    return out.getvalue()


def test_the_command_previews_and_applies(people):
    preview = command("--model=brand-new")
    assert "brand-new: 2 of 2 requests, $0.00 -> $0.0088 (+$0.0088), 0 unpriced" in preview
    assert "nothing was changed" in preview

    assert "Applied" in command("--all", "--apply", "--reason=late")

    assert all(row["cost"] is not None for row in log())


def test_the_command_says_what_is_wrong(people):
    for arguments, why in (
        (["--model=never-seen"], "No request was ever recorded"),
        (["--apply"], "Say why"),
    ):
        with pytest.raises(CommandError, match=why):
            command(*arguments)


def test_the_names_of_another_accounts_models_are_neither_told_nor_taken(client, people):
    post(people.acme, native(model="acme-secret"), now=timezone.now())
    other = LlmModel.objects.create(name="globex-secret")
    client.force_login(people.owner)

    offered = client.get(f"{NEW}?account=acme&model=globex-secret").content.decode()
    form = {"account": "acme", "first": "2026-11-01", "through": "2026-11-20", "which": "all"}
    answer = client.post(NEW, form | {"models": [other.pk]}).content.decode()

    assert "globex-secret" not in offered.replace("model=globex-secret", "")
    assert "globex-secret" not in answer
    assert not Repricing.objects.exists()
