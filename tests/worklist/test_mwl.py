"""C-FIND over real sockets: statuses, cancel, how many queries it takes."""

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from pydicom.dataset import Dataset
from pynetdicom import AE

from ris.models import ScheduledProcedureStep, Station
from ris.services import changes
from tests import making
from tests.worklist.test_encoding import encoded
from tests.worklist.test_matching import query
from worklist import encoding, mwl
from worklist.activity import recorder
from worklist.dimse import MODALITY_WORKLIST, Answer, Request
from worklist.emulator import Refused
from worklist.models import WorklistQuery
from worklist.stations import Profile, profiles
from worklist.view import view

pytestmark = pytest.mark.django_db(transaction=True)


def statuses(scanner, identifier: Dataset, cancel: bool = False) -> list[int]:
    caller = AE(ae_title=scanner.ae_title)
    caller.add_requested_context(MODALITY_WORKLIST)
    association = caller.associate(*scanner.worklist_address, ae_title="SUNVIEW")
    assert association.is_established
    seen = []
    for status, _entry in association.send_c_find(identifier, MODALITY_WORKLIST, msg_id=7):
        if cancel and not seen:
            association.send_c_cancel(7, query_model=MODALITY_WORKLIST)
        seen.append(status.Status if status else None)
    association.release()
    return seen


def request(profile: Profile, identifier: Dataset, implicit: bool = True) -> Request:
    return Request(
        verb="C-FIND",
        calling_ae_title=profile.ae_title,
        station=profile,
        transfer_syntax_uid="1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1",
        data=encoded(identifier, implicit),
    )


def read(answer: Answer, implicit: bool = True) -> Dataset:
    return encoding.decode(answer.data, implicit)


def copies(count: int) -> None:
    """Many entries of one exam, made without the services: only their number matters."""
    step = making.only_step(making.placed())
    stations = list(step.stations.all())
    made = ScheduledProcedureStep.objects.bulk_create(
        ScheduledProcedureStep(
            requested_procedure=step.requested_procedure,
            position=number,
            scheduled_procedure_step_id=f"N{number}",
            status="SCHEDULED",
            modality="CT",
            start=making.NINE,
        )
        for number in range(2, count + 1)
    )
    link = ScheduledProcedureStep.stations.through
    link.objects.bulk_create(
        link(scheduledprocedurestep_id=copy.pk, station_id=station.pk) for copy in made for station in stations
    )


def test_statuses_of_a_query(scanner):
    """FF00 for each entry and 0000; FF01 when a key is not supported."""
    making.placed("1")
    making.placed("2")
    assert statuses(scanner, query(Modality="CT")) == [0xFF00, 0xFF00, 0x0000]
    assert statuses(scanner, query(Modality="CT", SmokingStatus="")) == [0xFF01, 0xFF01, 0x0000]
    assert statuses(scanner, query(Modality="MG")) == [0x0000]


def test_a_query_that_cannot_be_matched_gets_a900(scanner):
    """Bad date, two step items, no key at all."""
    two = query(Modality="CT")
    two.ScheduledProcedureStepSequence.append(Dataset())
    bare = Dataset()
    bare.SpecificCharacterSet = "ISO_IR 192"
    for identifier in (query(ScheduledProcedureStepStartDate="20251301"), two, bare):
        with pytest.raises(Refused) as refused:
            scanner.query(identifier)
        assert refused.value.status == 0xA900


def test_more_than_the_most_answers_end_in_a700(scanner):
    """Never a silent cut."""
    Station.objects.filter(ae_title="CT1").update(most_answers=3)
    copies(5)
    assert statuses(scanner, query(Modality="CT")) == [0xFF00, 0xFF00, 0xFF00, 0xA700]


def test_seven_hundred_entries_take_as_few_queries_as_one(db, site):
    """No query per entry, and one only for a second query while nothing changes."""
    copies(700)
    asked = request(profiles()["CT1"], query(Modality="CT"))
    view.refresh()
    with CaptureQueriesContext(connection) as queries:
        assert len(list(mwl.find(asked))) == 700
    assert len(queries) <= 5


def test_names_travel_in_the_stations_character_set(scanner):
    """A scanner set to Latin-1 asks and is answered in Latin-1."""
    Station.objects.filter(ae_title="CT1").update(character_set="ISO_IR 100")
    making.placed("1", patient=making.replace(making.GRACE, patient_name="Müller^Jürgen"))
    (entry,) = scanner.find(character_set="ISO_IR 100", PatientName="MÜLLER*")
    assert entry.SpecificCharacterSet == "ISO_IR 100"
    assert entry.PatientName == "Müller^Jürgen"


def test_no_patient_data_is_logged(scanner, caplog):
    """Neither the query's values nor the answer's."""
    caplog.set_level("DEBUG")
    making.placed()
    scanner.find(PatientName="Hopper*", PatientID="P100")
    assert "opper" not in caplog.text and "P100" not in caplog.text


def test_without_its_database_a_query_gets_a700(scanner, monkeypatch):
    """Never an old answer."""
    making.placed("1")
    assert scanner.find()

    def away(_position):
        raise OperationalError

    monkeypatch.setattr(changes, "since", away)
    with pytest.raises(Refused) as refused:
        scanner.find()
    assert refused.value.status == 0xA700


def test_a_station_sees_its_departments_rows_only(scanner):
    """Whatever it asks for."""
    Station.objects.filter(ae_title="CT1").update(department=None)
    making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    making.placed("2", making.step_request(station_ae_titles=("CT2",)))
    assert len(scanner.find()) == 1
    assert not scanner.find(ScheduledStationAETitle="CT2")


def test_what_a_station_asked_is_noted(scanner, nothing_noted):
    """Keys, attributes, status and count, for its page and for explaining."""
    making.placed("1")
    scanner.query(query(Modality="CT", PatientID="P100"))
    with pytest.raises(Refused):
        scanner.query(query(ScheduledProcedureStepStartDate="20251301"))
    recorder.write()
    good, bad = WorklistQuery.objects.order_by("status")
    assert (good.status, good.answers, good.times) == (0, 1, 1)
    assert dict(good.keys)["Modality"] == "CT" and "P100" not in str(good.keys)
    assert {"PatientID", "Modality"} <= set(good.asked)
    assert (bad.status, bad.answers) == (0xA900, 0)
