from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import Task

from config import schedules
from config.models import Heartbeat
from tests.people import People, make_people

PAGE = "/admin/operations/"


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def test_platform_staff_see_what_runs_and_what_does_not(people, client):
    client.force_login(people.staff)
    schedules.sync()
    Heartbeat.objects.beat(Heartbeat.of_tick("fold"), at=timezone.now())

    context = client.get(PAGE).context

    states = {part.name: part.state for part in context["parts"]}
    assert states["tick fold"] == "running"
    assert states["tick deliver"] == "late"
    assert {f"schedule {schedule.name}" for schedule in schedules.SCHEDULES} <= set(states)
    assert len(context["obstacles"]) == 2


def test_of_each_schedule_it_is_told_when_it_last_ran_and_whether_it_failed(people, client):
    client.force_login(people.staff)
    schedules.sync()
    now = timezone.now()
    Heartbeat.objects.beat(Heartbeat.of_schedule("partitions"), at=now)
    Heartbeat.objects.beat(Heartbeat.of_schedule("savings"), at=now - timedelta(days=1))
    failure("usage.tasks.find_all_savings", stopped=now)

    parts = {part.name: part for part in client.get(PAGE).context["parts"]}

    ran, failed = parts["schedule partitions"], parts["schedule savings"]
    assert (ran.last_at, ran.tone) == (now, "")
    assert (failed.last_at, failed.state) == (now, "failed")


def failure(func, *, stopped):
    Task.objects.create(
        id=func, name=func, func=func, started=stopped, stopped=stopped, success=False
    )


@pytest.mark.parametrize("who", ["owner", "manager", "accountant", "viewer", "newcomer"])
def test_it_is_nobody_elses_business(people, client, who):
    client.force_login(getattr(people, who))

    assert client.get(PAGE).status_code == 403


def test_it_asks_for_little(people, client, django_assert_max_num_queries):
    client.force_login(people.staff)

    with django_assert_max_num_queries(20):
        client.get(PAGE)
