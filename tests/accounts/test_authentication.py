"""Bearer tokens: which let in, which do not, and that all refusals look and cost the same."""

import hmac
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from accounts import authentication
from accounts.authentication import REFUSED, token_for
from accounts.models import AccessToken, Account, digest_of
from accounts.tokens import issue, revoke
from tests.factories import fetch, make_account, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Account:
    return make_account("acme")


def refusal(header: str) -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        token_for(header)
    return str(caught.value.detail)


def test_a_token_lets_in(acme):
    token, text = issue(account=acme, name="gateway", scopes=["ingest"])

    found = token_for(f"Bearer {text}")

    assert (found, found.account, found.scopes) == (token, acme, ["ingest"])


def test_the_word_bearer_may_be_written_any_way(acme):
    _, text = issue(account=acme, name="gateway", scopes=["ingest"])

    assert token_for(f"bearer   {text} ").name == "gateway"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer abc",
        "Bearer tb_",
        "Bearer tb__secret",
        "Basic dGI6dGI=",
        "tb_0123456789abcdef_secret",
        "Bearer tb_%s_x",
        "Bearer tb_a\x00b_x",
        "Bearer sk_0123456789abcdef_x",
    ],
)
def test_what_is_no_token_is_refused_with_what_to_send(header):
    assert refusal(header) == "Send the header: Authorization: Bearer tb_..."


@pytest.mark.parametrize(
    "header",
    ["Bearer tb_0123456789abcdef_secret", "Bearer tb_x_" + "y" * 100_000, "Bearer tb_é_é"],
    ids=["well-formed", "long", "accents"],
)
def test_an_unknown_token_is_refused(header):
    assert refusal(header) == REFUSED


def test_every_kind_of_refusal_says_the_same(acme):
    now = timezone.now()
    wrong, revoked, expired, archived = (
        issue(account=acme, name=n, scopes=["read"]) for n in "abcd"
    )
    revoke(revoked[0], now=now)
    AccessToken.objects.filter(pk=expired[0].pk).update(expires_at=now)
    other = make_account("globex", archived_at=now)
    AccessToken.objects.filter(pk=archived[0].pk).update(account=other)

    texts = [wrong[1][:-1] + "!", revoked[1], expired[1], archived[1], "tb_0123456789abcdef_x"]

    assert {refusal(f"Bearer {text}") for text in texts} == {REFUSED}


def test_a_token_that_expires_later_lets_in(acme):
    later = timezone.now() + timedelta(hours=1)
    _, text = issue(account=acme, name="soon", scopes=["read"], expires_at=later)

    assert token_for(f"Bearer {text}").name == "soon"


def test_another_tokens_secret_opens_nothing(acme):
    mine, theirs = (issue(account=acme, name=n, scopes=["read"])[1] for n in ("mine", "theirs"))
    public_id, secret = mine.split("_")[1], theirs.split("_", 2)[2]

    assert refusal(f"Bearer tb_{public_id}_{secret}") == REFUSED


@pytest.mark.parametrize("public_id", ["known", "0123456789abcdef"])
def test_digests_are_compared_in_constant_time_whether_or_not_the_id_is_known(
    acme, monkeypatch, public_id
):
    token, _ = issue(account=acme, name="gateway", scopes=["read"])
    compared = []

    class Watched:
        @staticmethod
        def compare_digest(a: str, b: str) -> bool:
            compared.append((a, b))
            return hmac.compare_digest(a, b)

    monkeypatch.setattr(authentication, "hmac", Watched)
    known = token.public_id if public_id == "known" else public_id

    assert refusal(f"Bearer tb_{known}_guess") == REFUSED
    assert len(compared) == 1
    assert compared[0][1] == digest_of("guess")


def test_an_empty_secret_opens_nothing(acme):
    assert refusal("Bearer tb_0123456789abcdef_") == REFUSED
    assert refusal("Bearer tb_0123456789abcdef") == REFUSED


def test_only_a_digest_is_stored(acme):
    token, text = issue(account=acme, name="gateway", scopes=["read"])
    secret = text.split("_", 2)[2]

    everything = str(fetch("SELECT * FROM accounts_accesstoken"))

    assert secret not in everything
    assert token.digest == digest_of(secret)
    assert token.public_id in everything


def test_a_digest_depends_on_the_sites_key(settings):
    before = digest_of("secret")
    settings.SECRET_KEY = "another-key-of-the-site-0123456789-abcdefghijklmnop"

    assert digest_of("secret") != before


def test_use_is_noted_to_the_minute(acme, django_assert_num_queries):
    token, text = issue(account=acme, name="gateway", scopes=["read"])
    token_for(f"Bearer {text}")
    first = AccessToken.objects.get().last_used_at
    assert first is not None

    with django_assert_num_queries(1):  # the look-up, and no write
        token_for(f"Bearer {text}")
    assert AccessToken.objects.get().last_used_at == first

    token.refresh_from_db()
    token.note_use(now=first + timedelta(minutes=1, seconds=1))
    assert AccessToken.objects.get().last_used_at > first


def test_the_workspaces_that_a_token_is_narrowed_to_come_with_it(acme, django_assert_num_queries):
    one = make_workspace(acme, "one")
    make_workspace(acme, "two")
    _, text = issue(account=acme, name="narrow", scopes=["read"], workspaces=[one])
    token_for(f"Bearer {text}")

    with django_assert_num_queries(1):
        token = token_for(f"Bearer {text}")
        assert (token.account.slug, token.narrowed_to) == ("acme", [one.pk])


def test_the_look_up_uses_the_index(acme):
    for number in range(100):
        issue(account=acme, name=f"{number}", scopes=["read"])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_accesstoken")
        cursor.execute("EXPLAIN " + authentication.USABLE_TOKEN, ["x", timezone.now()])
        plan = str(cursor.fetchall())

    assert "accounts_accesstoken_public_id" in plan
