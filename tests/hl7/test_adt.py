"""Admissions: registering, updating and merging patients."""

import pytest

from ris.models import Order, Patient, Visit
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
    assert adt("A47", PID, "MRG|OLD1") == ("AR", "201", "MSH^1^9")
