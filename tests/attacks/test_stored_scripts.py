"""What callers send as names is text wherever it is shown: no page, mail or file runs it."""

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from accounts.models import Client, Member, Project, Workspace
from budgets import ledger
from budgets.models import Budget, Delivery
from budgets.tasks import deliver, deliver_one
from tests.factories import native, post, small_price_book
from tests.people import People, make_people

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
FORMS_OF_IT = (b"<script>alert(1)", b"<img src=x onerror")
PAGES = (
    *("/admin/", "/admin/requests/", "/admin/explorer/", "/admin/prices/unpriced/"),
    *("/admin/audit/", "/admin/operations/", "/admin/books/", "/admin/savings/"),
    "/admin/explorer/?group_by=project,member&metrics=cost",
)


@pytest.fixture
def people(db: None) -> People:
    people = make_people()
    small_price_book()
    names = dict.fromkeys(("project", "member", "api_key", "endpoint", "error_type"), EVIL)
    for model in ("gpt-4o", EVIL):
        row = native(workspace="research", model=model, provider=EVIL, tags={EVIL: EVIL}, **names)
        post(people.acme, row | {"occurred_at": timezone.now().isoformat()}, now=timezone.now())
    post(people.acme, {"request_id": EVIL, "model": EVIL, EVIL: EVIL})
    Workspace.objects.update(name=EVIL)
    Project.objects.update(name=EVIL)
    Member.objects.update(name=EVIL)
    Client.objects.create(account=people.acme, name=EVIL, slug="evil")
    return people


def changelists():
    for model in admin.site._registry:
        yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def test_no_page_runs_a_name(people, client):
    client.force_login(people.staff)

    for path in (*PAGES, *changelists()):
        page = client.get(path, follow=True).content
        assert not [form for form in FORMS_OF_IT if form in page], path


def test_the_request_itself_shows_its_names_as_text(people, client):
    client.force_login(people.owner)
    listed = client.get("/admin/requests/", follow=True).content.decode()
    path = listed.split('class="tb-cell-time"><a href="')[1].split('"')[0].replace("&amp;", "&")

    page = client.get(path)

    assert page.status_code == 200
    assert not [form for form in FORMS_OF_IT if form in page.content]


def test_no_mail_runs_a_name_nor_takes_a_header_from_it(people, smtp_server):
    now = timezone.now()
    name = f"{EVIL}\r\nBcc: spy@evil.example"
    budget = Budget(
        account=people.acme, name=name, scope="account", limit=1, recipients=["cfo@acme.test"]
    )
    ledger.open_budget(budget, now=now)
    row = native(workspace="research", occurred_at=now.isoformat(), input_tokens=1_000_000)
    post(people.acme, row, now=now)
    deliver()
    for delivery in Delivery.objects.all():
        deliver_one(delivery.pk)

    assert smtp_server.messages
    for message in smtp_server.messages:
        html = message.get_body(("html",)).get_content()
        assert "<script>alert(1)" not in html
        assert "<img src=x" not in html
        assert (message["Bcc"], message["To"]) == (None, "cfo@acme.test")
