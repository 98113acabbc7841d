import os
import signal

import psycopg
import pytest

from config import embedded
from config.directories import POSTGRES_DIR

MEGABYTES = 1024 * 1024


@pytest.fixture
def directory(tmp_path):
    directory = tmp_path / "postgres"
    yield directory
    embedded.stop(directory)


def ask(directory, statement):
    settings = embedded.connection(directory)
    with psycopg.connect(
        host=settings["HOST"], user=settings["USER"], dbname=settings["NAME"], autocommit=True
    ) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def test_start_makes_the_database_and_stop_ends_the_server(directory):
    embedded.start(directory)

    assert ask(directory, "SELECT current_database(), current_setting('TimeZone')") == (
        "tokenbook",
        "UTC",
    )

    embedded.stop(directory)
    assert not embedded.is_running(directory)


def test_what_is_committed_survives_a_crash(directory):
    embedded.start(directory)

    assert ask(directory, "SELECT current_setting('fsync')") == ("on",)
    assert ask(directory, "SELECT current_setting('synchronous_commit')") == ("on",)


def test_the_server_listens_on_its_socket_only(directory):
    embedded.start(directory)

    assert ask(directory, "SELECT current_setting('listen_addresses')") == ("",)
    assert directory.stat().st_mode & 0o077 == 0


def test_starting_again_adopts_the_running_server(directory):
    embedded.start(directory)
    pid = embedded.postmaster_pid(directory)

    embedded.start(directory)

    assert embedded.postmaster_pid(directory) == pid


def test_a_killed_server_starts_again_with_its_data(directory):
    embedded.start(directory)
    ask(directory, "CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(embedded.postmaster_pid(directory), signal.SIGKILL)

    embedded.start(directory)

    assert ask(directory, "SELECT number FROM kept") == (7,)


def test_the_pid_of_another_program_is_not_taken_for_a_server(directory):
    embedded.start(directory)
    embedded.stop(directory)
    (directory / "postmaster.pid").write_text(f"{os.getpid()}\n{directory}\n")

    embedded.start(directory)

    assert embedded.postmaster_pid(directory) != os.getpid()


def test_the_pid_of_another_postgresql_is_not_taken_for_this_one(directory, postgres):
    directory.mkdir()
    other = embedded.postmaster_pid(POSTGRES_DIR)

    (directory / "postmaster.pid").write_text(f"{other}\n{directory}\n")

    assert other
    assert not embedded.is_running(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_a_server_is_stopped_although_its_user_cannot_reach_it_any_more(directory):
    embedded.start(directory)
    directory.parent.chmod(0o700)

    embedded.start(directory)
    embedded.stop(directory)

    assert not embedded.is_running(directory)


def test_a_cluster_that_was_never_finished_is_made_anew(directory):
    unfinished = directory.with_name("postgres.unfinished")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")

    embedded.start(directory)

    assert not unfinished.exists()


def test_a_directory_too_long_for_a_socket_gets_a_short_one(tmp_path):
    directory = tmp_path / ("long" * 30) / "postgres"
    embedded.start(directory)
    try:
        assert ask(directory, "SELECT 1") == (1,)
    finally:
        embedded.stop(directory)
        embedded.socket_directory(directory).rmdir()


def test_data_of_another_major_version_is_refused_in_one_sentence(directory):
    embedded.start(directory)
    embedded.stop(directory)
    (directory / "PG_VERSION").write_text("17\n")

    with pytest.raises(embedded.EmbeddedError, match="written by PostgreSQL 17") as refusal:
        embedded.start(directory)

    assert "\n" not in str(refusal.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_data_of_another_user_is_refused_in_one_sentence(directory):
    embedded.start(directory)
    embedded.stop(directory)
    os.chown(directory, 65534, 65534)

    with pytest.raises(embedded.EmbeddedError, match="belongs to"):
        embedded.start(directory)


def test_a_server_that_cannot_start_says_why(directory):
    with pytest.raises(embedded.EmbeddedError, match="contains errors"):
        embedded.start(directory, overrides={"shared_buffers": "plenty"})


@pytest.mark.parametrize(
    ("memory", "shared_buffers"), [(512, "128MB"), (4096, "512MB"), (65536, "1024MB")]
)
def test_memory_is_shared_with_other_programs(memory, shared_buffers):
    assert embedded.tuned(memory * MEGABYTES)["shared_buffers"] == shared_buffers
