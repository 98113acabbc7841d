"""Files of prices: what comes in as drafts, what is refused in words, and what goes out."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import tablib
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import CacheVersion
from tests.factories import NOW, make_price, save_prices, small_price_book
from tests.people import People, make_people
from usage.models import Price, PricedModel
from usage.pricing.ratecard import PRICES_VERSION
from usage.resources import PricedModelResource, PriceResource

PRICES = "/admin/usage/price/"
HEADERS = (
    *("provider", "model", "account", "meter", "unit_price", "per", "from_input_tokens"),
    *("service_tier", "valid_from", "valid_to", "source"),
)
ROW = {
    "provider": "openai",
    "model": "gpt-4o",
    "account": "",
    "meter": "input",
    "unit_price": "3.5",
    "per": "1000000",
    "from_input_tokens": "0",
    "service_tier": "",
    "valid_from": "2026-12-01",
    "valid_to": "",
    "source": "letter of 2026-11-20",
}


@pytest.fixture
def people(db: None) -> People:
    small_price_book()
    return make_people()


def file_of(*rows: dict[str, object]) -> tablib.Dataset:
    return tablib.Dataset(
        *[[(ROW | row)[name] for name in HEADERS] for row in rows], headers=HEADERS
    )


def bring(*rows: dict[str, object], lists: bool = True, accounts: tuple[int, ...] = ()):
    return PriceResource(lists=lists, accounts=list(accounts)).import_data(file_of(*rows))


def drafts() -> list[Price]:
    return list(Price.objects.drafts().order_by("pk"))


def problems(result) -> dict[str, str]:
    """Field -> what is wrong with it, of the one invalid row."""
    [row] = result.invalid_rows
    return {name: " ".join(found) for name, found in row.field_specific_errors.items()}


def test_a_row_becomes_a_draft(people):
    bring({"service_tier": "Batch", "from_input_tokens": "200000", "per": "thousand"})

    [draft] = drafts()
    assert (str(draft.priced_model), draft.account, draft.meter) == ("openai gpt-4o", None, "input")
    assert (draft.unit_price, draft.per, draft.from_input_tokens) == (Decimal("3.5"), 1000, 200_000)
    assert (draft.service_tier, draft.valid_from) == ("batch", datetime(2026, 12, 1, tzinfo=UTC))
    assert (draft.valid_to, draft.source) == (None, "letter of 2026-11-20")


def test_the_same_file_twice_makes_no_second_draft(people):
    bring({})
    result = bring({})

    assert len(drafts()) == 1
    assert result.totals["skip"] == 1


def test_a_draft_that_begins_at_the_same_time_is_changed(people):
    bring({})
    bring({"unit_price": "4"})

    assert [draft.unit_price for draft in drafts()] == [4]


def test_approved_prices_are_never_changed_by_a_file(people):
    bring({"unit_price": "9", "valid_from": "2020-01-01"})

    assert [draft.unit_price for draft in drafts()] == [9]
    assert Price.objects.approved().get(meter="input").unit_price == Decimal("2.5")


def test_what_is_approved_already_is_skipped(people):
    result = bring({"unit_price": "0.0025", "per": "1000", "valid_from": "2020-01-01"})

    assert (drafts(), result.totals["skip"]) == ([], 1)


@pytest.mark.parametrize(
    ("cell", "price"),
    [
        (0.1, "0.1"),
        (1e-07, "0.0000001"),
        (3, "3"),
        (2.5, "2.5"),
        ("0.000000000001", "0.000000000001"),
    ],
)
def test_numbers_of_spreadsheets_are_exact(people, cell, price):
    bring({"unit_price": cell})

    assert drafts()[0].unit_price == Decimal(price)


def test_spreadsheets_give_whole_numbers_and_days_of_their_own_kind(people):
    bring({"per": 1000000.0, "from_input_tokens": 200000.0, "valid_from": datetime(2026, 12, 1)})
    bring({"valid_from": date(2027, 1, 1)})

    assert [(d.from_input_tokens, d.valid_from) for d in drafts()] == [
        (200_000, datetime(2026, 12, 1, tzinfo=UTC)),
        (0, datetime(2027, 1, 1, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("cells", "field", "words"),
    [
        ({"model": "gpt-99"}, "model", "Create it first, under Priced models"),
        ({"provider": ""}, "model", "Name the provider"),
        ({"account": "nobody"}, "account", "no account 'nobody'"),
        ({"meter": "inptu"}, "meter", "did you mean input"),
        ({"unit_price": "2,50"}, "unit_price", "write US dollars such as 2.50"),
        ({"unit_price": ""}, "unit_price", "write US dollars such as 2.50"),
        ({"unit_price": "-1"}, "unit_price", "0 or more"),
        ({"unit_price": "NaN"}, "unit_price", "0 or more"),
        ({"unit_price": 0.1 + 0.2}, "unit_price", "more than 12 decimals"),
        ({"per": "12"}, "per", "1, 1000 or 1000000"),
        ({"from_input_tokens": "many"}, "from_input_tokens", "whole number of tokens"),
        ({"valid_from": ""}, "valid_from", "2026-01-31"),
        ({"valid_from": "1.12.2026"}, "valid_from", "2026-01-31"),
        ({"valid_to": "2026-12-01"}, "valid_to", "ends after it begins"),
        ({"source": "x" * 101}, "source", "at most 100"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_in_words(people, cells, field, words):
    result = bring(cells, {"meter": "output"})

    assert words in problems(result)[field]


def test_every_problem_of_a_row_is_said_at_once(people):
    assert set(problems(bring({"meter": "x", "per": "7", "model": "y"}))) == {
        "meter",
        "per",
        "model",
    }


def test_two_rows_about_the_same_price_are_not_both_taken(people):
    result = bring({}, {"unit_price": "4"})

    assert "Keep one of them." in problems(result)["valid_from"]


def test_a_column_that_is_misspelt_is_refused(people):
    rows = file_of({})
    rows.headers = [name.replace("account", "acount") for name in rows.headers]

    result = PriceResource(lists=True, accounts=[]).import_data(rows)

    assert "There is no such column" in problems(result)["acount"]


def test_list_prices_are_for_platform_staff(people):
    result = bring({}, lists=False, accounts=(people.acme.pk,))

    assert "kept by platform staff" in problems(result)["account"]


def test_a_file_without_the_column_is_of_list_prices_too(people):
    names = [name for name in HEADERS if name != "account"]
    without = tablib.Dataset([ROW[name] for name in names], headers=names)

    result = PriceResource(lists=False, accounts=[people.acme.pk]).import_data(without)

    assert "kept by platform staff" in problems(result)["account"]


def test_contract_rates_are_brought_for_ones_own_accounts(people):
    own = bring({"account": "acme"}, lists=False, accounts=(people.acme.pk,))
    other = bring({"account": "globex"}, lists=False, accounts=(people.acme.pk,))

    assert own.totals["new"] == 1
    assert "no account 'globex'" in problems(other)["account"]
    assert [draft.account for draft in drafts()] == [people.acme]


def exported(client, user) -> tablib.Dataset:
    client.force_login(user)
    given = {"format": "0", "resource": ""} | {
        f"priceresource_{n}": "on" for n in (*HEADERS, "status")
    }
    answer = client.post(f"{PRICES}export/", given)
    return tablib.Dataset().load(answer.content.decode(), format="csv")


def test_what_went_out_comes_in_again_and_says_nothing_new(client, people):
    save_prices(
        make_price("input", "1", provider="cloudflare", model="@cf/meta/llama", per=1000),
        make_price("input", "0.000000000001", account=people.acme, valid_from=NOW),
    )
    taken = exported(client, people.staff)

    result = PriceResource(lists=True, accounts=[people.acme.pk]).import_data(taken)

    assert len(taken) == 6
    assert "'@cf/meta/llama" in taken["model"]
    assert (result.totals["skip"], drafts(), result.invalid_rows) == (6, [], [])


def test_everybody_takes_along_what_they_may(client, people):
    save_prices(
        make_price("input", "1", account=people.acme),
        make_price("input", "2", account=people.globex),
    )

    owners = {
        who: set(exported(client, getattr(people, who))["account"])
        for who in ("accountant", "outsider")
    }

    assert owners == {"accountant": {"", "acme"}, "outsider": {"", "globex"}}


@pytest.mark.parametrize("who", ["viewer", "support_manager", "newcomer"])
def test_a_viewer_moves_no_files(client, people, who):
    client.force_login(getattr(people, who))

    assert {client.get(f"{PRICES}{what}/").status_code for what in ("import", "export")} == {403}


def test_a_spreadsheet_is_shown_before_it_is_brought(client, people):
    client.force_login(people.accountant)
    sheet = io.BytesIO(file_of({"account": "acme", "unit_price": 0.15}).export("xlsx"))
    upload = SimpleUploadedFile("prices.xlsx", sheet.read())

    preview = client.post(
        f"{PRICES}import/", {"format": "1", "resource": "", "import_file": upload}
    )
    before = len(drafts())
    confirm = {f.name: f.value() for f in preview.context["confirm_form"]}
    answer = client.post(f"{PRICES}process_import/", confirm, follow=True)

    assert "/admin/prices/review/" in str(list(answer.context["messages"])[-1])
    assert before == 0
    assert [draft.unit_price for draft in drafts()] == [Decimal("0.15")]


def test_a_file_of_thousands_takes_few_queries(people, django_assert_max_num_queries):
    models = PricedModel.objects.bulk_create(
        PricedModel(provider="many", name=f"m{n}", pattern="^x$") for n in range(1000)
    )
    rows = [{"provider": "many", "model": model.name} for model in models]

    with django_assert_max_num_queries(20):
        bring(*rows)

    assert len(drafts()) == 1000


def test_a_file_of_models_is_checked_like_the_form(client, people):
    client.force_login(people.staff)
    rows = 'provider,name,pattern,further_names\nx,good,^good$,"a,b"\nx,bad,(x+)+,\n'
    upload = SimpleUploadedFile("models.csv", rows.encode())

    preview = client.post(
        "/admin/usage/pricedmodel/import/", {"format": "0", "resource": "", "import_file": upload}
    )

    [row] = preview.context["result"].invalid_rows
    assert "for ever" in str(row.field_specific_errors["pattern"])


def test_a_file_of_models_reaches_every_process(people):
    rows = tablib.Dataset(
        ("Bedrock", "n", "^n$", "a,b"), headers=("provider", "name", "pattern", "further_names")
    )

    PricedModelResource().import_data(rows)

    made = PricedModel.objects.get(name="n")
    assert (made.provider, made.further_names) == ("aws", ["a", "b"])
    assert CacheVersion.objects.get(name=PRICES_VERSION).version == 1
