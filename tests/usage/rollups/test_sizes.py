"""The smallest roll-up is found by what is in it."""

from tests.usage.reports.questions import question
from usage.reports import rows
from usage.rollups import sizes
from usage.rollups.tables import HISTOGRAMS, ROLLUPS


def test_every_table_has_a_size_and_partitions_are_counted_together(account):
    measured = sizes.measured()

    assert set(measured) == {table.table for table in (*ROLLUPS, *HISTOGRAMS)}
    assert min(measured.values()) >= 0


def test_a_report_takes_the_smaller_of_two(account, monkeypatch):
    known = {table.table: 10 for table in ROLLUPS} | {"usage_day_member": 11, "usage_day": 12}
    monkeypatch.setattr(rows, "megabytes", lambda: known)

    assert rows.pick(question(account, group_by=("member",))).table == "usage_day_key"
    assert rows.pick(question(account, group_by=("member", "model"))).table == "usage_day_member"


def test_sizes_are_measured_again_after_a_minute(account, monkeypatch):
    now, counted = [1000.0], []
    monkeypatch.setattr(sizes, "_known", (0.0, {}))
    monkeypatch.setattr(sizes.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sizes, "measured", lambda: counted.append(1) or {"usage_day": 1})

    for now[0] in (1000.0, 1059.0, 1061.0):
        sizes.megabytes()

    assert len(counted) == 2
