from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.contrib.sessions.models import Session
from django.test import Client as Browser
from django.utils import timezone

from config import second_factor, throttle
from config.client_address import address_of
from config.models import AuditEntry, SecondFactor
from tests.people import People, make_people

LOGIN, CODE, FACTOR = "/admin/login/", "/admin/login/code/", "/admin/second-factor/"
PASSWORD = "correct horse"


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def log_in(client, username="olivia", password=PASSWORD, **more):
    return client.post(LOGIN, {"username": username, "password": password}, **more)


def is_in(client):
    return client.get("/admin/audit/").status_code == 200


def code_of(factor, *, at=None):
    return second_factor.totp(factor).generate(int((at or timezone.now()).timestamp())).decode()


def enrolled(user):
    """A factor whose present code is still unused, and its recovery codes."""
    factor = second_factor.begin(user)
    codes = second_factor.confirm(factor, code_of(factor), now=timezone.now())
    SecondFactor.objects.update(last_step=None)
    factor.refresh_from_db()
    return factor, codes


def actions(**filters):
    found = AuditEntry.objects.filter(object_id="", **filters).order_by("id")
    return list(found.values_list("action", flat=True))


def test_five_wrong_passwords_in_a_row_lock_the_user_there(people, client):
    for _ in range(throttle.MOST_IN_A_ROW):
        assert log_in(client, password="wrong").status_code == 200

    refused = log_in(client)

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "900")
    assert b"Too many failed log-ins" in refused.content
    assert not is_in(client)
    assert actions(user_id=people.owner.pk) == ["refused"] * 5 + ["locked"]


def test_elsewhere_and_as_somebody_else_one_still_logs_in(people):
    there, here = Browser(REMOTE_ADDR="203.0.113.7"), Browser(REMOTE_ADDR="198.51.100.1")
    for _ in range(throttle.MOST_IN_A_ROW):
        log_in(there, password="wrong")

    assert log_in(there, "marcus").status_code == 302
    assert log_in(here).status_code == 302


def test_a_right_password_starts_the_count_anew(people, client):
    for _ in range(3):
        for _ in range(throttle.MOST_IN_A_ROW - 1):
            log_in(client, password="wrong")
        assert log_in(client).status_code == 302


def test_a_lock_ends_by_itself(people, client):
    for _ in range(throttle.MOST_IN_A_ROW):
        log_in(client, password="wrong")
    now, user = timezone.now(), people.owner.pk

    assert throttle.is_locked(user, "127.0.0.1", now=now)
    assert not throttle.is_locked(user, "127.0.0.1", now=now + throttle.WINDOW)


def test_guessing_names_from_one_address_is_stopped_and_writes_no_more(people, client, monkeypatch):
    monkeypatch.setattr(throttle, "MOST_OF_ADDRESS", 4)
    for number in range(8):
        log_in(client, f"somebody-{number}", "wrong")

    assert actions() == ["refused"] * 4 + ["locked"]
    assert log_in(client).status_code == 429


def test_guessing_from_many_addresses_locks_strangers_only(people, monkeypatch):
    monkeypatch.setattr(throttle, "MOST_OF_USER", 6)
    home = Browser(REMOTE_ADDR="198.51.100.1")
    log_in(home)
    for number in range(6):
        log_in(Browser(REMOTE_ADDR=f"203.0.113.{number}"), password="wrong")

    assert log_in(Browser(REMOTE_ADDR="203.0.113.99")).status_code == 429
    assert log_in(home).status_code == 302


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "6.6.6.6", "10.0.0.1"),
        (1, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (2, "6.6.6.6, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        (2, "203.0.113.7", "203.0.113.7"),
        (1, "", "10.0.0.1"),
    ],
)
def test_only_our_own_proxies_are_believed(rf, settings, proxies, forwarded, expected):
    settings.TRUSTED_PROXIES = proxies
    request = rf.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)

    assert address_of(request) == expected


def test_an_open_redirect_is_not_followed(people, client):
    response = log_in(client, QUERY_STRING="next=https://evil.example/")

    assert response.headers["Location"] == "/admin/"


def test_sessions_end_after_twelve_hours(people, client):
    log_in(client)

    left = Session.objects.get().expire_date - timezone.now()

    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)


def test_codes_are_those_of_rfc_6238():
    totp = TOTP(b"12345678901234567890", 8, SHA1(), second_factor.STEP_SECONDS)  # noqa: S303

    assert [totp.generate(at) for at in (59, 1111111109, 20000000000)] == [
        b"94287082",
        b"07081804",
        b"65353130",
    ]


def test_a_factor_is_set_up_with_a_picture_and_a_code(people, client):
    log_in(client)
    client.post(FACTOR, {"act": "begin"})
    page = client.get(FACTOR).content.decode()
    factor = SecondFactor.objects.get()

    assert "<svg" in page
    assert second_factor.typed(factor) in page
    assert second_factor.of(people.owner) is None
    done = client.post(FACTOR, {"act": "confirm", "code": code_of(factor)})

    assert second_factor.of(people.owner) == factor
    assert len(done.context["codes"]) == second_factor.RECOVERY_CODES
    assert second_factor.typed(factor) not in client.get(FACTOR).content.decode()
    assert is_in(client)


def test_the_secret_and_the_recovery_codes_are_not_readable_in_the_database(people):
    factor, codes = enrolled(people.owner)
    kept = str(SecondFactor.objects.values().get()) + str(list(AuditEntry.objects.values()))

    assert second_factor.typed(factor).replace(" ", "") not in kept
    assert second_factor.secret_of(factor).hex() not in kept
    assert not [code for code in codes if code in kept]


def test_after_the_password_the_code_is_asked_for_everywhere(people, client):
    factor, _ = enrolled(people.owner)
    log_in(client)

    for path in ("/admin/", "/admin/requests/", "/admin/exports/usage.csv", FACTOR):
        page = client.get(path, follow=True)
        assert page.redirect_chain[-1][0].startswith(CODE), path
    assert "log_in" not in actions()

    response = client.post(f"{CODE}?next=/admin/audit/", {"code": code_of(factor)})

    assert response.headers["Location"] == "/admin/audit/"
    assert is_in(client)
    assert actions()[-1] == "log_in"


def test_a_code_is_accepted_once_and_a_little_early_or_late(people):
    factor, _ = enrolled(people.owner)
    now = timezone.now()
    late, early = (now + timedelta(seconds=s) for s in (-30, 30))

    assert not second_factor.passes(factor, code_of(factor, at=now - timedelta(minutes=2)), now=now)
    assert second_factor.passes(factor, code_of(factor, at=late), now=now)
    assert second_factor.passes(factor, code_of(factor, at=early), now=now)
    assert not second_factor.passes(factor, code_of(factor, at=now), now=now)


def test_a_new_secret_key_needs_the_former_one_beside_it(people, settings):
    factor, _ = enrolled(people.owner)
    code, former = code_of(factor), settings.SECRET_KEY

    settings.SECRET_KEY = "another-" + former
    assert not second_factor.passes(factor, code, now=timezone.now())
    settings.SECRET_KEY_FALLBACKS = [former]
    assert second_factor.passes(factor, code, now=timezone.now())


def test_a_recovery_code_works_once(people, client):
    _, codes = enrolled(people.owner)
    for expected in (True, False):
        browser = Browser()
        log_in(browser)
        browser.post(CODE, {"code": f" {codes[0].upper()} "})

        assert is_in(browser) is expected


def test_guessing_codes_locks_also_with_the_password_in_between(people, client):
    factor, _ = enrolled(people.owner)
    for _ in range(throttle.MOST_IN_A_ROW):
        log_in(client)
        client.post(CODE, {"code": "000000"})
    refused = client.post(CODE, {"code": code_of(factor)})

    assert refused.status_code == 429
    assert log_in(Browser()).status_code == 429


def test_the_code_page_is_for_those_who_have_said_their_password(people, client):
    factor, _ = enrolled(people.owner)

    assert client.post(CODE, {"code": code_of(factor)}).headers["Location"] == LOGIN
    log_in(client, "marcus")
    assert client.post(CODE, {"code": code_of(factor)}).headers["Location"] == LOGIN


def test_an_open_redirect_after_the_code_is_not_followed(people, client):
    factor, _ = enrolled(people.owner)
    log_in(client)

    response = client.post(f"{CODE}?next=//evil.example", {"code": code_of(factor)})

    assert response.headers["Location"] == "/admin/"


def test_removing_it_takes_a_code(people, client):
    factor, codes = enrolled(people.owner)
    log_in(client)
    client.post(CODE, {"code": code_of(factor)})

    client.post(FACTOR, {"act": "remove", "code": "123"})
    assert second_factor.of(people.owner) == factor
    client.post(FACTOR, {"act": "remove", "code": codes[0]})

    assert second_factor.of(people.owner) is None
    assert AuditEntry.objects.filter(table_name="config_secondfactor", action="delete").exists()


def test_where_it_is_required_one_sets_it_up_before_anything_else(people, client, settings):
    settings.REQUIRE_SECOND_FACTOR = True
    log_in(client)

    page = client.get("/admin/requests/", follow=True)

    assert page.redirect_chain[-1][0].startswith(FACTOR)
    client.post(FACTOR, {"act": "begin"})
    client.post(FACTOR, {"act": "confirm", "code": code_of(SecondFactor.objects.get())})
    assert is_in(client)


def test_a_command_removes_it_for_who_lost_everything(people, client, capsys):
    from django.core.management import call_command

    enrolled(people.owner)
    call_command("remove_second_factor", "olivia")
    log_in(client)

    assert is_in(client)
    assert "olivia" in capsys.readouterr().out
