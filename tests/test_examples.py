"""The examples of the documentation that are marked with `<!-- run -->` do what they say."""

import re
import subprocess
import sys

import pytest

from accounts.models import Client, Scope
from tests.docs.test_pages import PAGES
from tests.factories import bearer, count, make_account, small_price_book

EXAMPLE = re.compile(r"<!-- run -->\n```(\w+)\n(.*?)```", re.DOTALL)
SITES = ("http://127.0.0.1:8000", "https://tokenbook.example")
# A refusal is a failure, and what is downloaded goes into the folder of the test.
CURL = 'set -e; curl() { command curl -fsS "$@"; }\n'


EXAMPLES = [
    (f"{page.name} {number}", language, text)
    for page in PAGES
    for number, (language, text) in enumerate(EXAMPLE.findall(page.read_text()))
]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_every_example_runs(live_web, tmp_path):
    small_price_book()
    account = make_account()
    Client.objects.create(account=account, name="Cedar Health", slug="cedar-health")
    token = bearer(account, *Scope.values)["authorization"].split()[1]
    failed = {}
    for name, language, text in EXAMPLES:
        for written, meant in (*((site, live_web.url) for site in SITES), ("tb_...", token)):
            text = text.replace(written, meant)
        command = (
            [sys.executable, "-c", text] if language == "python" else ["bash", "-c", CURL + text]
        )
        done = subprocess.run(
            command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "TOKEN": token},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            failed[name] = done.stdout + done.stderr

    assert failed == {}
    assert len(EXAMPLES) >= 7
    assert count("usage_requestlog") >= 103
