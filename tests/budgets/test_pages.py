"""The budgets' pages: the list and its bars, a budget and its ledger, the form, the preview."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Member
from budgets import ledger
from budgets.models import Alert, Budget, BudgetChange, BudgetPeriod, Delivery, Hold
from tests.factories import native, post, small_price_book
from tests.people import People, make_people

pytestmark = pytest.mark.django_db

BUDGETS = "/admin/budgets/budget/"
NOBODY_YET = {"thresholds": "80,100", "recipients": "", "period": "month"}


@pytest.fixture
def people() -> People:
    small_price_book()
    return make_people()


@pytest.fixture
def budget(people: People) -> Budget:
    """$10 a month for research, of which nine requests have spent some cents."""
    return make(people, scope="workspace", workspace=people.research)


def make(people: People, **values) -> Budget:
    fields = {"account": people.acme, "name": "Team", "scope": "account", "limit": Decimal(10)}
    return ledger.open_budget(Budget(**fields | values), now=timezone.now())


def logged_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def record(people: People, **fields) -> None:
    now = timezone.now()
    row = native(**{"occurred_at": None, "workspace": "research"} | fields)
    post(people.acme, row, now=now)


def page_of(budget: Budget) -> str:
    return f"{BUDGETS}{budget.pk}/change/"


def text_of(response) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_the_list_says_by_word_and_sign_how_each_is_doing(people):
    record(people)  # $0.0035
    for name, limit, more in (
        ("fine", "1", {}),
        ("near", "0.004", {}),
        ("soft", "0.003", {}),
        ("shut", "0.003", {"hard": True}),
        ("open", None, {}),
        ("later", "0.003", {"in_force_from": "2999-01-01"}),
    ):
        make(people, name=name, limit=limit and Decimal(limit), **more)
    page = logged_in(people.owner).get(BUDGETS).content.decode()
    found = re.findall(r'data-level="([a-z ]+)".*?material-symbols-outlined[^>]*>(\w+)', page)
    assert sorted(set(found)) == [
        ("no limit", "all_inclusive"),
        ("not in force", "do_not_disturb_on"),
        ("ok", "check_circle"),
        ("over", "error"),
        ("paused", "pause_circle"),
        ("warned", "warning"),
    ]


def test_the_list_and_its_figures_are_one_query_however_many(people, django_assert_num_queries):
    client = logged_in(people.owner)
    for number in range(3):
        make(people, name=f"b{number}", limit=Decimal(number + 1))
    with django_assert_num_queries(11) as few:
        client.get(BUDGETS)
    asked = [q["sql"] for q in few.captured_queries if "now_part" in q["sql"]]
    assert len(asked) == 1
    for number in range(9):
        make(people, name=f"c{number}")
    with django_assert_num_queries(11):
        client.get(BUDGETS)


@pytest.mark.parametrize(("order", "names"), [("3", "bca"), ("-3", "acb")])
def test_the_list_is_sorted_by_consumption(people, order, names):
    record(people)
    for name, limit in (("a", "0.001"), ("b", "1"), ("c", "0.1")):
        make(people, name=name, limit=Decimal(limit))
    page = logged_in(people.owner).get(f"{BUDGETS}?o={order}")
    assert "".join(b.name for b in page.context["cl"].result_list) == names


def test_the_ledger_tells_why_a_threshold_was_told_and_why_not(people, budget):
    record(people, input_tokens=3_400_000)  # $8.50
    alert = Alert.objects.get()
    Delivery.objects.create(
        alert=alert, recipient="a@acme.test", next_attempt_at=timezone.now(), state="failed",
        attempts=12, last_error="550 no such mailbox",
    )  # fmt: skip
    page = text_of(logged_in(people.viewer).get(page_of(budget)))
    assert "reached with $8.50 of $10.00." in page
    assert "given up after 12 attempts: 550 no such mailbox" in page
    assert "Not reached: $1.50 to go until $10.00. What is held does not count." in page


def test_the_ledger_has_days_holds_and_changes(people, budget):
    record(people, input_tokens=1_000_000)  # $2.501
    period = BudgetPeriod.objects.get()
    now = timezone.now()
    Hold.objects.create(
        account=people.acme, workspace=people.research, request_id="under way", amount=Decimal(3),
        period_ids=[period.pk], created_at=now, expires_at=now + timedelta(minutes=5),
    )  # fmt: skip
    form = {"name": "Team", "limit": "20", **NOBODY_YET}
    client = logged_in(people.owner)
    assert client.post(page_of(budget), form).status_code == 302
    page = text_of(client.get(page_of(budget)))
    assert "under way $3.00" in page
    assert "olivia limit: $10.00 → $20.00" in page
    assert re.search(r"1 \$2\.50 \$2\.50 12\.5 %", page)


def test_a_raise_is_given_in_the_accounts_own_time(people, budget):
    people.acme.time_zone = "Asia/Kolkata"
    people.acme.save()
    form = {"name": "Team", "limit": "10", **NOBODY_YET}
    raised = {"raised_limit": "20", "raised_until_0": "2999-01-01", "raised_until_1": "00:00:00"}
    client = logged_in(people.owner)
    answer = client.post(page_of(budget), form | raised | {"raised_reason": "launch"})
    assert answer.status_code == 302
    budget.refresh_from_db()
    assert f"{budget.raised_until:%Y-%m-%d %H:%M}" == "2998-12-31 18:30"
    assert BudgetChange.objects.get().reason == "launch"
    assert "from $10.00 until 2999-01-01 00:00:00 : launch" in text_of(client.get(page_of(budget)))


def test_a_raise_that_is_over_before_it_began_is_refused(people, budget):
    form = {"name": "Team", "limit": "10", "raised_limit": "20", "raised_reason": "late"}
    when = {"raised_until_0": "2020-01-01", "raised_until_1": "00:00:00"}
    page = logged_in(people.owner).post(page_of(budget), form | NOBODY_YET | when)
    assert "This is over already." in text_of(page)


def test_a_budget_out_of_the_archive_sets_aside_what_is_under_way(people, budget):
    client = logged_in(people.owner)
    chosen = {"action": "archive_chosen", "_selected_action": budget.pk}
    client.post(BUDGETS, chosen)
    now = timezone.now()
    Hold.objects.create(
        account=people.acme, workspace=people.research, request_id="r", amount=Decimal(3),
        period_ids=[], created_at=now, expires_at=now + timedelta(minutes=5),
    )  # fmt: skip
    client.post(f"{BUDGETS}?archived=yes", chosen | {"action": "unarchive_chosen"})
    assert budget.periods.get().held == 3
    assert list(BudgetChange.objects.values_list("what", "after")) == [
        ("archived", "no"),
        ("archived", "yes"),
    ]


def test_the_page_has_only_the_field_of_its_scope(people, budget):
    form = logged_in(people.owner).get(page_of(budget)).context["adminform"]
    shown = [name for _, options in form.fieldsets for name in options["fields"]]
    assert "workspace" in shown
    assert {"project", "member", "api_key", "tell_member"}.isdisjoint(shown)
    member = Member.objects.create(account=people.acme, identifier="jane")
    form = logged_in(people.owner).get(page_of(make(people, scope="member", member=member)))
    shown = [n for _, options in form.context["adminform"].fieldsets for n in options["fields"]]
    assert {"member", "tell_member"} <= set(shown)


@pytest.mark.parametrize("who", ["outsider", "support_manager", "newcomer"])
def test_whose_budget_it_is_not_sees_neither_page_nor_preview(people, budget, who):
    client = logged_in(getattr(people, who))
    assert client.get(page_of(budget)).status_code in (302, 403, 404)
    answer = client.post(f"{BUDGETS}{budget.pk}/preview/", {"limit": "1"})
    assert answer.status_code in (302, 403, 404)


def test_who_may_only_look_sees_the_ledger_and_previews_nothing(people, budget):
    client = logged_in(people.viewer)
    page = client.get(page_of(budget))
    assert "Ledger" in text_of(page)
    assert 'id="tb-preview"' not in page.content.decode()
    answer = client.post(f"{BUDGETS}{budget.pk}/preview/", {"limit": "1"})
    assert answer.status_code == 403


def test_the_preview_of_a_new_budget_says_what_it_would_have_refused(people):
    record(people, input_tokens=1_000_000)
    form = {"account": people.acme.pk, "scope": "account", "limit": "1", **NOBODY_YET}
    client = logged_in(people.owner)
    page = text_of(client.post(f"{BUDGETS}preview/", form))
    assert "1 of 1 requests would have been refused , worth $2.50 of $2.50" in page
    assert not Budget.objects.exists()
    assert "Give a limit to look at." in text_of(
        client.post(f"{BUDGETS}preview/", form | {"limit": ""})
    )
    foreign = text_of(client.post(f"{BUDGETS}preview/", form | {"account": people.globex.pk}))
    assert "Account: Select a valid choice." in foreign


def test_an_alert_leads_to_its_budget_and_back(people, budget):
    record(people, input_tokens=3_400_000)
    alert = Alert.objects.get()
    client = logged_in(people.owner)
    assert (
        page_of(budget) in client.get(f"/admin/budgets/alert/{alert.pk}/change/").content.decode()
    )
    assert (
        f"/admin/budgets/alert/{alert.pk}/change/" in client.get(page_of(budget)).content.decode()
    )


def test_it_says_when_the_limit_is_likely_reached_and_in_what_range(people):
    now = timezone.now()
    for back in range(1, 21):
        record(people, input_tokens=1_000_000, occurred_at=(now - timedelta(back)).isoformat())
    budget = make(people, period="total", limit=Decimal(100))
    answer = logged_in(people.viewer).get(page_of(budget))
    day = r"\w{3} \d{4}-\d\d-\d\d"
    sentence = rf"The limit is likely reached on {day}(: {day} at the earliest)?, by {day}\."
    assert re.search(sentence, text_of(answer))
    drawn = answer.context["overview"]["chart"]
    *_, (low, expected, high) = zip(drawn["low"], drawn["expected"], drawn["high"], strict=True)
    assert low < expected < high < 50


def test_the_form_shows_a_limit_with_its_cents_and_no_more_zeros(people):
    client = logged_in(people.owner)
    for limit, shown in (("527", "527.00"), ("0.125", "0.125"), ("0", "0.00")):
        page = client.get(page_of(make(people, name=shown, limit=Decimal(limit))))
        assert page.context["adminform"].form["limit"].value() == shown
        assert f'value="{shown}"' in page.content.decode()
