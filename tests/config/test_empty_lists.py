"""Lists with nothing in them: what comes there, and what to do next."""

import pytest
from django.contrib import admin

from accounts.scoped_admin import ScopedAdmin
from tests.people import make_people


@pytest.fixture
def people(db):
    return make_people()


def test_every_list_says_what_comes_there():
    silent = [
        model.__name__
        for model, its_admin in admin.site._registry.items()
        if isinstance(its_admin, ScopedAdmin) and not its_admin.nothing_yet
    ]

    assert silent == []


def test_who_may_add_is_offered_to_and_who_may_not_is_not(people, client):
    client.force_login(people.owner)
    assert 'href="/admin/budgets/budget/add/' in page(client, "/admin/budgets/budget/")
    client.force_login(people.viewer)
    assert "No budgets<" in page(client, "/admin/budgets/budget/")
    assert "Add budget" not in page(client, "/admin/budgets/budget/")


def test_what_the_filters_leave_out_is_shown_again_by_a_link(people, client):
    client.force_login(people.owner)

    assert "Show all workspaces" in page(client, "/admin/accounts/workspace/?q=nothing-of-the-kind")


def page(client, address):
    return client.get(address).content.decode()
