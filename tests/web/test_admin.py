"""Administration. Covered: the set-up can be edited, every list opens, what happened can only be read."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client

from ris import models
from ris.services import performing
from tests import making

EDITABLE = {models.Room, models.Station, models.ProcedureType}


@pytest.fixture
def administrator(site, django_user_model) -> Client:
    client = Client()
    client.force_login(django_user_model.objects.get(username="admin"))
    return client


@pytest.mark.parametrize("model", list(apps.get_app_config("ris").get_models()), ids=lambda model: model.__name__)
def test_every_model(administrator, step, model):
    """Each list opens; only rooms, stations and catalogue can be added to."""
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    address = f"/admin/ris/{model._meta.model_name}/"
    assert model in admin.site._registry
    assert administrator.get(address).status_code == 200
    assert administrator.get(f"{address}add/").status_code == (200 if model in EDITABLE else 403)
    if row := model.objects.first():
        page = administrator.get(f"{address}{row.pk}/change/")
        assert page.status_code == 200
        assert (b'name="_save"' in page.content) == (model in EDITABLE)


def test_not_for_the_front_desk(molly):
    """Molly does not administer."""
    assert molly.get("/admin/").status_code == 302
