"""Admissions: registering, updating and merging patients."""

import pytest

from ris.models import Order, Patient, ScheduledProcedureStep, Visit, WorkflowEvent
from tests.hl7.conftest import answer_to, message, order, verdict

pytestmark = pytest.mark.django_db

PID = "PID|||GRACE1^^^ADT^MR||Sample^Grace||19800229|F|||1 Main St^^Dublin||+353 1 234"


def adt(event: str, *segments: str) -> tuple[str | None, str | None, str | None]:
    return verdict(answer_to(message(*segments, kind=f"ADT^{event}")))


@pytest.mark.parametrize("event", ["A01", "A02", "A04", "A05", "A08", "A28", "A31"])
def test_a_patient_is_registered(feed, event):
    """With the visit that PV1 names."""
    assert adt(event, "EVN|" + event, PID, "PV1||O|RAD^1||||||||||||||||V1^^^HOSP")[0] == "AA"
    patient = Patient.objects.get()
    assert (patient.patient_id, patient.issuer_of_patient_id, patient.patient_name) == ("GRACE1", "ADT", "Sample^Grace")
    assert patient.patient_address == "1 Main St, Dublin" and patient.telephone == "+353 1 234"
    visit = Visit.objects.get()
    assert (visit.admission_id, visit.issuer_of_admission_id, visit.patient_class) == ("V1", "HOSP", "O")


def test_an_update_reaches_the_open_orders(feed):
    """A08 after the order: the worklist has the new name; what is not said stays."""
    answer_to(order())
    assert adt("A08", "PID|||GRACE1^^^ADT||Married^Grace")[0] == "AA"
    patient = Order.objects.get().patient
    assert patient.patient_name == "Married^Grace" and patient.patient_sex == "F"


def test_a_merge_moves_the_orders(feed):
    """A40, and again: the order is the survivor's, and a late order with the old identifier follows."""
    answer_to(order(patient="OLD1"))
    assert adt("A40", PID, "MRG|OLD1^^^ADT^MR")[0] == "AA"
    assert adt("A40", PID, "MRG|OLD1^^^ADT^MR")[0] == "AA"
    assert Order.objects.get().patient.patient_id == "GRACE1"
    answer_to(order(placer="P200", patient="OLD1"))
    assert {found.patient.patient_id for found in Order.objects.all()} == {"GRACE1"}


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ((PID, "MRG|GRACE1^^^ADT^MR"), ("AE", "205", None)),
        ((PID, "MRG|"), ("AE", "101", "MRG^1^1")),
        ((PID,), ("AE", "101", "MRG^1^1")),
        (("MRG|OLD1^^^ADT",), ("AE", "101", "PID^1^3")),
    ],
)
def test_a_merge_that_cannot_be(feed, segments, expected):
    """Into itself (#048), or without one of the two identifiers."""
    assert adt("A40", *segments) == expected


def test_other_events_are_named(feed):
    """AR 201, not silence."""
    assert adt("A60", PID) == ("AR", "201", "MSH^1^9")


def test_an_identifier_is_changed_in_place(feed):
    """A47, and again: the same patient, shown by the new identifier; a late order with the old one follows."""
    answer_to(order(patient="OLD1"))
    for _repeat in range(2):
        assert adt("A47", PID, "MRG|OLD1^^^ADT^MR")[0] == "AA"
    patient = Patient.objects.get()
    assert (patient.patient_id, patient.identifiers.count()) == ("GRACE1", 2)
    answer_to(order(placer="P200", patient="OLD1"))
    assert Patient.objects.count() == 1 and Order.objects.count() == 2
    assert WorkflowEvent.objects.filter(verb="change identifier").count() == 1


def test_an_identifier_that_is_taken(feed):
    """A47 to an identifier of another patient: AE 205, nothing changes (#007)."""
    answer_to(order(patient="OLD1"))
    answer_to(order(placer="P200"))
    assert adt("A47", PID, "MRG|OLD1^^^ADT^MR")[:2] == ("AE", "205")
    assert adt("A47", PID, "MRG|")[:2] == ("AE", "101")
    assert sorted(Patient.objects.values_list("patient_id", flat=True)) == ["GRACE1", "OLD1"]


@pytest.mark.parametrize("event", ["A18", "A34", "A40"])
def test_each_way_to_merge(feed, event):
    """A18 and A34 are A40."""
    answer_to(order(patient="OLD1"))
    assert adt(event, PID, "MRG|OLD1^^^ADT^MR")[0] == "AA"
    assert Order.objects.get().patient.patient_id == "GRACE1"


def test_several_merges_in_one_message(feed):
    """Each PID with the MRG behind it; all or nothing."""
    answer_to(order(placer="P1", patient="OLD1"))
    answer_to(order(placer="P2", patient="OLD2"))
    second = "PID|||NEW2^^^ADT^MR"
    assert adt("A40", PID, "MRG|OLD1^^^ADT", second, "PD1|", "MRG|OLD2^^^ADT")[0] == "AA"
    owners = Order.objects.values_list("placer_order_number", "patient__patient_id")
    assert dict(owners) == {"P1": "GRACE1", "P2": "NEW2"}
    assert adt("A40", PID, "MRG|OLD3^^^ADT", second)[:2] == ("AE", "101")
    assert not Patient.objects.filter(identifiers__value="OLD3").exists()


def test_the_survivors_facts_win(feed):
    """What the retired record said, also later, only fills gaps."""
    assert adt("A08", "PID|||GRACE1^^^ADT^MR||Sample^Grace")[0] == "AA"
    answer_to(message("PID|||OLD1^^^ADT^MR||Unknown^Jane||19800229", kind="ADT^A04", at="20261122090000"))
    assert adt("A40", "PID|||GRACE1^^^ADT^MR", "MRG|OLD1^^^ADT")[0] == "AA"
    answer_to(message("PID|||OLD1^^^ADT^MR||Unknown^Jane", kind="ADT^A08", at="20261122100000"))
    survivor = Patient.objects.get(merged_into=None)
    assert (survivor.patient_name, str(survivor.patient_birth_date)) == ("Sample^Grace", "1980-02-29")


VISIT = "PV1||O|RAD^1||||||||||||||||V1^^^HOSP"


@pytest.mark.parametrize(
    ("event", "status"), [("A03", "DISCHARGED"), ("A11", "CANCELED"), ("A38", "CANCELED"), ("A13", ""), ("A08", "")]
)
def test_what_becomes_of_a_visit(feed, event, status):
    """Discharged, canceled, taken back; the orders stay."""
    adt("A01", PID, VISIT)
    answer_to(order())
    assert adt(event, PID, VISIT)[0] == "AA"
    assert Visit.objects.get().status == status
    assert Order.objects.get().procedures.get().status == "SCHEDULED"


def test_a_visit_without_a_number_is_told(feed):
    """A11 that names no visit."""
    answer = answer_to(message(PID, kind="ADT^A11"))
    assert answer.value("MSA-1") == "AA" and "no visit was canceled" in (answer.value("ERR-8") or "")


def test_an_arrival_checks_in(feed):
    """A10: what is booked for that day, and no other; a repeat changes nothing; nothing booked is told."""
    answer_to(order(placer="P1"))
    answer_to(order(placer="P2", start="20261123093000"))
    for _repeat in range(2):
        assert adt("A10", "EVN|A10|20261122085000", PID, VISIT)[0] == "AA"
    statuses = ScheduledProcedureStep.objects.order_by("start").values_list("status", flat=True)
    assert list(statuses) == ["ARRIVED", "SCHEDULED"]
    assert WorkflowEvent.objects.filter(verb="arrive").count() == 1
    answer = answer_to(message("EVN|A10|20261225085000", PID, kind="ADT^A10"))
    assert "nobody was checked in" in (answer.value("ERR-8") or "")


def test_an_arrival_of_another_visit(feed):
    """An order of a visit is not checked in by the arrival for another."""
    answer_to(order().replace(b"\rORC", b"\rPV1||O|||||||||||||||||V2^^^HOSP\rORC", 1))
    assert adt("A10", "EVN|A10|20261122085000", PID, VISIT)[0] == "AA"
    assert ScheduledProcedureStep.objects.get().status == "SCHEDULED"
