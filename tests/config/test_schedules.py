from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.models import Schedule as Row

from budgets import delivery
from budgets.models import Delivery, Notice
from config import schedules
from config.schedules import SCHEDULES, TICKS, Schedule
from exports import jobs
from exports.models import Export
from tests.factories import make_account

pytestmark = pytest.mark.django_db


@pytest.fixture
def nightly(monkeypatch):
    def say(cron):
        monkeypatch.setattr(schedules, "SCHEDULES", (Schedule("nightly", cron, "some.task"),))
        schedules.sync()
        return Row.objects.get(name="nightly")

    return say


def test_every_function_exists():
    assert all(callable(import_string(path)) for path in schedules.functions())


def test_names_are_used_once():
    names = [entry.name for entry in (*TICKS, *SCHEDULES)]

    assert len(names) == len(set(names))


def test_every_cron_line_can_be_read():
    assert all(croniter.is_valid(schedule.cron) for schedule in SCHEDULES)


def test_the_table_says_what_the_file_says():
    Row.objects.create(name="forgotten", func="no.longer", schedule_type=Row.HOURLY)

    schedules.sync()

    rows = Row.objects.values_list("name", "func", "cron", "repeats")
    assert set(rows) == {(s.name, s.task, s.cron, -1) for s in SCHEDULES}


def test_a_row_that_is_right_keeps_its_next_run(nightly):
    before = nightly("0 3 * * *")
    Row.objects.update(next_run="2020-01-01T03:00Z")

    after = nightly("0 3 * * *")

    assert (after.pk, after.next_run.year) == (before.pk, 2020)


def test_a_schedule_that_ran_while_a_clock_was_ahead_does_not_wait_for_that_time(nightly):
    nightly("0 3 * * *")
    Row.objects.update(next_run="2026-11-22T03:00Z")

    for _ in range(2):
        schedules.bring_forward(now=datetime(2026, 11, 20, 12, tzinfo=UTC))

    assert Row.objects.get().next_run == datetime(2026, 11, 21, 3, tzinfo=UTC)


def test_what_was_put_off_while_a_clock_was_ahead_is_done_now():
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    ahead, account = now + timedelta(days=2), make_account()
    OrmQ.objects.create(key="tokenbook", payload="", lock=ahead)
    notice = Notice.objects.create(account=account, subject="s", created_at=ahead)
    Delivery.objects.create(notice=notice, recipient="a@b.test", next_attempt_at=ahead)
    Export.objects.create(
        account=account, workspace_ids=[], requested_at=ahead, beat_at=ahead, dataset="projects"
    )

    schedules.bring_forward(now=now)

    assert OrmQ.objects.get().lock == now
    assert delivery.enqueue_due(now=now) == 1
    assert Export.objects.filter(beat_at__lte=now - jobs.WAITED_AFTER).exists()


def test_a_changed_cron_line_changes_the_next_run(nightly):
    nightly("0 3 * * *")

    assert nightly("30 5 * * *").next_run.strftime("%H:%M") == "05:30"


def test_a_row_that_was_doubled_or_edited_is_put_right(nightly):
    nightly("0 3 * * *")
    Row.objects.create(name="nightly", func="some.task", schedule_type=Row.CRON, cron="0 3 * * *")
    Row.objects.update(args="cannot be parsed (")

    assert nightly("0 3 * * *").args is None
