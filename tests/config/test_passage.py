"""Who may pass through a directory that was opened for one user."""

import os
import subprocess

import pytest

from config import passage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives others' ids a try")

ONE, OTHER = 54_321, 54_322


def may_pass(uid, directory):
    """Whether that user can look at what lies in the directory under a name that it knows."""
    command = ["/bin/sh", "-c", f"test -e '{directory / 'inside'}'"]
    done = subprocess.run(command, user=uid, group=uid, extra_groups=[], cwd="/", check=False)
    return done.returncode == 0


@pytest.fixture
def closed(tmp_path_factory):
    """A directory of the owner's alone, below others that anybody may pass."""
    directory = tmp_path_factory.mktemp("closed")
    for above in (directory.parent, directory.parent.parent):
        above.chmod(0o711)
    directory.chmod(0o700)
    (directory / "inside").touch()
    return directory


def test_one_user_may_pass_and_no_other(closed, capsys):
    passage.open_for(ONE, closed)

    assert (may_pass(ONE, closed), may_pass(OTHER, closed)) == (True, False)
    assert "user 54321 alone" in capsys.readouterr().err


def test_who_was_let_in_before_still_is(closed, capsys):
    passage.open_for(OTHER, closed)
    passage.open_for(ONE, closed)
    capsys.readouterr()
    passage.open_for(ONE, closed)

    assert may_pass(ONE, closed)
    assert may_pass(OTHER, closed)
    assert capsys.readouterr().err == ""  # the third time there was nothing to do


def test_without_access_lists_everybody_may_pass_and_is_told_of(closed, capsys, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    passage.open_for(ONE, closed)

    assert may_pass(OTHER, closed)
    assert "everybody" in capsys.readouterr().err
