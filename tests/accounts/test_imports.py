"""Files of configuration: many rows quickly, errors in words with their row, all or nothing."""

import html

import pytest
import tablib
from django.test import Client as Browser

from accounts.import_files import CsvFile
from accounts.models import ApiKey, Client, Member, Project
from accounts.resources import ApiKeyResource, MemberResource, ProjectResource
from tests.people import make_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def people():
    return make_people()


def upload(client: Browser, model: str, text: str):
    from django.core.files.uploadedfile import SimpleUploadedFile

    file = SimpleUploadedFile("rows.csv", text.encode(), content_type="text/csv")
    return client.post(f"/admin/accounts/{model}/import/", {"format": "0", "import_file": file})


def test_thousands_of_rows_take_few_queries(people, django_assert_max_num_queries):
    Client.objects.create(account=people.acme, slug="initech", name="Initech")
    rows = tablib.Dataset(
        *(("research", f"project-{n}", f"Project {n}", "initech") for n in range(2_000)),
        headers=("workspace", "tag", "name", "client"),
    )
    reach = {"workspaces": [people.research.pk, people.support.pk]}

    with django_assert_max_num_queries(60):
        previewed = ProjectResource(**reach).import_data(rows, dry_run=True)
        assert Project.objects.count() == 0
        imported = ProjectResource(**reach).import_data(rows, raise_errors=True)

    assert (len(previewed.rows), imported.totals["new"]) == (2_000, 2_000)
    assert Project.objects.filter(client__slug="initech").count() == 2_000


def test_rows_that_are_there_are_changed_or_left_alone(people):
    Member.objects.create(account=people.acme, identifier="ada", name="Ada")
    Member.objects.create(account=people.acme, identifier="bob", name="Bob")
    rows = tablib.Dataset(
        ("acme", "ada", "Ada", "person"),
        ("acme", "bob", "Robert", "service"),
        ("acme", "eve", "Eve", "person"),
        headers=("account", "identifier", "name", "kind"),
    )

    done = MemberResource(accounts=[people.acme.pk]).import_data(rows, raise_errors=True)

    assert {k: done.totals[k] for k in ("new", "update", "skip")} == {
        "new": 1, "update": 1, "skip": 1,
    }  # fmt: skip
    assert Member.objects.get(identifier="bob").name == "Robert"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("nowhere,key-1,,", "There is no workspace 'nowhere'."),
        ("launch,key-1,,", "There is no workspace 'launch'."),
        ("research,key-1,,nobody",
         "There is no member 'nobody' in the account of the workspace 'research'."),
        ("research,key-0,,", "Row 1 has the same workspace and identifier already."),
        ("research,,,", "This field cannot be blank."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words_with_its_row_and_nothing_is_imported(
    client, people, row, said
):
    client.force_login(people.manager)

    response = upload(
        client, "apikey", f"workspace,identifier,name,member\nresearch,key-0,First,\n{row}\n"
    )

    result = response.context["result"]
    assert said in html.unescape(response.content.decode())
    assert [wrong.number for wrong in (*result.error_rows, *result.invalid_rows)] == [2]
    assert ApiKey.objects.count() == 0


def test_a_file_is_previewed_and_then_confirmed(client, people):
    client.force_login(people.manager)
    page = upload(client, "apikey", "workspace,identifier\nresearch,key-1\n")
    assert ApiKey.objects.count() == 0

    form = page.context["confirm_form"]
    client.post("/admin/accounts/apikey/process_import/", form.initial)

    assert ApiKey.objects.get().workspace == people.research


def test_a_template_has_the_columns_of_an_import(client, people):
    client.force_login(people.manager)
    response = client.get("/admin/accounts/apikey/template.csv")

    assert response.content.decode() == "workspace,identifier,name,member\r\n"
    assert b"template.csv" in client.get("/admin/accounts/apikey/import/").content
    client.force_login(people.viewer)
    assert client.get("/admin/accounts/apikey/template.csv").status_code == 403


def test_a_key_is_never_imported_as_it_is(people):
    secret = "sk-proj-1234567890abcdefghijklmnop"
    rows = tablib.Dataset(("research", secret), headers=("workspace", "identifier"))

    ApiKeyResource(workspaces=[people.research.pk]).import_data(rows, raise_errors=True)

    assert ApiKey.objects.get().identifier != secret


UMLAUT = "account,identifier,name\nacme,k@acme.test,Käthe\n"


@pytest.mark.parametrize(
    "file",
    [
        UMLAUT.encode("utf-8-sig"),
        UMLAUT.encode("cp1252"),
        UMLAUT.replace(",", ";").encode(),
        UMLAUT.replace(",", "\t").replace("\n", "\r\n").encode(),
    ],
)
def test_a_file_is_read_as_spreadsheets_of_any_country_save_it(people, file):
    rows = CsvFile().create_dataset(file)

    assert rows.dict == [{"account": "acme", "identifier": "k@acme.test", "name": "Käthe"}]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("account,identifer\nacme,ada\n",
         "There is no column 'identifer': did you mean identifier? The column identifier is "
         "missing. The columns are account, identifier, name, email, kind."),
        ("account,identifier,emial\nacme,ada,a@b.c\n", "did you mean email?"),
        ("account,identifier,name\nacme,ada,Lovelace, Ada\n", "Row 1 has 4 cells"),
        ("PK\x03\x04\x00\x00", "Choose the format that it was saved in."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_whole_file_is_said_without_words_of_the_program(
    client, people, file, said
):
    client.force_login(people.manager)

    page = html.unescape(upload(client, "member", file).content.decode())

    assert said in page
    assert "Traceback" not in page
    assert Member.objects.count() == 0
