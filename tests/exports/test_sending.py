"""Schedules: each period sent once, caught up once, tried again, corrected."""

import contextlib
import json
import os
from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen

import pytest

from accounts.models import Role
from exports import sending
from exports.models import Destination, ExportSchedule, SentFile
from tests.exports.test_archive import in_a_process_that_dies, killed_at
from tests.factories import make_account, make_role, make_user, native, post

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = datetime(2026, 11, 19, 12, tzinfo=UTC)  # in New York the 19th
AFTER = datetime(2026, 11, 21, 12, tzinfo=UTC)  # the 19th and the 20th are over
PATH = "/admin/exports"


@pytest.fixture(scope="session")
def s3():
    """S3-compatible storage on this machine, with one bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="finance")
    yield url, client
    server.stop()


@pytest.fixture
def folder(settings, tmp_path):
    settings.EXPORT_FOLDER = str(tmp_path)
    return tmp_path


@pytest.fixture
def destination(requests, acme, folder):
    return Destination.objects.create(account=acme, name="disk", kind="folder", folder="books")


@pytest.fixture
def daily(destination, acme):
    return schedule(destination)


def schedule(destination, **more):
    fields = {"account": destination.account, "name": "Nightly", "dataset": "requests",
              "extension": "csv", "every": "day", "starts_at": BEFORE}  # fmt: skip
    return ExportSchedule.objects.create(destination=destination, **fields | more)


def work(now=AFTER):
    """What the ticks and tasks do."""
    sending.plan(now=now)
    for file in SentFile.objects.due(now=now).order_by("start_at"):
        sending.send(file.pk, now=now)


def files():
    rows = SentFile.objects.order_by("start_at", "correction")
    return [(file.file_name, file.state, file.manifest and file.manifest["rows"]) for file in rows]


NAMES = [f"tokenbook-acme-nightly-day-2026-11-{day}.csv" for day in (19, 20)]


def test_each_period_is_sent_once_when_it_is_over(daily, folder):
    work(now=datetime(2026, 11, 20, 5, 4, tzinfo=UTC))  # four minutes after midnight
    assert files() == []
    for _ in range(3):
        work()

    assert files() == [(NAMES[0], "sent", 1), (NAMES[1], "sent", 3)]
    sent = {path.name: path.read_bytes() for path in (folder / "acme/books").iterdir()}
    assert set(sent) == {*NAMES, *(f"{name}.manifest.json" for name in NAMES)}
    manifest = json.loads(sent[f"{NAMES[1]}.manifest.json"])
    assert (manifest["bytes"], manifest["schedule"]) == (len(sent[NAMES[1]]), "Nightly")


def test_missed_runs_are_caught_up_once(daily):
    work(now=AFTER + timedelta(days=3))
    work(now=AFTER + timedelta(days=3))

    assert [name for name, _, _ in files()] == [
        f"tokenbook-acme-nightly-day-2026-11-{day}.csv" for day in (19, 20, 21, 22, 23)
    ]


def test_late_requests_lead_to_a_file_that_is_marked(daily, acme, folder):
    work()
    assert sending.correct(now=AFTER) == 0
    post(acme, native(request_id="late", workspace="research"), now=AFTER)

    assert sending.correct(now=AFTER) == 1
    assert sending.correct(now=AFTER) == 0
    work()

    name = "tokenbook-acme-nightly-day-2026-11-20-correction-1.csv"
    assert files()[1:] == [(NAMES[1], "sent", 3), (name, "sent", 4)]
    assert json.loads((folder / f"acme/books/{name}.manifest.json").read_text())["correction"] == 1
    assert sending.correct(now=AFTER) == 0


def test_a_bucket_gets_the_file_and_its_manifest(requests, acme, s3, settings):
    url, client = s3
    settings.EXPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    bucket = bucket_of(acme, url)
    schedule(bucket, dataset="month-end", extension="parquet", name="Close")
    work()

    keys = [o["Key"] for o in client.list_objects_v2(Bucket="finance", Prefix="llm")["Contents"]]
    assert f"llm/{files()[1][0]}" in keys
    assert len(keys) == 4


def bucket_of(account, url, **more):
    fields = {"kind": "bucket", "bucket": "finance", "prefix": "llm", "access_key": "key"}
    made = Destination(account=account, name="s3", endpoint=url, **fields | more)
    made.set_secret("secret")
    made.save()
    return made


@pytest.mark.parametrize(
    ("more", "said"),
    [({"bucket": "nowhere"}, "no bucket nowhere"), ({"encrypted_secret": ""}, "no secret key")],
)
def test_what_goes_wrong_with_a_bucket_is_said_and_tried_again(
    requests, acme, s3, settings, more, said
):
    settings.EXPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    bucket = bucket_of(acme, s3[0])
    Destination.objects.filter(pk=bucket.pk).update(**more)
    schedule(bucket)
    work()

    file = SentFile.objects.earliest("start_at")
    assert (file.state, said in file.error) == ("waiting", True), file.error
    assert file.next_attempt_at > AFTER


def test_a_key_that_the_storage_does_not_know_is_said(requests, acme, s3, settings):
    settings.EXPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    schedule(bucket_of(acme, s3[0]))
    with keys_checked(s3[0]):
        work(now=datetime(2026, 11, 20, 12, tzinfo=UTC))
    file = SentFile.objects.get()
    assert (file.state, file.error) == ("waiting", "The storage does not know this access key.")

    work(now=datetime.now(UTC) + timedelta(minutes=2))

    assert files()[0][:2] == (NAMES[0], "sent")


@contextlib.contextmanager
def keys_checked(url):
    """Before and after, the storage takes whoever comes."""
    check_keys(url, after_calls=b"0")
    yield
    check_keys(url, after_calls=b"inf")


def check_keys(url, *, after_calls):
    text = {"Content-Type": "text/plain"}
    urlopen(Request(f"{url}/moto-api/reset-auth", after_calls, text)).close()


def test_a_bucket_that_is_away_is_said(requests, acme, settings):
    settings.EXPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    schedule(bucket_of(acme, "http://127.0.0.1:9"))
    work(now=datetime(2026, 11, 20, 12, tzinfo=UTC))

    assert "Could not connect" in SentFile.objects.get().error


def test_people_get_it_by_mail(requests, acme, smtp_server):
    mail = Destination.objects.create(
        account=acme, name="mail", kind="mail", recipients=["amina@acme.test"]
    )
    schedule(mail, extension="xlsx", dataset="month-end", name="Close")
    work()

    message = smtp_server.messages[1]
    names = [part.get_filename() for part in message.iter_attachments()]
    assert names == [files()[1][0], f"{files()[1][0]}.manifest.json"]
    assert message["Subject"] == "Close: 2026-11-20 to 2026-11-21"
    assert "SHA-256" in message.get_body().get_content()


def test_a_mailbox_that_does_not_exist_is_said(requests, acme, smtp_server):
    mail = Destination.objects.create(
        account=acme, name="mail", kind="mail", recipients=["amina@acme.test"]
    )
    schedule(mail)
    smtp_server.refuse("amina@acme.test")
    work(now=datetime(2026, 11, 20, 12, tzinfo=UTC))

    file = SentFile.objects.get()
    assert (file.state, "550" in file.error) == ("waiting", True)
    assert "The mail was not taken" in file.error


def test_a_mail_server_that_is_down_is_waited_for(requests, acme, smtp_server):
    mail = Destination.objects.create(
        account=acme, name="mail", kind="mail", recipients=["amina@acme.test"]
    )
    schedule(mail)
    smtp_server.close()
    work()
    smtp_server.start()
    assert {state for _, state, _ in files()} == {"waiting"}

    work(now=datetime.now(UTC) + timedelta(minutes=2))

    assert len(smtp_server.messages) >= 2
    assert files()[0][1] == "sent"


def test_a_worker_killed_while_sending_is_replaced(daily, folder, monkeypatch):
    sending.plan(now=AFTER)
    first = SentFile.objects.earliest("start_at")
    killed_at(monkeypatch, sending, "hand_over")
    in_a_process_that_dies(lambda: sending.send(first.pk, now=AFTER))
    monkeypatch.undo()
    assert not SentFile.objects.due(now=AFTER + timedelta(seconds=1)).filter(pk=first.pk).exists()

    SentFile.objects.update(next_attempt_at=AFTER)
    work(now=AFTER + 2 * sending.LEASE)

    assert files()[0][:2] == (NAMES[0], "sent")
    assert len([p for p in (folder / "acme/books").iterdir() if p.name == NAMES[0]]) == 1


def test_in_the_end_it_is_given_up_until_somebody_asks(daily, settings):
    settings.EXPORT_FOLDER = ""
    sending.plan(now=AFTER)
    SentFile.objects.update(attempts=sending.MOST_ATTEMPTS - 1)
    work()
    assert {state for _, state, _ in files()} == {"failed"}

    assert sending.try_again(SentFile.objects.all(), now=AFTER) == 2
    assert {state for _, state, _ in files()} == {"waiting"}


def test_a_link_out_of_the_folder_is_not_followed(daily, folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "acme").mkdir()
    os.symlink(elsewhere, folder / "acme/books")

    work()

    assert list(elsewhere.iterdir()) == []
    assert "not below" in SentFile.objects.earliest("start_at").error


def test_people_set_it_up_in_the_admin_and_the_secret_is_never_shown(client, acme, settings):
    settings.EXPORT_ALLOWED_HOSTS = ["127.0.0.1"]
    amina, oscar = make_user("amina"), make_user("oscar")
    make_role(amina, Role.Name.ACCOUNTANT, acme)
    make_role(oscar, Role.Name.OWNER, make_account("globex"))
    client.force_login(amina)
    form = {"account": acme.pk, "name": "s3", "kind": "bucket", "bucket": "finance",
            "endpoint": "http://127.0.0.1:9", "access_key": "key", "recipients": ""}  # fmt: skip

    assert client.post(f"{PATH}/destination/add/", form).status_code == 200
    assert client.post(f"{PATH}/destination/add/", form | {"secret_key": "hush"}).status_code == 302
    made = Destination.objects.get()
    page = f"{PATH}/destination/{made.pk}/change/"
    assert b"hush" not in client.get(page).content
    elsewhere = form | {"endpoint": "https://8.8.8.8"}
    assert b"Enter the secret key" in client.post(page, elsewhere).content
    plan = {"account": acme.pk, "name": "Close", "what": "month-end", "extension": "csv",
            "every": "month", "destination": made.pk, "active": "on", "question": ""}  # fmt: skip
    wrong = client.post(f"{PATH}/exportschedule/add/", plan | {"question": "modle=x"})
    assert b"There is no parameter" in wrong.content
    assert client.post(f"{PATH}/exportschedule/add/", plan).status_code == 302
    assert client.get(f"{PATH}/exportschedule/").status_code == 200
    assert client.get(f"{PATH}/sentfile/").status_code == 200

    client.force_login(oscar)
    assert client.get(page).status_code == 404
    stolen = plan | {"account": make_account("third").pk}
    assert client.post(f"{PATH}/exportschedule/add/", stolen).status_code == 200
    assert ExportSchedule.objects.count() == 1
