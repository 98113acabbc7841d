"""What is answered where no view answers."""

import json

import pytest
from django.test import Client, RequestFactory

from config import errors
from tests.config.routes import address_of, furnish, routes
from tests.usage.calls import error


@pytest.mark.parametrize("path", ["/api/v1/nothing/", "/api/nothing", "/api/v1/usage/nothing"])
def test_a_program_that_asks_for_no_route_hears_it_in_the_one_shape(path):
    assert error(Client().get(path)) == (404, "not_found")


def test_a_person_who_asks_for_no_page_sees_a_page():
    answer = Client().get("/nothing/")

    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_a_bug_behind_the_api_is_told_in_the_one_shape():
    answer = errors.failed(RequestFactory().get("/api/v1/usage/"))

    assert answer.status_code == 500
    assert json.loads(answer.content)["error"]["code"] == "error"


def test_what_is_sent_without_the_slash_is_refused_and_not_led_astray(db):
    """A redirect is followed by GET: the caller would think that something was stored."""
    furnish()
    api = [address_of(route) for route in routes() if route.name.startswith("api:")]
    answers = {
        (method, path): getattr(Client(), method)(path.rstrip("/"))
        for method in ("post", "put", "patch", "delete")
        for path in api
    }

    assert "/api/v1/budgets/" in api
    assert [one for one, answer in answers.items() if answer.status_code < 400] == []
    assert {answer["Content-Type"] for answer in answers.values()} == {"application/json"}


def test_who_only_asks_without_the_slash_is_led_to_the_answer():
    answer = Client().get("/api/v1/usage?metrics=cost")

    assert (answer.status_code, answer.url) == (301, "/api/v1/usage/?metrics=cost")
