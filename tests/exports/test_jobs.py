"""Exports that the worker makes: whole, once, for those who may see the rows, and only them."""

import hashlib
import json
import os
import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs

import pytest
from django.utils import timezone

from accounts.models import AccessToken, Role
from exports import jobs, scratch, tasks
from exports.models import Export
from tests.exports.archives import full_disk
from tests.exports.test_archive import in_a_process_that_dies, killed_at
from tests.exports.test_datasets import ask
from tests.factories import bearer, make_account, make_role, make_user
from tests.usage.calls import error, send

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v1/exports/"
PERIOD = {"from": "2026-11-01", "to": "2026-12-01"}
ASKED = {"dataset": "requests", "format": "csv", "parameters": PERIOD}
State = Export.State


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORTS_URL = str(tmp_path)
    return tmp_path


@pytest.fixture
def headers(requests, acme):
    return bearer(acme, "export")


@pytest.fixture
def asked(client, headers):
    response = send(client, PATH, ASKED, headers)
    assert (response.status_code, response.json()["state"]) == (202, "queued")
    return Export.objects.get(pk=response.json()["id"])


def made(export):
    tasks.make_export(str(export.pk))
    export.refresh_from_db()
    return export


def test_it_is_asked_for_made_and_fetched(client, asked, headers, research):
    made(asked)
    found = client.get(f"{PATH}{asked.pk}/", headers=headers).json()
    response = client.get(found["download"], headers=headers)
    content = b"".join(response.streaming_content)

    manifest, totals = found["manifest"], ask(research, metrics="cost,input_tokens").totals
    assert (found["state"], found["rows"], manifest["rows"]) == ("done", 4, 4)
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["bytes"] == len(content) == int(response["Content-Length"])
    assert manifest["totals"]["cost"] == f"{totals['cost'].normalize():f}"
    assert manifest["time_zone"] == "America/New_York"
    assert content.count(b"\r\n") == 5
    assert "tokenbook-acme-requests-2026-11-01-to-2026-11-30.csv" in response["Content-Disposition"]


def test_it_is_put_into_the_queue_once_it_is_there(asked):
    from django_q.models import OrmQ

    (queued,) = OrmQ.objects.all()
    assert queued.task["func"] == "exports.tasks.make_export"
    assert queued.task["args"] == (str(asked.pk),)


def test_another_accounts_export_is_not_there(client, asked):
    outsider = bearer(make_account("outsider"), "export")
    made(asked)

    for method, path in (("get", ""), ("delete", ""), ("get", "download/")):
        call = getattr(client, method)
        assert error(call(f"{PATH}{asked.pk}/{path}", headers=outsider))[0] == 404
    nothing = {"results": [], "next": None, "previous": None}
    assert client.get(PATH, headers=outsider).json() == nothing


def test_who_sees_less_than_the_file_has_does_not_see_it(client, asked, acme):
    support = acme.workspaces.get(slug="support")
    narrowed = bearer(acme, "export", workspaces=[support])
    made(asked)

    assert client.get(f"{PATH}{asked.pk}/download/", headers=narrowed).status_code == 404
    own = send(client, PATH, ASKED, narrowed).json()
    assert made(Export.objects.get(pk=own["id"])).rows == 1


def test_reading_is_not_exporting(client, asked, acme):
    headers = bearer(acme, "read", "manage", "ingest")

    assert send(client, PATH, ASKED, headers).status_code == 403
    assert client.get(f"{PATH}{asked.pk}/download/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"dataset": "secrets"}, 400, "invalid"),
        ({"format": "doc"}, 400, "invalid"),
        ({"parameters": {"modle": "gpt-4o"}}, 400, "bad_question"),
        ({"parameters": {"model": {}}}, 400, "invalid"),
        ({"parameters": []}, 400, "invalid"),
    ],
)
def test_what_cannot_be_asked_is_told_at_once(client, headers, changes, status, code):
    assert error(send(client, PATH, ASKED | changes, headers)) == (status, code)
    assert Export.objects.count() == 0


def test_a_token_that_was_revoked_meanwhile_gets_nothing(asked):
    AccessToken.objects.update(revoked_at=timezone.now())

    assert made(asked).state == State.FAILED
    assert "may not export" in asked.error


def test_before_it_is_done_there_is_no_file(client, asked, headers):
    assert error(client.get(f"{PATH}{asked.pk}/download/", headers=headers)) == (409, "not_ready")


def test_it_can_be_cancelled_until_it_has_ended(client, asked, headers, files):
    assert client.delete(f"{PATH}{asked.pk}/", headers=headers).status_code == 204
    assert error(client.delete(f"{PATH}{asked.pk}/", headers=headers)) == (409, "not_ready")

    assert (made(asked).state, list(files.rglob("*.csv"))) == (State.CANCELLED, [])


def test_what_is_cancelled_at_work_stops_and_leaves_nothing(asked, files, monkeypatch):
    monkeypatch.setattr(jobs, "BEAT_SECONDS", 0)
    beat = jobs.Beats.__call__

    def and_then_cancelled(self, tally):
        beat(self, tally)
        jobs.cancel(asked, now=timezone.now())

    monkeypatch.setattr(jobs.Beats, "__call__", and_then_cancelled)

    assert (made(asked).state, list(files.rglob("*.csv"))) == (State.CANCELLED, [])


def test_they_are_listed_page_by_page_the_newest_first(client, asked, headers):
    ids = [send(client, PATH, ASKED, headers).json()["id"] for _ in range(2)]
    Export.objects.update(requested_at=timezone.now())  # at the same moment, all of them

    found, address = [], f"{PATH}?page_size=2"
    while address:
        page = client.get(address, headers=headers).json()
        found.append([one["id"] for one in page["results"]])
        address = page["next"]

    assert [len(page) for page in found] == [2, 1]
    assert {name for page in found for name in page} == {*ids, str(asked.pk)}
    for wrong in ("x", "5e0d6fb4-46a2-4be1-b3ae-4b1e5c1d6b10"):
        answer = client.get(f"{PATH}?cursor={wrong}", headers=headers)
        assert error(answer) == (400, "bad_question")


def test_how_far_it_is_is_told_in_percent(client, asked, headers, monkeypatch):
    told = []
    monkeypatch.setattr(jobs, "BEAT_SECONDS", 0)
    beat = jobs.Beats.__call__

    def and_look(self, tally):
        beat(self, tally)
        told.append(client.get(f"{PATH}{asked.pk}/", headers=headers).json()["percent"])

    monkeypatch.setattr(jobs.Beats, "__call__", and_look)
    made(asked)

    known = [percent for percent in told if percent is not None]
    assert known == sorted(known)
    assert all(percent < 100 for percent in known)
    assert asked.percent == 100


def test_a_second_worker_with_the_same_task_does_nothing(asked):
    first = made(asked).finished_at

    assert made(asked).finished_at == first


@pytest.mark.parametrize("where", ["digest_of", "manifest_of"])
def test_a_killed_worker_is_replaced_and_nothing_is_doubled(asked, files, where, monkeypatch):
    killed_at(monkeypatch, jobs, where)
    in_a_process_that_dies(lambda: tasks.make_export(str(asked.pk)))
    monkeypatch.undo()
    asked.refresh_from_db()
    assert asked.state == State.RUNNING

    later = timezone.now() + timedelta(minutes=2)
    jobs.revive(now=later)
    assert (made(asked).state, asked.attempt, asked.rows) == (State.DONE, 2, 4)

    assert len(list(files.rglob("*.csv"))) == 1


def test_what_kills_every_worker_is_given_up(asked):
    Export.objects.update(state=State.RUNNING, attempt=3)

    jobs.revive(now=timezone.now() + timedelta(minutes=2))

    asked.refresh_from_db()
    assert (asked.state, "3 times" in asked.error) == (State.FAILED, True)


def test_a_place_that_is_full_is_said_and_tried_again(asked, settings, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    settings.EXPORTS_URL = str(tmp_path / "file")

    assert (made(asked).state, "Not a directory" in asked.error) == (State.QUEUED, True)
    settings.EXPORTS_URL = str(tmp_path)
    jobs.revive(now=timezone.now() + jobs.AGAIN_AFTER)

    assert (made(asked).state, asked.error) == (State.DONE, "")


def test_a_full_disk_is_said_and_tried_again(asked, files):
    before = set(scratch.directory().iterdir())
    with full_disk():
        made(asked)
    assert (asked.state, "File too large" in asked.error) == (State.QUEUED, True), asked.error
    assert (list(files.rglob("*.csv")), set(scratch.directory().iterdir())) == ([], before)

    jobs.revive(now=timezone.now() + jobs.AGAIN_AFTER)

    assert (made(asked).state, asked.attempt, asked.error) == (State.DONE, 2, "")


def test_what_killed_workers_left_in_the_data_directory_goes(db):
    left, at_work = (scratch.directory() / name for name in ("left.csv", "at-work.csv"))
    for path in (left, at_work):
        path.write_text("half")
    os.utime(left, (0, 0))

    tasks.expire_exports()

    assert (left.exists(), at_work.exists()) == (False, True)
    at_work.unlink()


def test_after_a_week_its_file_is_taken_away(client, asked, headers, files):
    made(asked)

    assert jobs.expire(now=timezone.now() + timedelta(days=6)) == 0
    assert jobs.expire(now=timezone.now() + timedelta(days=8)) == 1

    assert list(files.rglob("*.csv")) == []
    assert error(client.get(f"{PATH}{asked.pk}/download/", headers=headers)) == (409, "not_ready")


def test_people_ask_in_the_admin_and_fetch_what_they_may_see(client, requests, acme):
    amina, vera, oscar = (make_user(name) for name in ("amina", "vera", "oscar"))
    make_role(amina, Role.Name.ACCOUNTANT, acme)
    make_role(vera, Role.Name.VIEWER, acme)
    make_role(oscar, Role.Name.OWNER, make_account("globex"))
    form = {"account": acme.pk, "what": "month-end", "extension": "xlsx",
            "first_day": "2026-11-01", "last_day": "2026-11-30", "question": ""}  # fmt: skip

    client.force_login(amina)
    assert client.get("/admin/exports/export/add/").status_code == 200
    assert client.post("/admin/exports/export/add/", form).status_code == 302
    export = made(Export.objects.get())
    assert (export.state, export.requested_by) == (State.DONE, amina)
    address = f"/admin/exports/export/{export.pk}/file/"
    assert b"".join(client.get(address).streaming_content)[:2] == b"PK"
    for page in ("", f"{export.pk}/change/"):
        assert client.get(f"/admin/exports/export/{page}").status_code == 200

    for who, status in ((vera, 404), (oscar, 404)):
        client.force_login(who)
        assert client.get(address).status_code == status


def test_the_form_is_filled_with_what_a_page_shows(client, requests, acme):
    client.force_login(make_user(is_superuser=True))
    address = "/admin/exports/export/add/?what=requests&account=acme&from=2026-11-01&to=2026-11-21"

    page = client.get(f"{address}&model=gpt-4o&project=a%26b&status_class=4xx&cursor=x")
    form = page.context["adminform"].form

    assert {name: str(form.initial[name]) for name in ("what", "first_day", "last_day")} == {
        "what": "requests", "first_day": "2026-11-01", "last_day": "2026-11-20",
    }  # fmt: skip
    assert form.initial["account"] == acme.pk
    assert form.initial["question"] == "model=gpt-4o&project=a%26b&status_class=4xx"


def test_pages_lead_to_the_form_with_their_filters(client, requests, acme):
    client.force_login(make_user(is_superuser=True))

    log = client.get("/admin/requests/?model=gpt-4o&from=2026-11-01").content.decode()
    explorer = client.get("/admin/explorer/?group_by=model&model=gpt-4o", follow=True)

    form = "/admin/exports/export/add/?what="
    assert f"{form}requests&amp;model=gpt-4o&amp;from=2026-11-01" in log
    (link,) = re.findall(f'href="{re.escape(form)}(usage&amp;[^"]*)"', explorer.content.decode())
    asked = parse_qs(unescape(link))
    assert (asked["group_by"], asked["model"], "limit" in asked) == (["model"], ["gpt-4o"], False)
    assert client.get(form + unescape(link)).status_code == 200


def test_a_question_that_cannot_be_asked_is_said_at_the_form(client, requests, acme):
    client.force_login(make_user(is_superuser=True))
    form = {"account": acme.pk, "what": "usage", "extension": "csv", "question": "metrics=cots"}

    response = client.post("/admin/exports/export/add/", form)
    page = response.content.decode()

    assert "did you mean cost?" in page
    assert Export.objects.count() == 0


def test_the_manifest_is_plain_json(asked):
    assert json.loads(json.dumps(made(asked).manifest))["columns"][0]["name"] == "request_id"
