"""Alerts reach their recipients once, through a real conversation with a mail server."""

import threading
from datetime import timedelta

import pytest
from django.db import connections

from accounts.models import Account, ApiKey, Member, Role, Workspace
from budgets import alerts, delivery
from budgets.models import Alert, Delivery
from tests.budgets.conftest import NOON
from tests.factories import make_role, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def crossed(make_budget, spend, workspace: Workspace):
    """A budget past 80 % with two recipients, its deliveries made."""
    make_budget(name="Team", recipients=["a@acme.test", "b@acme.test"], hard=True)
    spend(4, request_id="four dollars", member="jane@acme.test", project="ledger")
    assert alerts.address_new_alerts(now=NOON) == 1
    return Alert.objects.get()


def deliver_all(now=NOON):
    for pk in Delivery.objects.order_by("pk").values_list("pk", flat=True):
        delivery.deliver(pk, now=now)


def test_the_mail_says_it_in_one_sentence_with_the_figures(crossed, smtp_server):
    deliver_all()
    mail = smtp_server.messages[0]
    assert mail["Subject"] == "Team passed 80 %: $4.00 of $5.00 used"
    text = mail.get_body(("plain",)).get_content()
    assert (
        'The account budget "Team" (Acme) has used $4.00 of $5.00 this month: 80 %, '
        "past its threshold of 80 %." in text
    )
    local = crossed.crossed_at.astimezone(crossed.period.budget.account.zone)
    assert f"Crossed     {local:%Y-%m-%d %H:%M} (Europe/Berlin)" in text
    assert "This is a hard limit: calls are refused once it is used up." in text
    assert f"/admin/budgets/budget/{crossed.period.budget_id}/change/" in text
    assert mail.get_body(("html",)).get_content().count("<strong>$4.00</strong>") == 1


def test_each_recipient_gets_it_once_however_often_it_is_tried(crossed, smtp_server):
    deliver_all()
    deliver_all()
    assert sorted(m["X-Envelope-To"] for m in smtp_server.messages) == [
        "a@acme.test",
        "b@acme.test",
    ]
    assert alerts.address_new_alerts(now=NOON) == 0


def test_a_refused_recipient_does_not_block_the_other(crossed, smtp_server):
    smtp_server.refuse("a@acme.test")
    deliver_all()
    states = dict(Delivery.objects.values_list("recipient", "state"))
    assert states == {"a@acme.test": "waiting", "b@acme.test": "sent"}
    assert "no such mailbox" in Delivery.objects.get(state="waiting").last_error


def test_with_the_mail_server_down_it_is_tried_again_later(crossed, smtp_server):
    smtp_server.close()
    assert delivery.enqueue_due(now=NOON) == 2
    deliver_all()
    assert delivery.enqueue_due(now=NOON + timedelta(seconds=14)) == 0
    smtp_server.start()
    assert delivery.enqueue_due(now=NOON + timedelta(seconds=15)) == 2
    deliver_all()
    assert set(Delivery.objects.values_list("state", "attempts")) == {("sent", 2)}
    assert len(smtp_server.messages) == 2


def test_after_the_last_attempt_it_has_failed_until_it_is_sent_again(crossed, smtp_server):
    smtp_server.close()
    Delivery.objects.update(attempts=delivery.MAX_ATTEMPTS)
    deliver_all()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"failed"}
    ids = list(Delivery.objects.values_list("pk", flat=True))
    assert delivery.send_again(ids, now=NOON) == 2
    smtp_server.start()
    deliver_all()
    assert len(smtp_server.messages) == 2


@pytest.mark.parametrize("name", ["Team\r\nBcc: thief@evil.test", "<script>alert(1)</script>"])
def test_a_budgets_name_injects_nothing(crossed, smtp_server, name):
    crossed.period.budget.__class__.objects.update(name=name)
    deliver_all()
    for mail in smtp_server.messages:
        assert mail["Bcc"] is None
        assert "<script>" not in mail.get_body(("html",)).get_content()


def test_the_managers_and_the_member_concerned_are_told(
    make_budget, spend, account: Account, workspace: Workspace
):
    mona = make_user("mona", email="mona@acme.test")
    make_role(mona, Role.Name.MANAGER, account, workspace)
    make_role(make_user("max", email="max@acme.test"), Role.Name.MANAGER, account)
    jane = Member.objects.create(account=account, identifier="jane", email="jane@acme.test")
    key = ApiKey.objects.create(workspace=workspace, identifier="key-1", member=jane)
    make_budget(
        scope="api_key", api_key=key, tell_managers=True, tell_member=True, recipients=["a@b.test"]
    )
    make_budget(scope="member", member=jane, tell_managers=True)
    spend(4, request_id="four dollars", api_key="key-1")
    told = {one.period.budget.scope: alerts.recipients_of(one) for one in Alert.objects.all()}
    assert told == {
        "api_key": ["a@b.test", "jane@acme.test", "mona@acme.test"],
        "member": ["max@acme.test"],
    }


@pytest.mark.django_db(transaction=True)
def test_four_workers_racing_send_one_mail_each(make_budget, spend, workspace, smtp_server):
    make_budget(recipients=["a@acme.test"])
    spend(10, request_id="both thresholds")
    alerts.address_new_alerts(now=NOON)
    start = threading.Barrier(4)

    def race():
        start.wait()
        alerts.address_new_alerts(now=NOON)
        deliver_all()
        connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(smtp_server.messages) == 2
