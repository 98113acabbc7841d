import pytest

from tests.people import make_people


@pytest.fixture
def policy(db, client):
    client.force_login(make_people().staff)
    header = client.get("/admin/").headers["Content-Security-Policy"]
    return dict(part.split(" ", 1) for part in header.split("; "))


def test_no_page_runs_a_script_that_is_written_into_it(policy):
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["object-src"] == "'none'"


def test_no_page_asks_another_host_for_anything(policy):
    assert not any("http" in sources or "*" in sources for sources in policy.values())


@pytest.mark.parametrize("path", ["/admin/login/", "/api/docs/", "/healthz", "/admin/nothing/"])
def test_every_answer_has_the_policy(client, db, path):
    assert "script-src 'self'" in client.get(path).headers["Content-Security-Policy"]
