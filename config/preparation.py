"""`manage.py prepare`: what must be there before web and worker start. Running it again is quick
and changes nothing.
"""

import hashlib
import io
import os
import secrets
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

from accounts.models import Account
from config import health, kept, locks
from config.directories import ADMIN_PASSWORD_FILE, DEMO_TOKEN_FILE

ADMIN = "admin"
DEMO_ACCOUNT = "acme"
DEMO_SCOPES = ("ingest", "authorize", "read", "export", "manage")

Say = Callable[[str], Any]


def prepare(say: Say) -> None:
    """One at a time: several machines may start over one database at once."""
    with locks.held(locks.Lock.PREPARATION):
        migrate(say)
        collect_static(say)
        make_demo(say)
        make_admin()


def migrate(say: Say) -> None:
    if health.has_unapplied_migrations():
        say("Making tables ...")
        call_command("migrate", interactive=False, verbosity=0)


def collect_static(say: Say) -> None:
    """Compressing and naming the files takes seconds, hence only when one of them changed."""
    stamp = settings.STATIC_ROOT / ".sources"
    sources = static_sources()
    if not stamp.is_file() or stamp.read_text() != sources:
        say("Collecting static files ...")
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
        stamp.write_text(sources)


def static_sources() -> str:
    """A digest of every static file's path, size and time."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            stat = os.stat(storage.path(path))
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def make_demo(say: Say) -> None:
    """In a new database only: a company's real data is never mixed with it."""
    if not Account.objects.exists():
        say("Making the demo ...")
        call_command("seed_demo", verbosity=0)
        DEMO_TOKEN_FILE.unlink(missing_ok=True)
    if not kept.read(DEMO_TOKEN_FILE) and Account.objects.filter(slug=DEMO_ACCOUNT).exists():
        kept.keep(DEMO_TOKEN_FILE, issue_demo_token())


def issue_demo_token() -> str:
    scopes = [argument for scope in DEMO_SCOPES for argument in ("--scope", scope)]
    output = io.StringIO()
    call_command("issue_token", "--account", DEMO_ACCOUNT, "--name", "demo", *scopes, stdout=output)
    return output.getvalue().strip()


def make_admin() -> None:
    """Without a password in the environment one is made once, and kept for as long as it is valid:
    who changes it in the admin is not overruled at the next start."""
    User = get_user_model()
    given = os.environ.get("TOKENBOOK_ADMIN_PASSWORD")
    admin = User.objects.filter(username=ADMIN).first()
    if admin is None:
        password = given or secrets.token_urlsafe(12)
        User.objects.create_superuser(ADMIN, "admin@localhost", password)
        if not given:
            kept.keep(ADMIN_PASSWORD_FILE, password)
    elif given and not admin.check_password(given):
        admin.set_password(given)
        admin.save(update_fields=["password"])
    elif not given and not admin.check_password(kept.read(ADMIN_PASSWORD_FILE)):
        ADMIN_PASSWORD_FILE.unlink(missing_ok=True)
