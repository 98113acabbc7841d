import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from config import embedded, launcher
from config.address import Address
from config.demo import organisation
from tests.mailing import free_port
from tests.serving import MANAGE, answers, wait_until

# What `make run` runs; `manage.py up` loads all of Django before it does the same.
LAUNCHER = [sys.executable, "-m", "config.launcher"]
FIRST_START_SECONDS = 360
SECOND_START_SECONDS = 90
STOPS_SECONDS = 40


class Launch:
    """One `make run`."""

    def __init__(self, directory, port, log):
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.process = subprocess.Popen(
            LAUNCHER,
            env=environment(directory, port),
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    @property
    def output(self):
        return self.log.read_text()

    def wait_until_up(self, seconds):
        wait_until(lambda: self.is_up() or self.process.poll() is not None, seconds)
        assert self.process.poll() is None, self.output

    def is_up(self):
        return "Ctrl-C" in self.output and answers(f"{self.url}/readyz")

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(STOPS_SECONDS)


def environment(directory, port):
    foreign = {"DATABASE_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE"}
    ours = {name: value for name, value in os.environ.items() if name not in foreign}
    return ours | {"TOKENBOOK_DATA": str(directory), "PORT": str(port)}


def refusal(directory, port, *, command=LAUNCHER):
    finished = subprocess.run(
        command,
        env=environment(directory, port),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1, finished.stderr
    return finished.stderr


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("up")
    yield directory
    embedded.stop(directory / "postgres")


@pytest.fixture(scope="module")
def first(directory):
    launch = Launch(directory, free_port(), directory.parent / "first.log")
    launch.wait_until_up(FIRST_START_SECONDS)
    yield launch
    if launch.process.poll() is None:
        launch.stop()


@pytest.fixture(scope="module")
def second(directory, first):
    """Over what the first left, however that ended; tests leave it as it was."""
    launch = Launch(directory, free_port(), directory.parent / "second.log")
    launch.wait_until_up(SECOND_START_SECONDS)
    yield launch
    if launch.process.poll() is None:
        launch.stop()


@pytest.fixture(scope="module")
def kept(first, directory):
    """The secrets that the first start made."""
    return secrets(directory)


def family(pid):
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def survivors(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def secrets(directory):
    return {name: (directory / name).read_text() for name in ("secret_key", "demo_token")}


def test_a_taken_port_is_one_sentence(tmp_path):
    with psutil.Popen([sys.executable, "-m", "http.server", "0"], stdout=-1, stderr=-1) as other:
        wait_until(other.net_connections, 20)
        port = other.net_connections()[0].laddr.port
        try:
            sentence = refusal(tmp_path, port)
        finally:
            other.kill()

    assert f"Port {port} is taken" in sentence
    assert f"PORT={port + 1}" in sentence


def test_a_port_that_is_no_port_is_one_sentence(tmp_path):
    assert "PORT must be a number" in refusal(tmp_path, "eighty", command=[*MANAGE, "up"])


def test_a_data_directory_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()

    sentence = refusal(tmp_path / "file" / "var", free_port())

    assert "cannot be written" in sentence
    assert "TOKENBOOK_DATA" in sentence


def test_a_database_that_does_not_answer_is_no_traceback(tmp_path):
    finished = subprocess.run(
        LAUNCHER,
        env=environment(tmp_path, free_port())
        | {"DATABASE_URL": f"postgres://nobody@127.0.0.1:{free_port()}/nothing"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 1
    assert "The database does not answer" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_the_first_start_prints_a_request_to_paste_again_and_again(first):
    command = re.search(r"^curl(?:.*\\\n)*.*$", first.output, re.MULTILINE).group()

    answers = [subprocess.check_output(["bash", "-c", command], text=True) for _ in "ab"]

    assert all('"accepted":1' in answer.replace(" ", "") for answer in answers), answers


@pytest.mark.slow
def test_the_first_start_prints_a_login_that_works(first, directory):
    password = (directory / "admin_password").read_text().strip()

    assert f"Log in as admin, password {password}" in first.output
    with urllib.request.urlopen(f"{first.url}/admin/login/") as page:
        assert page.status == 200


@pytest.mark.slow
def test_secrets_are_for_the_owner_only(first, directory):
    for name in ("secret_key", "admin_password", "demo_token"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_other_users_of_the_machine_read_no_file(first, directory):
    files = [path for path in directory.rglob("*") if path.is_file()]
    open_to_all = [path for path in files if path.stat().st_mode & 0o007]

    assert [path for path in open_to_all if directory / "static" not in path.parents] == []


@pytest.mark.slow
def test_a_second_start_over_the_same_data_is_refused_in_one_sentence(first, directory):
    assert "already runs" in refusal(directory, free_port())


@pytest.mark.slow
def test_a_killed_launcher_takes_its_children_along(first, kept):
    children = family(first.process.pid)[1:]

    first.process.kill()
    first.process.wait()

    wait_until(lambda: survivors(children) == [], STOPS_SECONDS)


@pytest.mark.slow
def test_the_start_after_that_changes_nothing(second, directory, kept):
    assert secrets(directory) == kept
    assert "Making" not in second.output


@pytest.mark.slow
def test_a_web_server_that_dies_is_started_again(second):
    (web,) = (p for p in psutil.Process(second.process.pid).children() if "web" in p.cmdline())

    web.kill()

    wait_until(lambda: "web ended with SIGKILL; starting it again" in second.output, 10)
    wait_until(lambda: answers(f"{second.url}/healthz"), SECOND_START_SECONDS)


@pytest.mark.slow
def test_a_database_that_is_killed_is_started_again(second, directory):
    os.kill(embedded.postmaster_pid(directory / "postgres"), signal.SIGKILL)

    wait_until(lambda: "the database ended; starting it again" in second.output, 10)
    wait_until(lambda: answers(f"{second.url}/readyz"), SECOND_START_SECONDS)


@pytest.mark.slow
def test_ctrl_c_stops_everything(second, directory):
    processes = family(second.process.pid)
    said = len(second.output)

    assert second.stop(signal.SIGINT) == 0
    assert survivors(processes) == []
    assert not embedded.is_running(directory / "postgres")
    assert "Traceback" not in second.output[said:]


def test_an_address_for_all_is_reached_from_this_machine():
    assert Address("0.0.0.0", 80).url == "http://127.0.0.1:80"  # noqa: S104
    assert Address("::", 80).url == "http://[::1]:80"


def test_the_sample_request_speaks_of_the_demo():
    ada = organisation.KEYS["ada-laptop"]
    checkout = ("engineering", "checkout")

    assert (launcher.SAMPLE["api_key"], launcher.SAMPLE["member"]) == (ada.identifier, ada.member)
    assert (launcher.SAMPLE["workspace"], launcher.SAMPLE["project"]) == checkout
    assert checkout in {project[:2] for project in organisation.PROJECTS}


def test_the_mail_directory_is_named_unless_there_is_a_mail_server(monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:8000")
    monkeypatch.delenv("EMAIL_URL", raising=False)
    assert "Mails are files in" in launcher.banner(Address("127.0.0.1", 8000))

    monkeypatch.setenv("EMAIL_URL", "smtp://mail.example.com")
    assert "Mails are files in" not in launcher.banner(Address("127.0.0.1", 8000))


def test_the_lock_is_free_again_when_its_holder_is_gone(tmp_path):
    with launcher.locked(tmp_path / "lock"):
        pass
    with launcher.locked(tmp_path / "lock"), pytest.raises(launcher.Refusal):  # noqa: SIM117
        with launcher.locked(tmp_path / "lock"):
            pass


def test_the_data_directory_is_made(tmp_path):
    launcher.claim_data_directory(tmp_path / "a" / "b")

    assert Path(tmp_path / "a" / "b").is_dir()
