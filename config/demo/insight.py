"""What the demo's own watchmen found: they look again at the afternoon when something ran away."""

from datetime import timedelta

from config.demo.traffic import SPIKE_DAYS_AGO, SPIKE_HOUR, Traffic
from usage.insight import spikes

EVERY = timedelta(minutes=5)
LOOKED_FOR = timedelta(hours=5)


def look_back(traffic: Traffic) -> None:
    if not traffic.has_spike:
        return
    start = traffic.weekday_at(SPIKE_DAYS_AGO, hour=SPIKE_HOUR)
    memory = spikes.Memory()
    for step in range(int(LOOKED_FOR / EVERY)):
        spikes.look(now=start + step * EVERY, memory=memory)
