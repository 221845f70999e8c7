"""The pages of MPPS that are passed on. Covered: who may see them, filters, live part, send again, give up, admin."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pydicom.dataset import Dataset

from ris.models import Station
from worklist import early_updates, forwarding
from worklist.destinations import MppsDestination, MppsForward
from worklist.stations import Profile

State = MppsForward.State


@pytest.fixture
def ada(site) -> Client:
    """A browser in which Ada, who is staff, is logged in."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


@pytest.fixture
def parked(site) -> MppsForward:
    """An N-CREATE that was refused, with the N-SET behind it."""
    MppsDestination.objects.create(name="PACS", ae_title="PACS", host="127.0.0.1", port=104)
    begun = Dataset()
    begun.PatientName, begun.PerformedProcedureStepStatus = "Hopper^Grace", "IN PROGRESS"
    item = Dataset()
    item.AccessionNumber = "A4711"
    begun.ScheduledStepAttributesSequence = [item]
    with transaction.atomic():
        forwarding.put_create(Profile(), "1.2.3", begun, begun.to_json_dict())
        forwarding.put_set("1.2.3", begun, {})
    MppsForward.objects.filter(verb="N-CREATE").update(
        state=State.PARKED, attempts=1, refusals=1, last_status=0x0106, last_error="No such thing"
    )
    return MppsForward.objects.get(verb="N-CREATE")


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return answer.content.decode()


def test_only_for_staff(molly, parked):
    """Molly of the front desk is refused, and changes nothing."""
    addresses = ("/stations/forwards/", f"/stations/forwards/{parked.pk}/", f"/stations/forwards/{parked.pk}/resend/")
    for address in addresses:
        assert molly.get(address).status_code == 403
    assert molly.post(addresses[2]).status_code == 403
    assert MppsForward.objects.get(pk=parked.pk).state == State.PARKED


def test_the_list(ada, parked):
    """Destinations with what waits and is parked, messages by state, early N-SETs; no patient."""
    early_updates.park("CT1", "1.2.9", {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Hopper^Grace"}]}})
    text = page(ada, "/stations/forwards/")
    for shown in ("PACS at 127.0.0.1:104", "0106H", "No such thing", "1.2.9", "N-SET without N-CREATE"):
        assert shown in text
    assert "Hopper" not in text
    assert f"/stations/forwards/{parked.pk}/" in page(ada, "/stations/forwards/?state=PARKED")
    assert f"/stations/forwards/{parked.pk}/" not in page(ada, "/stations/forwards/?state=SENT")
    assert "No message is like this" in page(ada, "/stations/forwards/?destination=99&before=x")


def test_nothing_is_configured(ada):
    """It says what to do."""
    assert "add an MPPS destination" in page(ada, "/stations/forwards/")


def test_live(ada, parked):
    """204 while nothing changed, else the live part."""
    text = page(ada, "/stations/forwards/")
    version = text.split("version=")[1].split('"')[0]
    answer = ada.get(f"/stations/forwards/?version={version}")
    assert answer.status_code == 204 or answer.context["version"] != version  # a minute may just have ended
    forwarding.give_up(parked.pk, "ada")
    answer = ada.get(f"/stations/forwards/?version={version}")
    assert answer.status_code == 200 and "<html" not in answer.content.decode()


def test_one_message(ada, parked):
    """Its attributes, those in sequences too, and what waits behind it."""
    text = page(ada, f"/stations/forwards/{parked.pk}/")
    for shown in ("Hopper^Grace", "&gt;AccessionNumber", "A4711", "0008,0050", "1 later message", "refused 1 time,"):
        assert shown in text
    assert ada.get("/stations/forwards/999/").status_code == 404


def test_by_hand(ada, parked):
    """Give up, then send again; what cannot be is said in a sentence, and another verb is none."""
    address = f"/stations/forwards/{parked.pk}"
    assert ada.get(f"{address}/give-up/").status_code == 302
    assert MppsForward.objects.get(pk=parked.pk).state == State.PARKED
    assert "Given up." in ada.post(f"{address}/give-up/", follow=True).content.decode()
    assert "Only what is parked" in ada.post(f"{address}/give-up/", follow=True).content.decode()
    assert "Waits to be sent again." in ada.post(f"{address}/resend/", follow=True).content.decode()
    found = MppsForward.objects.get(pk=parked.pk)
    assert (found.state, found.handled_by, found.refusals) == (State.WAITING, "admin", 0)
    assert ada.post(f"{address}/delete/").status_code == 404


def test_a_destination_is_added(ada):
    """Under Administration, with its stations; an AE title that is none is refused."""
    ct1 = Station.objects.get(ae_title="CT1")
    facts = {"name": "PACS", "ae_title": "PACS", "host": "pacs.example", "port": 104, "tries": 5, "is_active": "on"}
    address = "/admin/worklist/mppsdestination/add/"
    refused = ada.post(address, facts | {"ae_title": "back\\slash", "stations": [ct1.pk]})
    assert refused.status_code == 200 and not MppsDestination.objects.exists()
    assert ada.post(address, facts | {"stations": [ct1.pk]}).status_code == 302
    assert list(MppsDestination.objects.get().stations.all()) == [ct1]
    assert ada.get("/admin/worklist/mppsdestination/").status_code == 200


@pytest.mark.parametrize("address", ["/stations/forwards/", "/hl7/outbox/"])
def test_ages_go_on(ada, address, monkeypatch):
    """How long something waits is in words: a page on which nothing else happens is another one each minute."""
    version, now = ada.get(address).context["version"], timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(minutes=1))
    assert ada.get(f"{address}?version={version}").status_code == 200


def test_why_a_destination_is_behind(ada, parked):
    """What is wrong with the oldest that waits stands beside its destination, not pages below."""
    MppsForward.objects.filter(verb="N-SET").update(last_error="It cannot be reached")
    assert 'SENDING</span><br><span class="muted">It cannot be reached' in page(ada, "/stations/forwards/")
