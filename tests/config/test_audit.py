from datetime import timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts import actors, tokens
from accounts.models import AccessToken, Client, User, Workspace
from budgets.models import Budget
from config import audit
from config.models import AuditEntry
from tests.factories import bearer, make_price, native, post, save_prices
from tests.people import People, make_people
from usage.models import Price

OURS = {"accounts", "usage", "budgets", "exports", "config"}


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def entries(**filters):
    return list(AuditEntry.objects.filter(**filters).order_by("id"))


def last(**filters):
    return entries(**filters)[-1]


def test_every_model_is_audited_or_says_why_not():
    managed = {
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and model._meta.app_label in OURS
    }

    assert managed - set(audit.AUDITED) - set(audit.NOT_AUDITED) == set()
    assert set(audit.AUDITED) | set(audit.NOT_AUDITED) == managed


def test_every_audited_table_has_its_trigger(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'audited'")
        attached = {table for (table,) in cursor.fetchall()}

    assert attached == set(audit.audited_tables())


def test_what_is_new_is_noted_whole(people):
    client = Client.objects.create(account=people.acme, name="Initech", slug="initech")

    entry = last(table_name="accounts_client")

    assert (entry.action, entry.subject, entry.actor) == ("create", "Initech", "system")
    assert (entry.account_id, entry.object_id) == (people.acme.pk, str(client.pk))
    assert entry.old is None
    assert entry.new["slug"] == "initech"


def test_a_change_is_noted_with_what_changed_only(people):
    people.research.retention_days = 60
    people.research.save()

    entry = last(table_name="accounts_workspace")

    assert (entry.action, entry.old, entry.new) == (
        "change",
        {"retention_days": 30},
        {"retention_days": 60},
    )


def test_bulk_updates_and_sql_are_noted_too(people):
    before = AuditEntry.objects.count()

    Workspace.objects.filter(account=people.acme).update(retention_days=45)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_role WHERE user_id = %s", [people.viewer.pk])

    noted = entries()[before:]
    assert [(entry.action, entry.subject) for entry in noted] == [
        ("change", "Research"),
        ("change", "Support"),
        ("delete", "vera: viewer"),
    ]


def test_an_update_that_changes_nothing_is_no_entry(people):
    before = AuditEntry.objects.count()

    people.research.save()
    User.objects.filter(pk=people.owner.pk).update(last_login=timezone.now())

    assert AuditEntry.objects.count() == before


def test_secrets_never_stand_in_it(people):
    token, text = tokens.issue(account=people.acme, name="ci", scopes=["read"])
    people.owner.set_password("another battery staple")
    people.owner.save()

    said = str([(entry.old, entry.new) for entry in entries()])

    assert token.digest not in said
    assert people.owner.password not in said
    assert last(table_name="accounts_user").new == {"password": "(hidden)"}
    assert text.rpartition("_")[2] not in said


@pytest.mark.parametrize("statement", ["UPDATE {} SET actor = 'nobody'", "DELETE FROM {}"])
def test_nobody_rewrites_it(people, statement):
    with (
        pytest.raises(DatabaseError, match="only ever added to"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format("config_auditentry"))


def test_who_changed_something_in_the_admin_is_named(people, client):
    client.force_login(people.owner)
    path = f"/admin/accounts/workspace/{people.research.pk}/change/"

    response = client.post(
        path, {"name": "R & D", "slug": "research", "retention_days": 30, "external_id": ""}
    )

    entry = last(table_name="accounts_workspace")
    assert response.status_code == 302, response.context["errors"]
    assert (entry.actor, entry.user_id) == ("olivia", people.owner.pk)
    assert entry.new["name"] == "R & D"


def test_after_the_request_its_actor_is_forgotten(people, client):
    client.force_login(people.owner)
    client.post("/admin/accounts/client/add/", {"name": "", "slug": ""})

    Client.objects.create(account=people.acme, name="Initech", slug="initech")

    assert last(table_name="accounts_client").actor == "system"


def test_a_request_that_fails_leaves_no_actor_behind(people):
    with pytest.raises(ZeroDivisionError), actors.acting(actors.of_user(people.owner)):
        1 / 0  # noqa: B018

    Client.objects.create(account=people.acme, name="Initech", slug="initech")

    assert last(table_name="accounts_client").actor == "system"


def test_who_logs_in_fails_to_and_leaves_is_noted(people, client):
    client.post("/admin/login/", {"username": "olivia", "password": "wrong"})
    client.post("/admin/login/", {"username": "hunter2", "password": "wrong"})
    client.post("/admin/login/", {"username": "olivia", "password": "correct horse"})
    client.post("/admin/logout/")

    noted = entries(action__in=("log_in", "log_out", "refused"))
    assert [(entry.action, entry.actor) for entry in noted] == [
        ("refused", "olivia"),
        ("refused", "somebody unknown"),
        ("log_in", "olivia"),
        ("log_out", "olivia"),
    ]
    assert noted[0].new == {"address": "127.0.0.1"}


def test_downloads_are_noted_for_those_whose_figures_they_are(people, client):
    client.force_login(people.accountant)
    client.get("/admin/exports/usage.csv?metrics=cost&from=2026-11-01&to=2026-11-02").getvalue()

    entry = last(action="download")

    assert (entry.actor, entry.subject) == ("amina", "/admin/exports/usage.csv")
    assert entry.account_id == people.acme.pk
    assert entry.new["query"].startswith("metrics=cost")


def test_downloads_over_the_api_name_the_token(people, client):
    client.get("/api/v1/exports/requests.csv", headers=bearer(people.acme, "export")).getvalue()

    entry = last(action="download")

    assert (entry.actor, entry.account_id) == ("token test", people.acme.pk)
    assert entry.token_id == AccessToken.objects.get().pk


def test_requests_and_decisions_leave_nothing_in_it(people):
    post(people.acme, native(workspace="research", project="apollo", api_key="ak_1"))
    before = AuditEntry.objects.count()

    post(people.acme, native(workspace="research", project="apollo", api_key="ak_1"))

    assert AuditEntry.objects.count() == before
    assert {entry.subject for entry in entries(action="create")} >= {"apollo", "ak_1"}


def test_a_budget_is_known_as_it_was_on_any_day(people):
    budget = Budget.objects.create(
        account=people.acme, name="All", scope="account", limit=100, counted_from="2026-11-01"
    )
    key, before = str(budget.pk), timezone.now() - timedelta(days=1)
    first = last(table_name="budgets_budget").at
    Budget.objects.filter(pk=budget.pk).update(limit=250)
    raised = last(table_name="budgets_budget").at
    budget.delete()

    row, account_id = audit.stands("budgets_budget", key)
    history = AuditEntry.objects.of_object("budgets_budget", key)

    assert (row, account_id) == (None, None)
    assert audit.as_of(row, history, moment=timezone.now()) is None
    assert audit.as_of(row, history, moment=raised)["limit"] == 250
    assert audit.as_of(row, history, moment=first)["limit"] == 100
    assert audit.as_of(row, history, moment=before) is None


def test_rows_older_than_the_log_are_known_by_going_back(people):
    save_prices(make_price("input", "2.5"))
    price = Price.objects.get()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE config_auditentry DISABLE TRIGGER audit_is_append_only")
        cursor.execute("DELETE FROM config_auditentry WHERE table_name = 'usage_price'")
        cursor.execute("ALTER TABLE config_auditentry ENABLE TRIGGER audit_is_append_only")
    long_ago = timezone.now() - timedelta(days=400)
    Price.objects.update(unit_price=3)

    row, _ = audit.stands("usage_price", str(price.pk))
    then = audit.as_of(
        row, AuditEntry.objects.of_object("usage_price", str(price.pk)), moment=long_ago
    )

    assert (row["unit_price"], then["unit_price"]) == (3, Decimal("2.5"))
