"""Archive and retention: written, read back, removed, brought back; nothing lost, nothing twice."""

import json
import os
from datetime import date, timedelta

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Workspace
from exports import archive, parquet, retention_run
from exports.archive_models import ArchiveFile
from tests.exports.archives import *  # noqa: F403
from tests.exports.archives import (
    DAY,
    DAYS,
    LATER,
    RECORDED_AT,
    THE_DAY_AFTER,
    execute,
    full_disk,
    run,
)
from tests.factories import NOW, count, fetch, histogram_rows, log, native, post, rollup_rows
from usage import partitions, retention
from usage.models import GoneDay
from usage.rollups.check import check_workspace
from usage.rollups.fold import fold_all

State = ArchiveFile.State
KEYS = "SELECT * FROM usage_requestkey ORDER BY workspace_id, request_id"


def everything():
    return log("workspace_id, request_id"), fetch(KEYS)


def states():
    return sorted(ArchiveFile.objects.values_list("day", "part", "state"))


def late(account, request_id, **fields):
    row = native(request_id=request_id, occurred_at="2031-05-30T15:00:00Z", **fields)
    post(account, row | {"workspace": "research"}, now=RECORDED_AT)
    fold_all()


def test_a_day_goes_once_all_of_it_is_past_the_retention(acme, folder):
    before = count("usage_requestlog")

    done = run(THE_DAY_AFTER)

    kept = {row["occurred_at"].astimezone(acme.zone).date() for row in log()}
    assert kept == {date(2031, 5, 31)}
    assert [state[0] for state in states()] == [date(2031, 5, 29), DAY]
    assert (done.error, done.rows_removed) == ("", before - count("usage_requestlog"))


def test_roll_ups_and_histograms_stay_and_keys_go(acme, folder):
    sums = rollup_rows(), histogram_rows()

    run()

    assert (rollup_rows(), histogram_rows()) == sums
    assert (count("usage_requestlog"), count("usage_requestkey")) == (0, 0)


def test_days_that_are_gone_are_known(acme, folder):
    counted = fetch("SELECT workspace_id, day, sum(requests) AS n FROM usage_day GROUP BY 1, 2")

    run()

    gone = GoneDay.objects.values_list("workspace_id", "day", "requests")
    assert sorted(gone) == sorted((row["workspace_id"], row["day"], row["n"]) for row in counted)


def test_the_file_says_what_the_log_said(acme, folder):
    run(THE_DAY_AFTER)

    manifest = json.loads((folder / f"account=acme/day={DAY}/requests-001.json").read_text())
    path = folder / f"account=acme/day={DAY}/requests-001.parquet"
    file = ArchiveFile.objects.get(day=DAY)
    assert archive.digest_of(path) == (file.sha256, file.size) == (
        manifest["sha256"], manifest["bytes"],
    )  # fmt: skip
    assert parquet.summed(path) == (file.rows, archive.counted_of(file).totals)
    assert (manifest["rows"], manifest["time_zone"]) == (file.rows, "America/New_York")


def test_the_file_can_be_read_without_the_database(acme, folder):
    from pyarrow import parquet as pq

    named = {row["request_id"]: (row["workspace"], row["project"], row["model"]) for row in log()}
    run(THE_DAY_AFTER)

    rows = pq.read_table(folder / f"account=acme/day={DAY}/requests-001.parquet").to_pylist()
    assert rows
    for row in rows:
        assert (row["workspace"], row["project"], row["model"]) == named[row["request_id"]]


def test_partitions_of_which_nothing_is_left_are_dropped(acme, folder):
    done = run()

    assert done.partitions_dropped == 4
    names = partitions.existing_partitions()
    assert not {f"usage_requestlog_203105{day}" for day in (29, 30, 31)} & names


def test_what_is_dropped_is_not_made_again(acme, folder):
    run()

    partitions.make_around(LATER)

    assert "usage_requestlog_20310530" not in partitions.existing_partitions()
    execute("DROP TABLE " + ", ".join(n for n in partitions.day_partitions() if "_20310" in n))


def test_of_mixed_days_just_what_expired_is_removed(acme, folder):
    Workspace.objects.filter(slug="support").update(retention_days=90)

    run()

    assert {row["workspace"] for row in log()} == {"support"}
    assert "usage_requestlog_20310530" in partitions.existing_partitions()
    assert count("usage_requestkey") == count("usage_requestlog")


def test_what_another_workspace_keeps_longer_makes_a_further_part(acme, folder):
    Workspace.objects.filter(slug="support").update(retention_days=90)
    run()
    run(LATER + timedelta(60))

    assert [part for day, part, _ in states() if day == DAY] == [1, 2]
    assert count("usage_requestlog") == 0


def test_archive_drop_and_restore_give_the_same_rows(acme, folder):
    before, sums = everything(), (rollup_rows(), histogram_rows())
    run()

    for file in ArchiveFile.objects.all():
        call_command("restore_archive", account="acme", day=file.day, verbosity=0)

    assert everything() == before
    assert (rollup_rows(), histogram_rows()) == sums
    assert count("usage_goneday") == 0


def test_the_books_balance_before_and_after(acme, folder):
    workspace = Workspace.objects.get(slug="research")
    run()
    gone, nothing = check_workspace(workspace, now=LATER)
    call_command("restore_archive", account="acme", day=DAY, verbosity=0)
    back, still_nothing = check_workspace(workspace, now=LATER)

    assert (nothing, still_nothing) == ([], [])
    assert (gone.days_gone, back.days_gone) == (gone.days, gone.days - 1)


def test_what_was_restored_stays_and_goes_again_with_the_same_file(acme, folder):
    run()
    call_command("restore_archive", account="acme", day=DAY, keep_days=400, verbosity=0)
    there, file = count("usage_requestlog"), ArchiveFile.objects.get(day=DAY)
    ArchiveFile.objects.filter(day=DAY).update(kept_until=LATER + timedelta(3))

    run(LATER + timedelta(2))
    assert count("usage_requestlog") == there > 0
    run(LATER + timedelta(4))

    assert count("usage_requestlog") == 0
    again = ArchiveFile.objects.get(day=DAY)
    assert (again.state, again.written_at) == (State.ARCHIVED, file.written_at)


def test_what_changed_while_it_was_back_is_archived_anew(acme, folder):
    run()
    call_command("restore_archive", account="acme", day=DAY, verbosity=0)
    execute("UPDATE usage_requestlog SET cost = cost + 1 WHERE cost IS NOT NULL")
    changed = everything()
    ArchiveFile.objects.filter(day=DAY).update(kept_until=LATER)

    run(LATER + timedelta(1))
    assert [s for day, _, s in states() if day == DAY] == [State.SUPERSEDED, State.ARCHIVED]
    call_command("restore_archive", account="acme", day=DAY, verbosity=0)

    assert everything() == changed


def test_late_requests_of_a_day_that_is_gone_make_a_further_part(acme, folder):
    run()
    late(acme, "late")
    run()

    assert [part for day, part, _ in states() if day == DAY] == [1, 2]
    requests = ArchiveFile.objects.get(day=DAY, part=1).rows + 1
    assert sum(GoneDay.objects.filter(day=DAY).values_list("requests", flat=True)) == requests


def test_restoring_what_is_there_again_doubles_nothing(acme, folder):
    row = log()[0]
    run()
    post(acme, native(request_id=row["request_id"], workspace=row["workspace"],
                      occurred_at=row["occurred_at"].isoformat()), now=RECORDED_AT)  # fmt: skip

    call_command(
        "restore_archive", account="acme",
        day=row["occurred_at"].astimezone(acme.zone).date(), verbosity=0,
    )  # fmt: skip

    assert [r["request_id"] for r in log()].count(row["request_id"]) == 1
    assert count("usage_requestkey") == count("usage_requestlog")


def test_a_request_that_arrives_between_writing_and_removing_is_not_lost(acme, folder, monkeypatch):
    write = archive.put_manifest

    def and_then_one_arrives(expired, *rest, **more):
        if (
            expired.day == DAY
            and count("usage_requestlog")
            and not ArchiveFile.objects.filter(day=DAY)
        ):
            late(acme, "in-between")
        write(expired, *rest, **more)

    monkeypatch.setattr(archive, "put_manifest", and_then_one_arrives)
    run()

    assert count("usage_requestlog") == 0
    call_command("restore_archive", account="acme", day=DAY, verbosity=0)
    assert "in-between" in {row["request_id"] for row in log()}


@pytest.mark.parametrize("where", ["put_manifest", "note"])
def test_a_worker_killed_while_writing_loses_nothing(acme, folder, where, monkeypatch):
    before = everything()
    killed_at(monkeypatch, archive, where)
    in_a_process_that_dies(lambda: retention_run.run(now=LATER))
    assert everything() == before

    monkeypatch.undo()
    run()
    assert count("usage_requestlog") == 0
    restore_all()

    assert everything() == before


def test_a_worker_killed_while_removing_loses_nothing(acme, folder, monkeypatch):
    before = everything()
    killed_at(monkeypatch, retention, "has_only")
    in_a_process_that_dies(lambda: retention_run.run(now=LATER))
    assert everything() == before

    monkeypatch.undo()
    run()
    restore_all()

    assert everything() == before


def restore_all():
    for day in sorted(set(ArchiveFile.objects.values_list("day", flat=True))):
        call_command("restore_archive", account="acme", day=day, verbosity=0)


def killed_at(monkeypatch, module, name):
    monkeypatch.setattr(module, name, lambda *args, **more: os.kill(os.getpid(), 9))


def in_a_process_that_dies(act):
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_a_place_that_cannot_be_written_is_said_and_tried_again(acme, settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    settings.ARCHIVE_URL = str(tmp_path / "file")
    before = everything()

    done = run()
    assert "Not a directory" in done.error
    assert everything() == before
    settings.ARCHIVE_URL = str(tmp_path / "folder")

    assert run().error == ""
    assert count("usage_requestlog") == 0


def test_a_full_disk_is_said_and_tried_again(acme, folder):
    before = everything()

    with full_disk():
        done = run()
    assert "File too large" in done.error
    assert (everything(), list(folder.rglob("*.*"))) == (before, [])

    assert run().error == ""
    assert count("usage_requestlog") == 0


def test_what_is_read_back_otherwise_removes_nothing(acme, folder, monkeypatch):
    before = everything()
    monkeypatch.setattr(archive, "copy", lambda source, path: path.write_bytes(b"PAR1"))

    assert "another SHA-256" in run().error
    assert everything() == before


def test_without_an_archive_everything_is_kept(acme):
    before = everything()

    assert retention_run.run(now=LATER) is None
    assert everything() == before


def test_without_an_archive_it_is_deleted_where_the_operator_says_so(acme, settings):
    settings.RETENTION_WITHOUT_ARCHIVE = "delete"
    sums = rollup_rows()

    done = run()

    assert (done.mode, count("usage_requestlog"), count("usage_requestkey")) == ("delete", 0, 0)
    assert (rollup_rows(), GoneDay.objects.exists()) == (sums, True)


def test_strays_without_a_partition_expire_too(acme, folder):
    post(acme, native(occurred_at="2019-05-01T12:00:00Z"), now=RECORDED_AT)
    fold_all()

    run()

    assert count("usage_requestlog_default") == 0
    assert date(2019, 5, 1) in [day for day, *_ in states()]


def test_empty_partitions_that_nobody_keeps_any_more_are_dropped(db, monkeypatch):
    partitions.make_between(date(2019, 5, 1), date(2019, 5, 2))
    monkeypatch.setattr(
        partitions,
        "day_partitions",
        lambda: ["usage_requestlog_20190501", "usage_requestlog_20190502"],
    )

    assert retention.drop_empty_partitions(now=NOW) == [
        "usage_requestlog_20190501",
        "usage_requestlog_20190502",
    ]


def test_the_command_says_why_it_cannot(acme, folder):
    with pytest.raises(CommandError, match="nothing of acme"):
        call_command("restore_archive", account="acme", day=DAYS[0])
    with pytest.raises(CommandError, match="no account"):
        call_command("restore_archive", account="nobody", day=DAYS[0])
