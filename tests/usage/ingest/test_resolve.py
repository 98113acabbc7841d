"""Whom a request belongs to and what it costs, as it goes into the log."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts import directory
from accounts.models import ApiKey, Member, Project, Workspace
from accounts.tokens import issue
from tests.factories import (
    NOW,
    log,
    make_price,
    make_workspace,
    native,
    post,
    save_prices,
    small_price_book,
)
from usage.ingest import resolve
from usage.ingest.resolve import MODELS, ceiling_units, units_of
from usage.models import LlmModel


def recorded(account, token=None, **fields):
    answer = post(account, native(**fields), token=token)
    assert answer.rejected == []
    return log()[-1]


def refused(account, token=None, **fields):
    (rejected,) = post(account, native(**fields), token=token).rejected
    return rejected.error


def narrowed(account, *workspaces):
    return issue(account=account, name="test", scopes=["ingest"], workspaces=workspaces)[0]


def test_who_names_nothing_lands_in_the_default_workspace(account):
    row = recorded(account)

    assert row["workspace"] == "default"
    assert (row["project"], row["member"], row["api_key"]) == (None, None, None)


def test_all_names_are_made_on_first_sight(account):
    row = recorded(account, workspace="team", project="x", member="jane", api_key="key-1")

    assert [row[name] for name in ("workspace", "project", "member", "api_key")] == [
        "team",
        "x",
        "jane",
        "key-1",
    ]


def test_a_key_says_workspace_member_and_project(account, workspace):
    member = Member.objects.create(account=account, identifier="jane")
    project = Project.objects.create(workspace=workspace, tag="x")
    ApiKey.objects.create(
        workspace=workspace, identifier="key-1", member=member, default_project=project
    )

    row = recorded(account, api_key="key-1")

    assert [row[name] for name in ("workspace", "project", "member", "api_key")] == [
        "research",
        "x",
        "jane",
        "key-1",
    ]


def test_what_the_row_names_counts_before_what_the_key_says(account, workspace):
    member = Member.objects.create(account=account, identifier="jane")
    ApiKey.objects.create(workspace=workspace, identifier="key-1", member=member)

    row = recorded(account, api_key="key-1", workspace="support", project="y", member="joe")

    assert [row[name] for name in ("workspace", "project", "member")] == ["support", "y", "joe"]
    assert ApiKey.objects.filter(identifier="key-1").count() == 2


def test_a_secret_is_never_kept(account):
    row = recorded(account, api_key="sk-proj-0123456789abcdefghij")

    assert len(row["api_key"]) == 64
    assert not ApiKey.objects.filter(identifier__startswith="sk-").exists()


def test_a_token_of_one_workspace_lands_there(account, workspace, colleagues_workspace):
    token = narrowed(account, workspace)

    assert recorded(account, token)["workspace"] == "research"


def test_a_token_may_name_its_own_workspaces_only(account, workspace, colleagues_workspace):
    token = narrowed(account, workspace)

    assert recorded(account, token, workspace="research")["workspace"] == "research"
    for ref in ("support", "brand-new"):
        assert refused(account, token, workspace=ref).field == "workspace"
    assert not Workspace.objects.filter(slug="brand-new").exists()


def test_a_token_of_two_workspaces_must_name_one(account, workspace, colleagues_workspace):
    token = narrowed(account, workspace, colleagues_workspace)

    assert refused(account, token).field == "workspace"
    assert recorded(account, token, workspace="support")["workspace"] == "support"


def test_a_colleagues_key_leads_nobody_out_of_his_workspaces(
    account, workspace, colleagues_workspace
):
    ApiKey.objects.create(workspace=colleagues_workspace, identifier="key-1")

    assert (
        recorded(account, narrowed(account, workspace), api_key="key-1")["workspace"] == "research"
    )


def test_an_outsiders_names_lead_nowhere(account, outsiders_workspace):
    ApiKey.objects.create(workspace=outsiders_workspace, identifier="key-1")
    Workspace.objects.filter(pk=outsiders_workspace.pk).update(external_id="team-1")

    for fields in ({"api_key": "key-1"}, {"workspace": "research"}, {"workspace": "team-1"}):
        recorded(account, **fields)

    assert {Workspace.objects.get(pk=row["workspace_id"]).account_id for row in log()} == {
        account.pk
    }


def test_a_cost_is_computed_and_a_claim_kept_beside_it(account):
    small_price_book()

    row = recorded(account, cost=99)

    # 1,000 * $2.50 + 100 * $10 a million
    assert (row["cost"], row["reported_cost"]) == (Decimal("0.0035"), 99)


def test_input_is_what_was_neither_read_nor_written(account):
    row = recorded(
        account,
        input_tokens=1000,
        cache_read_tokens=300,
        cache_write_tokens=200,
        cache_write_1h_tokens=100,
    )

    assert [row[name] for name in ("input", "cache_read", "cache_write_5m", "cache_write_1h")] == [
        400,
        300,
        200,
        100,
    ]


def test_an_unknown_price_is_null_with_a_ceiling(account):
    row = recorded(account, model="brand-new", cost="0.5")

    # 1,000 * $15 + 100 * $75 a million, the account's ceilings
    assert (row["cost"], row["ceiling_cost"]) == (None, Decimal("0.0225"))
    assert row["reported_cost"] == Decimal("0.5")


def test_a_request_that_used_nothing_costs_nothing(account):
    row = recorded(account, model="brand-new", input_tokens=0, output_tokens=0, status=429)

    assert (row["cost"], row["ceiling_cost"]) == (0, None)


@pytest.mark.parametrize(
    ("fields", "cost", "ceiling"),
    [
        ({"input_tokens": None, "output_tokens": None}, None, Decimal(0)),
        ({"input_tokens": 0, "output_tokens": None}, Decimal(0), None),
        ({"input_tokens": None, "output_tokens": None, "status": 429}, Decimal(0), None),
        ({"input_tokens": None, "output_tokens": None, "meters": {}}, None, Decimal(0)),
    ],
    ids=["nothing is said", "zero is said", "it failed", "no meters"],
)
def test_what_nobody_measured_is_unknown_and_not_zero(account, fields, cost, ceiling):
    small_price_book()

    row = recorded(account, **fields)

    assert (row["cost"], row["ceiling_cost"]) == (cost, ceiling)


def test_a_contract_rate_is_its_accounts_own(account, outsiders_workspace):
    small_price_book()
    save_prices(make_price("input", "1", account=account))

    mine, theirs = recorded(account), None
    post(outsiders_workspace.account, native(request_id="z"))
    theirs = log()[-1]

    assert (mine["cost"], theirs["cost"]) == (Decimal("0.002"), Decimal("0.0035"))


def test_a_price_holds_when_the_request_occurred(account):
    small_price_book()
    save_prices(make_price("input", "5", valid_from=NOW))

    assert recorded(account, request_id="1")["cost"] == Decimal("0.006")
    before = recorded(account, request_id="2", occurred_at="2026-11-19T00:00:00Z")
    assert before["cost"] == Decimal("0.0035")


def test_the_largest_request_is_counted_to_the_token(account):
    small_price_book()
    most = 2_000_000_000

    row = recorded(account, input_tokens=most, output_tokens=most, meters={"web_search": 1_000_000})

    assert (row["input"], row["output"]) == (most, most)
    assert row["cost"] == 5000 + 20_000 + 10_000


@pytest.mark.parametrize("price", ["1", "999999999999"])
def test_a_price_that_cannot_be_right_costs_the_neighbours_nothing(account, price):
    save_prices(
        make_price("input", price, per=1, model="odd"), make_price("output", "0", model="odd")
    )
    small_price_book()

    answer = post(account, native(model="odd", input_tokens=1_000_000_000), native())

    assert answer.accepted == 1
    assert "costs more than $100,000,000" in answer.rejected[0].error.message


def test_a_ceiling_that_cannot_be_right_costs_the_neighbours_nothing(account):
    account.ceiling_input_per_million = Decimal("99999999.9999")
    small_price_book()

    answer = post(account, native(model="odd", input_tokens=2_000_000_000), native())

    assert (answer.accepted, answer.rejected[0].error.field) == (1, "model")


@pytest.mark.parametrize(
    ("dollars", "units"),
    [
        ("0", 0),
        ("1e-10", 1),
        ("0.00000000005", 1),
        ("0.000000000049999", 0),
        ("1e-999999999", 0),
        ("0e999999999", 0),
        ("99999999.9999999999", 999_999_999_999_999_999),
    ],
)
def test_a_claim_is_rounded_half_up_at_ten_places(dollars, units):
    assert units_of(Decimal(dollars)) == units


def test_a_ceiling_is_counted_without_floats(account):
    account.ceiling_input_per_million = Decimal("0.0001")
    account.ceiling_output_per_million = Decimal("99999999.9999")

    assert ceiling_units(account, 1, 0) == 1
    assert ceiling_units(account, 0, 1) == 999_999_999_999


def test_names_are_canonical_and_what_was_asked_for_stands_beside(account):
    row = recorded(account, model="openai/gpt-4o", requested_model="fast", provider="OpenAI")

    assert (row["model"], row["requested_model"], row["provider"]) == ("gpt-4o", "fast", "openai")


def test_a_name_is_asked_for_once(account, clock, django_assert_num_queries):
    MODELS.id_of("gpt-4o")

    with django_assert_num_queries(0):
        MODELS.id_of("gpt-4o")
    resolve.forget()
    assert MODELS.id_of("gpt-4o") == LlmModel.objects.get().pk


@pytest.mark.parametrize("name", ["💸", "日本", "a'b\"c\\d", "A", "a", "\u202egnp", " ", "x" * 200])
def test_names_of_any_kind_are_kept(account, name):
    row = recorded(account, model=name, project=name, member=name, endpoint=name)

    assert {row[field] for field in ("model", "project", "member", "endpoint")} == {name}


def test_names_that_differ_in_case_are_different(account):
    recorded(account, endpoint="/V1")
    recorded(account, endpoint="/v1")

    assert {row["endpoint"] for row in log()} == {"/V1", "/v1"}


def test_a_disabled_key_still_counts(account):
    workspace = make_workspace(account)
    ApiKey.objects.create(workspace=workspace, identifier="key-1", disabled_at=NOW)

    assert recorded(account, api_key="key-1")["api_key"] == "key-1"


@pytest.mark.parametrize("field", ["workspace", "project", "member", "api_key"])
def test_past_so_many_names_of_a_kind_a_row_with_a_new_one_is_set_aside(
    account, monkeypatch, field
):
    for most in ("MOST_NAMES", "MOST_WORKSPACES"):
        monkeypatch.setattr(directory, most, 2)
    known = {"workspace": "a"}
    for name in ("a", "b"):
        recorded(account, **known | {field: name})
    directory.forget()

    assert refused(account, **known | {field: "c"}).field == field
    assert recorded(account, **known | {field: "b"})[field] == "b"


def test_an_account_makes_only_so_many_new_names_that_all_accounts_share_a_day(
    account, monkeypatch
):
    monkeypatch.setattr(resolve, "MOST_NEW_A_DAY", 3)
    monkeypatch.setattr(resolve, "new_names", resolve.NewNames())
    recorded(account, model="one", provider="two", endpoint="/three")

    assert refused(account, model="four", provider="two").field == "model"
    assert recorded(account, model="one", provider="two")["model"] == "one"
    tomorrow = NOW + timedelta(days=1)
    assert post(account, native(model="four", provider="two"), now=tomorrow).rejected == []
