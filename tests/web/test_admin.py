"""Administration. Covered: the set-up can be edited, every list opens, what happened can only be read."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client

from ris import models
from ris.services import performing
from tests import making

EDITABLE = {models.Room, models.Department, models.Station, models.ProcedureType}
#: Edited in the page of its station.
INLINE = {models.StationAlias}


@pytest.fixture
def administrator(site, django_user_model) -> Client:
    client = Client()
    client.force_login(django_user_model.objects.get(username="admin"))
    return client


@pytest.mark.parametrize(
    "model", sorted(set(apps.get_app_config("ris").get_models()) - INLINE, key=str), ids=lambda model: model.__name__
)
def test_every_model(administrator, step, model):
    """Each list opens; only rooms, departments, stations and catalogue can be added to."""
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


def saved(administrator, station, *aliases: str, **changed) -> str:
    """What the station's page says after it was saved so; empty if it was accepted."""
    form = administrator.get(f"/admin/ris/station/{station.pk}/change/").context["adminform"].form
    data = {name: form[name].value() for name in form.fields}
    data = {name: "" if value is None else value for name, value in data.items() if value is not False} | changed
    data |= {"aliases-TOTAL_FORMS": len(aliases), "aliases-INITIAL_FORMS": 0}
    for number, title in enumerate(aliases):
        data |= {f"aliases-{number}-ae_title": title, f"aliases-{number}-station": station.pk}
    answer = administrator.post(f"/admin/ris/station/{station.pk}/change/", data)
    return "" if answer.status_code == 302 else answer.content.decode()


def test_a_stations_profile(administrator):
    """Every field of a profile is on the station's page, aliases too; what is saved is what the worklist goes by."""
    station = models.Station.objects.get(ae_title="CT1")
    form = administrator.get(f"/admin/ris/station/{station.pk}/change/").context["adminform"].form
    assert set(form.fields) == {field.name for field in models.Station._meta.fields if field.editable} - {"id"}
    assert saved(administrator, station, "CT1_OLD", days_before="2", only_arrived="on", mpps_strictness="STRICT") == ""
    station.refresh_from_db()
    assert (station.days_before, station.only_arrived, station.mpps_strictness) == (2, True, "STRICT")
    assert [alias.ae_title for alias in station.aliases.all()] == ["CT1_OLD"]


def test_an_ae_title_is_one_stations(administrator):
    """No alias is another station's title, and no title another's alias."""
    station, other = models.Station.objects.filter(ae_title__in=["CT1", "CT2"])
    assert "the AE title of another station" in saved(administrator, station, "CT2")
    assert saved(administrator, station, "CT1_OLD") == ""
    assert "is an alias of CT1" in saved(administrator, other, ae_title="CT1_OLD")
    assert "already exists" in saved(administrator, other, "CT1_OLD")
