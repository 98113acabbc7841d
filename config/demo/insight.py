"""What the demo's own watchmen found: they look again at the days when something went wrong."""

from datetime import timedelta

from config.demo.traffic import SPIKE_DAYS_AGO, SPIKE_HOUR, Traffic
from usage.insight import availability, spikes

MINUTE = timedelta(minutes=1)
EVERY = timedelta(minutes=5)
OUTAGE_LOOKED_AT = timedelta(minutes=100)
LOOKED_FOR = timedelta(hours=5)


def look_back(traffic: Traffic) -> None:
    if not traffic.has_spike:
        return
    start = traffic.weekday_at(SPIKE_DAYS_AGO, hour=SPIKE_HOUR)
    memory = spikes.Memory()
    for step in range(int(LOOKED_FOR / EVERY)):
        spikes.look(now=start + step * EVERY, memory=memory)


def look_back_at_outage(traffic: Traffic) -> None:
    """Nothing is asked: the demo has no check, and what became of requests tells as well."""
    availability.count(end=traffic.now)
    for step in range(OUTAGE_LOOKED_AT // MINUTE):
        minute = (traffic.outage_at + step * MINUTE).replace(second=0, microsecond=0)
        for verdict in availability.verdicts(minute):
            availability.judge(verdict, minute)
