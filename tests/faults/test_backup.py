"""A dump of the database while everything runs is a whole backup: restored, its books balance."""

import os
import subprocess
import sys
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import connection

from budgets import ledger
from budgets.models import Budget
from config.embedded import binaries
from config.models import AuditEntry
from tests.factories import NOW, make_account
from tests.serving import real_environment
from tests.usage import traffic
from usage.rollups.fold import fold

RESTORED = "tokenbook_restored"

pytestmark = pytest.mark.django_db(transaction=True)


def run(command, *arguments):
    database = connection.settings_dict
    env = os.environ | {"PGHOST": database["HOST"], "PGUSER": database["USER"]}
    subprocess.run([str(binaries() / command), *arguments], env=env, check=True)


@pytest.fixture
def restored_name():
    yield RESTORED
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {RESTORED}")


def check_books(database_name):
    database = connection.settings_dict
    url = f"postgres://{database['USER']}@/{database_name}?" + urlencode({"host": database["HOST"]})
    return subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "check_books"],
        env=real_environment() | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_restored_dump_has_every_request_and_balances(tmp_path, restored_name):
    account = make_account()
    ledger.open_budget(
        Budget(account=account, name="All", scope="account", limit=5, period="total"), now=NOW
    )
    traffic.record(account, traffic.rows(200, days=[NOW.date()], zone="UTC"))
    fold(rows_at_once=100)
    dump = str(tmp_path / "tokenbook.dump")

    run("pg_dump", "--format=custom", "--file", dump, connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {restored_name}")
    run("pg_restore", "--exit-on-error", "--dbname", restored_name, dump)
    told = check_books(restored_name)

    assert (told.returncode, "200 requests" in told.stdout) == (0, True), told.stdout + told.stderr
    assert AuditEntry.objects.exists()
