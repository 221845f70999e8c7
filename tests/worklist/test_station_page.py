"""What a real scanner does at the doors, as the station's page tells it and an explanation replays it."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from pydicom.dataset import Dataset

from ris.models import Station
from tests import making
from tests.waiting import wait_until
from worklist import activity, activity_rows
from worklist.emulator import Refused
from worklist.models import StationActivity, TextLoss, WorklistQuery

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def recording(monkeypatch) -> None:
    monkeypatch.setattr(activity.recorder, "facts", activity_rows.Facts())


@pytest.fixture
def ada(site) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


def written(model: Any, **wanted: Any) -> Any:
    """The row, as soon as the door's thread has noted it and it is written."""

    def found() -> Any:
        activity.recorder.write()
        return model.objects.filter(**wanted).first()

    return wait_until(found)


def test_a_scanners_day(scanner, ada):
    """Echo, query, MPPS and images: each leaves its sign of life."""
    making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    scanner.echo()
    [entry] = scanner.find(ScheduledStationAETitle="CT1", PatientName="Hopper*")
    exam = scanner.start(entry)
    scanner.store(exam, 2)
    scanner.complete(exam)
    seen = {"echo_at__isnull": False, "query_answers": 1, "mpps_at__isnull": False, "image_at__isnull": False}
    signs = written(StationActivity, **seen)
    assert (signs.station.ae_title, signs.address) == ("CT1", "127.0.0.1")
    shown = ada.get(f"/stations/{signs.station_id}/").content.decode()
    for words in ("ScheduledStationAETitle <strong>CT1</strong>", "a pattern (hidden)", "0000H success", "just now"):
        assert words in shown
    assert "Hop" not in shown


def test_a_question_is_replayed(scanner, ada):
    """A scanner that asks for another patient's number did not get the exam: the page says by which key."""
    order = making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    assert scanner.find(AccessionNumber="A9999", Modality="CT") == []
    asked = written(WorklistQuery, answers=0)
    answer = ada.post("/stations/explain/", {"accession": order.accession_number, "query": asked.pk})
    page = answer.content.decode()
    assert "AccessionNumber: the query asked for another one." in page
    assert "Modality:" not in page
    assert "A9999" not in page
    assert len(scanner.find(AccessionNumber=order.accession_number)) == 1
    asked = written(WorklistQuery, answers=1)
    answer = ada.post("/stations/explain/", {"accession": order.accession_number, "query": asked.pk})
    [each] = answer.context["explained"]
    assert each.stations[0][1].state == "ON"


def test_a_query_that_was_refused(scanner, ada):
    """It stands on the page with its keys and its status, and the explanation says what was wrong with it."""
    order = making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    with pytest.raises(Refused, match="A900"):
        scanner.find(ScheduledProcedureStepStartDate="20261324", PatientID="P7")
    asked = written(WorklistQuery, status=0xA900)
    page = ada.get(f"/stations/{asked.station_id}/").content.decode()
    assert "A900H a key cannot be matched" in page
    assert "ScheduledProcedureStepStartDate <strong>20261324</strong>" in page
    assert "P7" not in page
    answer = ada.post("/stations/explain/", {"accession": order.accession_number, "query": asked.pk})
    assert "The query is refused with A900H" in answer.content.decode()


def test_what_the_profile_filled_in_was_not_asked(scanner):
    """The log holds what the scanner said; what its profile adds is said when the question is explained."""
    Station.objects.filter(ae_title="CT1").update(default_keys={"Modality": "MR"})
    making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    assert scanner.find(ScheduledStationAETitle="CT1") == []
    assert written(WorklistQuery).keys == [["ScheduledStationAETitle", "CT1"]]


def test_keys_inside_sequences_are_kept_too(scanner):
    """By the path to them, hidden like any other that could name a patient."""
    code, other = Dataset(), Dataset()
    code.CodeValue, other.PatientID = "CTHEAD", "P7"
    asked = Dataset()
    asked.RequestedProcedureCodeSequence, asked.OtherPatientIDsSequence = [code], [other]
    asked.PatientName = ""
    scanner.query(asked)
    keys = dict(written(WorklistQuery).keys)
    assert set(keys) == {"RequestedProcedureCodeSequence.CodeValue", "OtherPatientIDsSequence.PatientID"}
    assert keys["OtherPatientIDsSequence.PatientID"].startswith("hash:")


def test_a_name_that_cannot_be_written(scanner, ada):
    """The page names exam and attribute of what a station's character set could not carry, never the text."""
    Station.objects.filter(ae_title="CT1").update(character_set="ISO_IR 100")
    patient = making.GRACE.__class__(**{**vars(making.GRACE), "patient_name": "Παπαδόπουλος^Γιώργος"})
    order = making.placed("1", making.step_request(station_ae_titles=("CT1",)), patient=patient)
    assert len(scanner.find(AccessionNumber=order.accession_number)) == 1
    loss = written(TextLoss, keyword="PatientName")
    shown = ada.get(f"/stations/{loss.station_id}/").content.decode()
    assert order.accession_number in shown
    assert "PatientName" in shown
    assert "Παπαδ" not in shown
