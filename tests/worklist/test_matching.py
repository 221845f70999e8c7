"""DICOM matching against the database, key by key, and wildcards against a reference."""

import fnmatch
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from ris import selectors
from ris.inputs import Identifier, VisitInfo
from ris.models import ScheduledProcedureStep
from ris.services import performing, scheduling
from tests import making
from tests.making import GRACE, NINE
from tests.worklist.test_encoding import encoded
from worklist import identifier, keys, matching
from worklist.stations import Profile
from worklist.status import Failure
from worklist.view import View
from worklist.wildcard import pattern, person

pytestmark = pytest.mark.usefixtures("site")

DUBLIN_TEN = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)  # ten o'clock on the site's summer clock


def query(**given_keys) -> Dataset:
    """An identifier with these keys, each where Table K.6-1 has it."""
    identifier, step = Dataset(), Dataset()
    for keyword, value in given_keys.items():
        setattr(step if keyword in keys.STEP_BY_KEYWORD else identifier, keyword, value)
    identifier.ScheduledProcedureStepSequence = [step]
    return identifier


def read(dataset: Dataset) -> identifier.Identifier:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    return identifier.read(encoded(dataset, True), True)


RADIOLOGY = frozenset({"CT1", "CT2", "MR1", "XRAY1", "XRAY2", "US1", "MG1"})


def found(**given_keys) -> list[str]:
    """The placer order numbers of the steps that a query of the department matches."""
    view = View()
    view.refresh()
    profile = Profile(pk=1, ae_title="CT1", siblings=RADIOLOGY)
    entries = view.find(matching.criteria(read(query(**given_keys))), profile, 100)
    return sorted(entry.placer_order_number for entry in entries)


def patient(number: str, name: str) -> dict:
    return {"patient": replace(GRACE, identifier=Identifier(number, "SUNVIEW"), patient_name=name)}


@pytest.fixture
def worklist(db, site) -> None:
    """Four exams: two CT, one MR, one DX in summer."""
    making.placed("A", **patient("P1", "Müller^Jürgen"), accession_number="ACC-A")
    later = making.step_request(start=NINE + timedelta(hours=3), performing_physician="House^Gregory")
    making.placed("B", later, **patient("P2", "Muller^Anna"), accession_number="ACC_B")
    making.placed("C", making.step_request(modality="MR"), **patient("P3", "Yamada^Tarou=山田^太郎=やまだ^たろう"))
    summer = making.step_request(modality="DX", start=DUBLIN_TEN, station_ae_titles=("XRAY2",))
    visit = VisitInfo(admission_id=Identifier("V1"), referring_physician="Wilson^James")
    making.placed("D", summer, **patient("P4", "O'Brien_%^Pat\\x"), visit=visit, priority="STAT")


CASES = [
    ({}, "ABCD"),
    ({"ScheduledStationAETitle": "CT1"}, "AB"),
    ({"ScheduledStationAETitle": "CT1 "}, "AB"),
    ({"ScheduledStationAETitle": "ct1"}, ""),
    ({"ScheduledStationAETitle": "CT*"}, ""),
    ({"ScheduledStationAETitle": "XRAY2"}, "D"),
    ({"Modality": "CT"}, "AB"),
    ({"Modality": "*"}, "ABCD"),
    ({"Modality": ["CT", "MR"]}, "ABC"),
    ({"Modality": "CT", "ScheduledStationAETitle": "MR1"}, ""),
    ({"ScheduledProcedureStepStartDate": "20261123"}, "ABC"),
    ({"ScheduledProcedureStepStartDate": "20260701"}, "D"),
    ({"ScheduledProcedureStepStartDate": "20260701-20261122"}, "D"),
    ({"ScheduledProcedureStepStartDate": "20261123-"}, "ABC"),
    ({"ScheduledProcedureStepStartDate": "-20261122"}, "D"),
    ({"ScheduledProcedureStepStartDate": "20261124-20261122"}, ""),
    ({"ScheduledProcedureStepStartTime": "10"}, "D"),
    ({"ScheduledProcedureStepStartTime": "0800-0930"}, "AC"),
    ({"ScheduledProcedureStepStartDate": "20261123", "ScheduledProcedureStepStartTime": "1000-"}, "B"),
    ({"ScheduledProcedureStepStartDate": "20260701-20261123", "ScheduledProcedureStepStartTime": "1030-0900"}, "AC"),
    ({"ScheduledPerformingPhysicianName": "house*"}, "B"),
    ({"ScheduledPerformingPhysicianName": "HOUSE^GREGORY"}, "B"),
    ({"PatientName": "Müller^Jürgen"}, "A"),
    ({"PatientName": "MULLER*"}, "AB"),
    ({"PatientName": "m?ller^*"}, "AB"),
    ({"PatientName": "Müller"}, ""),
    ({"PatientName": "Müller^Jürgen^^"}, "A"),
    ({"PatientName": "*"}, "ABCD"),
    ({"PatientName": "山田*"}, "C"),
    ({"PatientName": "yamada^tarou"}, "C"),
    ({"PatientName": "Yamada^Tarou=山田^太郎*"}, "C"),
    ({"PatientName": "%"}, ""),
    ({"PatientName": "*_%^*"}, "D"),
    ({"PatientName": "O'Brien*"}, "D"),
    ({"PatientName": "[M]*"}, ""),
    ({"PatientName": "' OR 1=1 --"}, ""),
    ({"PatientID": "P1"}, "A"),
    ({"PatientID": "p1"}, ""),
    ({"PatientID": "P?"}, "ABCD"),
    ({"PatientID": "p*"}, ""),
    ({"IssuerOfPatientID": "SUNVIEW"}, "ABCD"),
    ({"PatientBirthDate": "19561209"}, "ABCD"),
    ({"PatientBirthDate": "19561210-"}, ""),
    ({"PatientSex": "F"}, "ABCD"),
    ({"AccessionNumber": "ACC_B"}, "B"),
    ({"AccessionNumber": "ACC*"}, "AB"),
    ({"AccessionNumber": "ACC?A"}, "A"),
    ({"PlacerOrderNumberImagingServiceRequest": "C"}, "C"),
    ({"AdmissionID": "V1"}, "D"),
    ({"ReferringPhysicianName": "wilson*"}, "D"),
    ({"RequestedProcedurePriority": "STAT"}, "D"),
    ({"ScheduledProcedureStepStatus": "SCHEDULED"}, "ABCD"),
    ({"ScheduledProcedureStepStatus": "STARTED"}, ""),
    ({"ScheduledProcedureStepStatus": "COMPLETED"}, ""),
]


@pytest.mark.parametrize(("asked", "expected"), CASES, ids=[str(case[0]) for case in CASES])
def test_keys_match_as_the_standard_says(worklist, asked, expected):
    """Table K.6-1: single value, wildcard, range, over the four exams of the fixture."""
    assert found(**asked) == list(expected)


def test_uid_and_identifiers_match(worklist):
    """A list of UIDs matches any; requested procedure ID and SPS ID match one."""
    first, second, *_ = selectors.worklist_steps().order_by("pk")
    uids = [step.requested_procedure.study_instance_uid for step in (first, second)]
    assert found(StudyInstanceUID=uids) == ["A", "B"]
    assert found(RequestedProcedureID=first.requested_procedure.requested_procedure_id) == ["A"]
    assert found(ScheduledProcedureStepID=second.scheduled_procedure_step_id) == ["B"]


def test_started_steps_are_listed_only_when_asked_for(worklist):
    """A started exam is off the worklist unless the status key asks for STARTED."""
    step = ScheduledProcedureStep.objects.order_by("pk")[0]
    performing.start(making.begun("1.2.3", step, patient=None), making.SCANNER)
    assert found() == ["B", "C", "D"]
    assert found(ScheduledProcedureStepStatus="STARTED") == ["A"]


def test_a_step_on_hold_is_on_no_worklist(worklist, desk):
    """Held at the desk, hidden whatever the query asks."""
    scheduling.hold(ScheduledProcedureStep.objects.order_by("pk")[0].pk, desk)
    assert found() == found(ScheduledProcedureStepStatus="SCHEDULED") == ["B", "C", "D"]


@pytest.mark.parametrize(
    "refused_query",
    [
        Dataset(),
        query(ScheduledProcedureStepStartDate="20251301"),
        query(ScheduledProcedureStepStartDate="2025*"),
        query(ScheduledProcedureStepStartTime="99"),
        query(PatientBirthDate="1956"),
        query(PatientName="a\0b"),
    ],
    ids=["empty", "month 13", "date wildcard", "hour 99", "year", "NUL"],
)
def test_identifiers_that_cannot_be_matched_are_refused(refused_query):
    """A900H, never an empty answer or all rows."""
    with pytest.raises(Failure) as refused:
        matching.criteria(read(refused_query))
    assert refused.value.status == 0xA900


def test_two_items_in_the_step_sequence_are_refused():
    """Exactly one item (PS3.4 C.2.2.2.6)."""
    two = query(Modality="CT")
    two.ScheduledProcedureStepSequence.append(Dataset())
    with pytest.raises(Failure) as refused:
        matching.criteria(read(two))
    assert refused.value.status == 0xA900


def test_unsupported_keys_are_named():
    """What is in no table, or is a return key only, is known as unsupported (FF01)."""
    asked = query(PatientName="A*", SmokingStatus="YES", SpecialNeeds="LIFT", RequestedContrastAgent="")
    assert sorted(matching.criteria(read(asked)).unsupported) == ["SmokingStatus", "SpecialNeeds"]


@pytest.mark.parametrize(
    ("asked", "name", "matches"),
    [
        ("SORENSEN*", "Sørensen^Åse", True),
        ("lukasiewicz^zazolc", "Łukasiewicz^Zażółć", True),
        ("YILMAZ^ISIK", "Yılmaz^Işık", True),
        ("AEGIR", "Ægir", True),
        ("Ægir", "AEGIR", True),
        ("ヤマダ^*", "ﾔﾏﾀﾞ^ﾀﾛｳ", True),
        ("ヤマタ^*", "ﾔﾏﾀﾞ^ﾀﾛｳ", False),
        ("か*", "がとう^けん", False),
    ],
)
def test_letters_that_are_folded(asked, name, matches):
    """What a keyboard lacks is folded, letters with strokes too; the marks of kana make another sound and are not."""
    assert person(asked)(name) is matches


ALPHABET = st.sampled_from("ab*?%_[]\\^=' \n")


@given(asked=st.text(ALPHABET, min_size=1, max_size=8), text=st.text(ALPHABET, min_size=1, max_size=8))
def test_wildcards_match_as_a_reference_does(asked, text):
    """``*`` and ``?`` and nothing else is special."""
    assert bool(pattern(asked)(text)) == fnmatch.fnmatchcase(text, asked.replace("[", "[[]"))


@given(stars=st.integers(1, 30))
def test_many_wildcards_cost_no_time(stars):
    """A pattern made to backtrack is answered at once."""
    assert not pattern("*a" * stars + "*b")("a" * 64)
