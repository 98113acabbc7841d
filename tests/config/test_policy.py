import pytest

from tests.factories import make_user


@pytest.mark.parametrize(
    "path", ["/admin/login/", "/admin/", "/admin/accounts/user/", "/admin/nothing/"]
)
def test_pages_load_and_run_only_what_is_ours(db, client, path):
    client.force_login(make_user("stella", is_superuser=True))

    policy = client.get(path).headers["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-eval';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
