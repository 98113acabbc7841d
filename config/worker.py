"""`manage.py worker`: runs what is queued and what is due, and replaces what dies or hangs.

django-q2's cluster can be alive and yet process nothing, deaf even to SIGTERM, when one of its idle
processes was killed while it held the queue's lock; so it must beat (see `broker.py`), or its whole
process group is ended and started again.
"""

import gc
import os
from functools import partial
from importlib import import_module

from django.core.management import call_command
from django.db import connections

from config import processes, pulse, schedules

QUEUE_GRACE_SECONDS = 15
TICKS_GRACE_SECONDS = 10
QUEUE_NICENESS = 5


def main() -> None:
    stop = processes.Stop()
    pulse.forget_the_dead()
    prepare_to_fork()
    children = [
        processes.Child("queue", work_off, QUEUE_GRACE_SECONDS, beats=True),
        processes.Child("ticks", partial(call_command, "tick"), TICKS_GRACE_SECONDS, beats=True),
    ]
    with processes.running(children, stop):
        processes.keep_alive(children, stop)


def work_off() -> None:
    """Exports and the archive can wait for a processor; whoever records or asks cannot."""
    os.nice(QUEUE_NICENESS)
    call_command("qcluster")


def prepare_to_fork() -> None:
    """Load what the children run, once for all of them, and leave its memory untouched."""
    for path in schedules.functions():
        import_module(path.rpartition(".")[0])
    connections.close_all()
    gc.freeze()
