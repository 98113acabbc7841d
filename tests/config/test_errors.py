"""What is answered where no view answers."""

import json

import pytest
from django.test import Client, RequestFactory

from config import errors
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
