"""Meters: what each falls back on, and how they stand to each other."""

import pytest

from usage.pricing.meters import CONTEXT_METERS, FURTHER_METER_NAMES, LOG_METERS, METERS


@pytest.mark.parametrize("meter", METERS.values(), ids=str)
def test_what_a_meter_falls_back_on_is_counted_alike(meter):
    assert {METERS[name].unit for name in meter.falls_back_on} <= {meter.unit}


def test_a_meter_falls_back_further_than_what_it_falls_back_on():
    for meter in METERS.values():
        for name in meter.falls_back_on:
            assert set(METERS[name].falls_back_on) < set(meter.falls_back_on)


def test_no_name_is_used_twice():
    assert len(METERS) == len(LOG_METERS) + len(FURTHER_METER_NAMES) + 1


def test_only_input_decides_the_price_tier():
    assert {name for name in METERS if METERS[name].unit == "tokens"} - CONTEXT_METERS == {
        "output",
        "reasoning",
        "output_audio",
        "output_image",
        "output_video",
    }


def test_requests_are_counted_by_us_and_not_sent():
    assert "request" not in FURTHER_METER_NAMES
