"""Reports (ORU^R01): status and time of the exam's report; never an order."""

import pytest

from hl7.models import InboundMessage
from ris.models import Order, RequestedProcedure, WorkflowEvent
from tests.hl7.conftest import answer_to, message, order, verdict
from tests.hl7.test_orders import accepted

pytestmark = pytest.mark.django_db

PID = "PID|||GRACE1^^^ADT^MR||Sample^Grace||19800229|F"


def oru(status: str = "F", obr: str = "P100|", *segments: str, at: str = "20250122080000", orc: str = "") -> bytes:
    fields = f"OBR|1|{obr}|XWRIST^X-ray wrist^L" + "|" * 18 + "20250122075500|||" + status
    return message(*((orc,) if orc else ()), PID, fields, *segments, kind="ORU^R01", at=at)


def exam() -> RequestedProcedure:
    return RequestedProcedure.objects.get()


@pytest.mark.parametrize(
    ("letter", "status", "is_filed"),
    [("O", "REGISTERED", 0), ("R", "PARTIAL", 0), ("P", "PRELIMINARY", 0), ("F", "FINAL", 1), ("C", "CORRECTED", 1)],
)
def test_what_a_report_is(feed, letter, status, is_filed):
    """OBR-25; final and corrected make the exam REPORTED at OBR-22."""
    accepted(order())
    accepted(oru(letter))
    assert exam().report_status == status and (exam().status == "REPORTED") is bool(is_filed)
    assert (exam().reported_at is not None) is bool(is_filed)
    assert exam().report_changed_at.isoformat() == "2025-01-22T07:55:00+00:00"
    assert WorkflowEvent.objects.get(verb=f"report {status.lower()}").exam_status == exam().status


def test_a_report_goes_its_way(feed):
    """Preliminary, final, corrected, canceled; an older one, and a repeat, change nothing."""
    accepted(order())
    for letter, at in (("P", "20250122080000"), ("F", "20250122090000"), ("F", "20250122090000")):
        accepted(oru(letter, at=at))
    accepted(oru("P", at="20250122083000"))
    assert exam().report_status == "FINAL"
    assert WorkflowEvent.objects.filter(verb__startswith="report").count() == 2
    accepted(oru("C", at="20250122100000"))
    accepted(oru("X", at="20250122110000"))
    assert (exam().report_status, exam().reported_at, exam().status) == ("CANCELED", None, "SCHEDULED")


def test_a_report_of_another_system_names_the_placers_number(feed):
    """ORC-2 without a namespace, from who did not order: the patient's only order of that number; never another's."""
    accepted(order(sender="HIS|WARD"))
    accepted(oru("F").replace(b"|HIS|WARD|", b"|DICTATION|RAD|"))
    assert exam().report_status == "FINAL"
    other = oru("X").replace(b"|HIS|WARD|", b"|DICTATION|RAD|").replace(b"GRACE1", b"OTHER1")
    assert verdict(answer_to(other))[:2] == ("AE", "204") and exam().report_status == "FINAL"


@pytest.mark.parametrize(
    ("obr", "segments"),
    [
        ("NONE|A1", ()),
        ("|NONE", ("ZDS|1.2.840.99999.1.2.3.4^A^Application^DICOM",)),
        ("|", ("OBX|1|ST|113014^DICOM Study^DCM||1.2.840.99999.1.2.3.4||||||F",)),
    ],
)
def test_how_its_exam_is_found(feed, obr, segments):
    """By the accession number in OBR-3 (#042), the Study UID in ZDS (#061) or in an OBX (#009)."""
    uid = "ZDS|1.2.840.99999.1.2.3.4"
    raw = order(accession="A1") + f"{uid}\r".encode()
    accepted(raw)
    accepted(oru("F", obr, *segments))
    assert exam().status == "REPORTED"


def test_the_text_is_not_read(feed):
    """OBX-5 with delimiters and backslashes that are none (#010, #061); the message keeps it."""
    accepted(order())
    accepted(oru("F", "P100|", "OBX|1|FT|R||T2^weighted ~ \\H\\4\\5 & <cda>|||||F"))
    assert exam().status == "REPORTED"
    assert InboundMessage.objects.filter(event="ORU^R01").get().orders.get() == Order.objects.get()


def test_the_status_may_be_in_the_observation(feed):
    """OBX-11, where OBR-25 is empty; AE 101 without both, 103 for a letter that is none."""
    accepted(order())
    accepted(oru("", "P100|", "OBX|1|TX|R||ok||||||P"))
    assert exam().report_status == "PRELIMINARY"
    assert verdict(answer_to(oru(""))) == ("AE", "101", "OBR^1^25")
    assert verdict(answer_to(oru("Q"))) == ("AE", "103", "OBR^1^25")


def test_a_report_makes_no_order(feed):
    """AE 204; nobody is registered. One of another patient is refused."""
    assert verdict(answer_to(oru()))[:2] == ("AE", "204")
    assert not Order.objects.exists()
    accepted(order(patient="OTHER9"))
    assert verdict(answer_to(oru()))[:2] == ("AE", "205")
    assert verdict(answer_to(message(PID, kind="ORU^R01")))[:2] == ("AE", "100")


def test_a_report_of_an_exam_of_others_may_be_passed_over(feed):
    """AE 204, or as the feed's policy is, AA and a sentence: a reporting system may tell all it has."""
    assert verdict(answer_to(oru("F", "NOPE|")))[:2] == ("AE", "204")
    feed.mapping = {"policies": {"report_unknown_order": "ignore"}}
    feed.save()
    assert "changes nothing" in accepted(oru("F", "NOPE|"))


def test_reports_of_two_patients_in_one_message(feed):
    """Each is of the PID before it (PATIENT_RESULT repeats in ORU^R01)."""
    accepted(order(placer="P1", patient="ONE1"))
    accepted(order(placer="P2", patient="TWO2"))
    pairs = [("PID|||ONE1^^^ADT^MR", "OBR|1|P1"), ("PID|||TWO2^^^ADT^MR", "OBR|1|P2")]
    accepted(message(*(part for pid, obr in pairs for part in (pid, obr + "|" * 23 + "F")), kind="ORU^R01"))
    assert set(RequestedProcedure.objects.values_list("report_status", flat=True)) == {"FINAL"}
