"""Alerts on their way through workers as they run, with their own schedules, to a mail server."""

import contextlib
import signal
from collections import Counter

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from budgets.models import Delivery
from config.models import Heartbeat
from tests import serving
from tests.serving import STARTS_SECONDS, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WORKERS = 4
PROMISED_SECONDS = 30


@contextlib.contextmanager
def workers(**environment: str):
    """Several that share the database. They are told to stop all at once."""
    with contextlib.ExitStack() as running:
        started = [running.enter_context(serving.worker(**environment)) for _ in range(WORKERS)]
        queues = Heartbeat.objects.filter(name=Heartbeat.QUEUE)
        ticks = Heartbeat.objects.filter(name=Heartbeat.TICKS)
        wait_until(lambda: queues.exists() and ticks.exists(), STARTS_SECONDS)
        yield
        for one in started:
            one.leader.send_signal(signal.SIGTERM)


def test_four_workers_hand_over_each_crossing_once_within_half_a_minute(
    make_budget, spend, workspace, smtp_server
):
    now = timezone.now()
    make_budget(name="Team", recipients=["a@acme.test", "gone@acme.test"], now=now)
    smtp_server.refuse("gone@acme.test")
    to_a = Delivery.objects.filter(recipient="a@acme.test")

    def received() -> Counter[str]:
        return Counter(mail["Subject"].partition(":")[0] for mail in smtp_server.messages)

    with workers(EMAIL_URL=smtp_server.url, LOG_LEVEL="CRITICAL"):
        smtp_server.close()
        spend(4, request_id="while it is down", at=now)
        wait_until(lambda: to_a.filter(last_error__contains="refused").exists(), PROMISED_SECONDS)
        smtp_server.start()
        spend(1, request_id="while it is up", at=now)
        wait_until(lambda: "Team passed 100 %" in received(), PROMISED_SECONDS)
        to_a.filter(state="waiting").update(next_attempt_at=timezone.now())  # the pause is over
        wait_until(lambda: to_a.filter(state="sent").count() == 2, PROMISED_SECONDS)
        wait_until(lambda: not OrmQ.objects.exists(), PROMISED_SECONDS)

    assert received() == {"Team passed 80 %": 1, "Team passed 100 %": 1}
    assert {mail["X-Envelope-To"] for mail in smtp_server.messages} == {"a@acme.test"}
    refused = Delivery.objects.filter(recipient="gone@acme.test")
    assert {one.state for one in refused} == {"waiting"}
    assert any("no such mailbox" in one.last_error for one in refused)
