import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finder

from accounts.models import Account
from config import kept, preparation

pytestmark = pytest.mark.django_db


@pytest.fixture
def password_file(monkeypatch, tmp_path):
    path = tmp_path / "admin_password"
    monkeypatch.setattr(preparation, "ADMIN_PASSWORD_FILE", path)
    monkeypatch.delenv("TOKENBOOK_ADMIN_PASSWORD", raising=False)
    return path


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The names of the commands that are called, instead of calling them."""
    called = []
    monkeypatch.setattr(preparation, "DEMO_TOKEN_FILE", tmp_path / "demo_token")
    monkeypatch.setattr(
        preparation, "call_command", lambda name, *_, **__: called.append(name) or ""
    )
    monkeypatch.setattr(preparation, "issue_demo_token", lambda: "tb_demo")
    return called


def admin():
    return get_user_model().objects.get(username="admin")


def say_nothing(_):
    pass


def test_the_administrator_gets_a_password_that_is_kept(password_file):
    preparation.make_admin()

    assert admin().is_superuser
    assert admin().check_password(kept.read(password_file))
    assert password_file.stat().st_mode & 0o777 == 0o600


def test_the_password_of_the_environment_is_not_written_down(password_file, monkeypatch):
    monkeypatch.setenv("TOKENBOOK_ADMIN_PASSWORD", "from the environment")

    preparation.make_admin()

    assert admin().check_password("from the environment")
    assert not password_file.exists()


def test_a_password_in_the_environment_replaces_the_old_one(password_file, monkeypatch):
    preparation.make_admin()
    monkeypatch.setenv("TOKENBOOK_ADMIN_PASSWORD", "from the environment")

    preparation.make_admin()

    assert admin().check_password("from the environment")


def test_a_password_that_was_changed_in_the_admin_is_left_alone(password_file):
    preparation.make_admin()
    user = admin()
    user.set_password("my own password")
    user.save()

    preparation.make_admin()

    assert admin().check_password("my own password")
    assert not password_file.exists()


def test_a_new_database_gets_the_demo_once(commands):
    preparation.make_demo(say_nothing)
    Account.objects.create(name="Acme", slug="acme")
    preparation.make_demo(say_nothing)

    assert commands == ["seed_demo"]
    assert kept.read(preparation.DEMO_TOKEN_FILE) == "tb_demo"


def test_a_database_in_use_gets_no_demo(commands):
    Account.objects.create(name="Real", slug="real")

    preparation.make_demo(say_nothing)

    assert commands == []
    assert not preparation.DEMO_TOKEN_FILE.exists()


def test_a_token_of_a_former_database_is_replaced(commands):
    kept.keep(preparation.DEMO_TOKEN_FILE, "tb_of_a_database_that_is_gone")

    preparation.make_demo(say_nothing)

    assert not preparation.DEMO_TOKEN_FILE.exists()


def test_static_files_are_collected_only_when_one_changed(settings, tmp_path):
    said, more = [], tmp_path / "more"
    more.mkdir()
    settings.STATIC_ROOT, settings.STATICFILES_DIRS = tmp_path / "static", [more]
    # Django keeps its finders from before the setting changed.
    get_finder.cache_clear()

    preparation.collect_static(said.append)
    preparation.collect_static(said.append)
    assert len(said) == 1

    (more / "new.css").touch()
    preparation.collect_static(said.append)
    assert len(said) == 2
