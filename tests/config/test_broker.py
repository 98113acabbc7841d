import pytest
from django_q.brokers import get_broker
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from config import broker, pulse
from config.models import Heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def cluster():
    return get_broker()


def test_the_settings_name_this_broker(cluster):
    assert isinstance(cluster, broker.PulsingBroker)


def test_a_pulse_comes_first_and_then_the_tasks_of_the_database(cluster):
    async_task("some.task", 7)

    ((ack, pulse_package),) = cluster.dequeue()
    ((_, task),) = cluster.dequeue()

    assert ack is None
    assert SignedPackage.loads(pulse_package)["func"] == broker.PULSE
    assert SignedPackage.loads(task)["args"] == (7,)


def test_a_pulse_leaves_a_heartbeat():
    broker.show_life()

    assert Heartbeat.objects.filter(name=Heartbeat.QUEUE).exists()


def test_no_task_may_run_longer_than_silence_is_excused(settings):
    assert settings.Q_CLUSTER["timeout"] < pulse.longest_work_seconds()


@pytest.mark.parametrize(("success", "kept"), [(True, True), (False, False)])
def test_when_a_schedule_last_succeeded_is_kept(success, kept):
    broker.note_schedule({"group": "partitions", "success": success})
    broker.note_schedule({"group": "somebody's own", "success": True})

    names = Heartbeat.objects.values_list("name", flat=True)
    assert list(names) == (["schedule partitions"] if kept else [])
