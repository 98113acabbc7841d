"""How figures stand in lists and forms: as everywhere else, whoever looks."""

import pytest
from django.urls import reverse

from accounts.models import Account, Client, Project, Role
from tests.factories import make_role
from tests.people import make_people
from usage.models import SpikeWatch


@pytest.fixture
def people(db):
    return make_people()


def page(client, who, name, *keys):
    client.force_login(who)
    return client.get(reverse(f"admin:{name}", args=keys)).content.decode()


def test_who_may_not_change_figures_reads_them_as_they_are_written(people, client):
    shown = page(client, people.viewer, "accounts_account_change", people.acme.pk)

    assert "$15.00" in shown
    assert "15.0000" not in shown


def test_a_form_offers_cents_and_what_is_below_them(people, client):
    Account.objects.update(ceiling_input_per_million="0.0375", ceiling_output_per_million=75)

    shown = page(client, people.owner, "accounts_account_change", people.acme.pk)

    assert 'value="0.0375"' in shown
    assert 'value="75.00"' in shown


def test_lists_write_money_as_money_and_large_numbers_with_their_thousands(people, client):
    SpikeWatch.objects.create(workspace=people.research, least_dollars=1250, least_tokens=2_000_000)

    shown = page(client, people.viewer, "usage_spikewatch_changelist")

    assert "$1,250.00" in shown
    assert "2,000,000" in shown


def test_what_somebody_may_not_look_at_is_named_and_not_linked(people, client):
    initech = Client.objects.create(account=people.acme, name="Initech", slug="initech")
    apollo = Project.objects.create(workspace=people.support, tag="apollo", client=initech)
    make_role(people.newcomer, Role.Name.VIEWER, people.acme, people.support)
    link = reverse("admin:accounts_client_change", args=[initech.pk])

    for who, links in ((people.newcomer, 0), (people.viewer, 1)):
        shown = page(client, who, "accounts_project_change", apollo.pk)
        assert "Initech" in shown
        assert shown.count(link) == links
