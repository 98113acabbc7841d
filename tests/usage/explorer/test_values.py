"""Search for what to filter by: only what the reader's own requests name."""

import pytest

from tests.factories import native, post, small_price_book
from tests.people import People, make_people

VALUES, EXPLORER = "/admin/explorer/values/", "/admin/explorer/"
PERIOD = {"from": "2026-11-14", "to": "2026-11-21", "metrics": "cost"}


@pytest.fixture
def recorded(db: None) -> People:
    small_price_book()
    people = make_people()
    post(
        people.acme,
        native(workspace="research", project="apollo", member="ada@acme.test"),
        native(workspace="research", project="Gemini"),
        native(workspace="support", project="apollo", status=500, error_type="Timeout"),
        native(workspace="support", model="unheard-of"),
    )
    post(people.globex, native(workspace="launch", project="moon", model="moonshot"))
    return people


def found(client, user, dimension, text="", **parameters):
    client.force_login(user)
    asked = {**PERIOD, **parameters, "dimension": dimension, "q": text}
    return client.get(VALUES, asked).json()["results"]


def names(results):
    return [result["label"] for result in results]


@pytest.mark.parametrize(
    ("dimension", "text", "expected"),
    [
        ("project", "APO", ["apollo", "apollo"]),
        ("project", "gem", ["Gemini"]),
        ("project", "no proj", ["no project"]),
        ("model", "unheard", ["unheard-of"]),
        ("workspace", "", ["Research", "Support"]),
        ("member", "ada", ["ada@acme.test"]),
        ("error_type", "time", ["Timeout"]),
        ("project", "moon", []),
        ("model", "moonshot", []),
    ],
)
def test_names_are_found_by_a_part_of_them(client, recorded, dimension, text, expected):
    assert names(found(client, recorded.viewer, dimension, text)) == expected


def test_projects_of_the_same_name_are_told_apart_by_their_workspaces(client, recorded):
    results = found(client, recorded.viewer, "project", "apo")

    assert sorted(result["detail"] for result in results) == ["Research", "Support"]


def test_a_role_in_one_workspace_finds_that_workspaces_names(client, recorded):
    assert names(found(client, recorded.support_manager, "project")) == ["apollo", "no project"]
    assert names(found(client, recorded.support_manager, "member", "ada")) == []
    assert names(found(client, recorded.outsider, "model")) == ["moonshot"]
    assert found(client, recorded.newcomer, "model") == []


def test_what_is_found_is_one_click_away_and_then_chosen(client, recorded):
    (gemini,) = found(client, recorded.viewer, "project", "gemini")

    page = client.get(f"{EXPLORER}?{gemini['query']}")

    assert [(chip.label, chip.value) for chip in page.context["filters"]] == [("Project", "Gemini")]
    query = {name: page.wsgi_request.GET.getlist(name) for name in page.wsgi_request.GET}
    assert names(found(client, recorded.viewer, "project", "gemini", **query)) == []


def test_a_second_value_is_added_to_the_first(client, recorded):
    (result,) = found(client, recorded.viewer, "model", "unheard", model="gpt-4o")

    page = client.get(f"{EXPLORER}?{result['query']}")

    assert page.context["exploration"].question.filters["model"].keys == ("gpt-4o", "unheard-of")


def test_an_unknown_dimension_is_refused_in_words(client, recorded):
    client.force_login(recorded.viewer)

    answer = client.get(VALUES, {"dimension": "modle"})

    assert answer.status_code == 400
    assert "did you mean model" in answer.json()["error"]


def test_strangers_are_asked_to_log_in(client, db):
    assert client.get(VALUES)["Location"].startswith("/admin/login/")


def test_without_a_script_the_form_adds_the_filter(client, recorded):
    client.force_login(recorded.viewer)

    answer = client.get(
        EXPLORER, {"metrics": "cost", "filter_by": "model", "filter_value": "gpt-4o"}
    )

    assert answer["Location"] == "/admin/explorer/?metrics=cost&model=gpt-4o"
