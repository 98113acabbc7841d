"""Nothing with history is deleted, not from its page nor from its list: a better way is told."""

import pytest
from django.contrib import admin
from django.urls import reverse

from accounts.keeping import KeepsHistory
from accounts.models import Role, User
from exports.models import Destination, ExportSchedule, SentFile
from tests.config.routes import furnish
from usage.models import ModelCapability, OutageWatch, ProviderCheck, SpikeWatch

# Settings under which nothing is counted: deleting them takes nothing along.
WITHOUT_HISTORY = {Role, SpikeWatch, OutageWatch, ProviderCheck, ModelCapability}
KEPT = (ExportSchedule, Destination, User)


@pytest.fixture
def staff(db, client):
    people = furnish()
    client.force_login(people.staff)
    return client


def test_of_every_kind_it_is_known_what_deleting_takes_along(staff, rf):
    request = rf.get("/")
    request.user = User.objects.get(username="stella")
    deletable = {
        model
        for model, its_admin in admin.site._registry.items()
        if not isinstance(its_admin, KeepsHistory)
        and its_admin.has_delete_permission(request, model._default_manager.first())
        and model._meta.app_label != "django_q"
    }

    assert deletable <= WITHOUT_HISTORY


@pytest.mark.parametrize("kind", KEPT)
def test_from_its_page_what_to_do_instead_is_told(staff, kind):
    row = kind.objects.filter(**({"username": "stella"} if kind is User else {})).get()

    page = staff.post(address(kind, "delete", row.pk), {"post": "yes"}, follow=True)

    assert its_offer(kind) in page.content.decode()
    assert kind.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("kind", KEPT)
def test_from_the_list_nothing_is_deleted_either(staff, kind):
    keys = list(kind.objects.values_list("pk", flat=True))

    asked = {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
    page = staff.post(address(kind, "changelist"), asked)

    assert its_offer(kind) in page.content.decode()
    assert kind.objects.count() == len(keys)


def test_what_has_no_history_yet_may_be_deleted(staff):
    SentFile.objects.all().delete()
    row = ExportSchedule.objects.get()

    staff.post(address(ExportSchedule, "delete", row.pk), {"post": "yes"})

    assert not ExportSchedule.objects.exists()


def address(kind, page, *keys):
    return reverse(f"admin:{kind._meta.app_label}_{kind._meta.model_name}_{page}", args=keys)


def its_offer(kind):
    return admin.site.get_model_admin(kind).better_offer
