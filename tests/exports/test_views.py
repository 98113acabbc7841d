import pytest
from django.db import OperationalError

from exports.catalogue import DATASETS
from exports.kinds import EXTENSIONS
from tests.exports.conftest import Downloads
from tests.factories import bearer, make_account, make_workspace

pytestmark = pytest.mark.django_db(transaction=True)

FILES = ["requests.csv", "requests.json", "usage.csv", "usage.json"]


def test_it_is_a_file_to_keep(requests, downloads):
    for name in FILES:
        response = downloads.get(f"exports/{name}", **{"from": "2026-11-01", "to": "2026-12-01"})
        response.close()  # what is left unread would hold its snapshot
        dataset, _, extension = name.partition(".")
        assert response.status_code == 200
        assert response["Content-Disposition"] == (
            f'attachment; filename="tokenbook-acme-{dataset}-2026-11-01-to-2026-11-30.{extension}"'
        )
        assert response["Content-Type"] == (
            "text/csv; charset=utf-8" if extension == "csv" else "application/json"
        )
        assert response["Cache-Control"] == "private, no-store"


def test_without_a_token_nothing_leaves(client, acme):
    for name in FILES:
        response = client.get(f"/api/v1/exports/{name}")
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "not_authenticated"


def test_reading_is_not_exporting(client, acme):
    headers = bearer(acme, "read", "manage")

    found = {client.get(f"/api/v1/exports/{name}", headers=headers).status_code for name in FILES}

    assert found == {403}


def test_another_accounts_token_finds_nothing_of_ours(client, requests):
    outsider = Downloads(client, bearer(make_account("outsider"), "export"))

    assert outsider.json("requests") == []
    assert outsider.json("requests", account="acme") == []
    assert outsider.json("usage", group_by="model", account="acme") == []


def test_a_narrowed_token_exports_its_workspace_only(client, requests, acme):
    support = acme.workspaces.get(slug="support")
    narrowed = Downloads(client, bearer(acme, "export", workspaces=[support]))

    assert [row["request_id"] for row in narrowed.json("requests")] == ["c"]
    assert narrowed.json("requests", workspace="research") == []


def test_the_address_says_the_format_whatever_accept_says(client, acme):
    make_workspace(acme)
    headers = bearer(acme, "export")

    for accept in ("text/csv", "application/json", "image/png", "*/*"):
        downloads = Downloads(client, headers | {"accept": accept})
        assert downloads.text("requests.csv").startswith("request_id,")


def test_a_question_that_cannot_be_asked_is_told(downloads):
    for name, parameters in (
        ("requests.csv", {"modle": "gpt-4o"}),
        ("requests.csv", {"from": "yesterday"}),
        ("usage.json", {"metrics": "cots"}),
    ):
        response = downloads.get(f"exports/{name}", **parameters)
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "bad_question"


def test_there_are_no_other_formats(downloads):
    for name in ("requests.doc", "requests.xlsx.gz", "secrets.csv"):
        assert downloads.get(f"exports/{name}").status_code == 404


def test_a_database_that_is_away_is_an_error_and_not_a_file(downloads, monkeypatch):
    def away(**parameters):
        raise OperationalError

    monkeypatch.setattr("exports.snapshot.psycopg.connect", away)

    assert downloads.get("exports/requests.csv").status_code == 503


def test_the_api_document_names_every_dataset_and_format(client):
    text = client.get("/api/schema/").content.decode()

    assert "/api/v1/exports/{dataset}.{extension}:" in text
    assert all(f"- {name}\n" in text for name in (*DATASETS, *EXTENSIONS))
