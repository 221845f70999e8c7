"""What the HIS is told: which events, and the message itself."""

import pytest
from hl7apy.parser import parse_message

from hl7.destinations import Destination, Kind, Structure, Subscription
from hl7.er7 import Message
from hl7.outbound import build, trigger
from hl7.outbound.status import ORDER_STATUS
from ris.models import Order, Patient, WorkflowEvent
from ris.services import orders
from ris.states import ExamStatus
from tests.hl7.conftest import answer_to, message, order

pytestmark = pytest.mark.django_db


def event_of(verb: str) -> WorkflowEvent:
    return WorkflowEvent.objects.filter(verb=verb).latest("id")


def told(event: WorkflowEvent, version: str = "2.5.1") -> Message:
    his = Destination(name="HIS", receiving_application="HIS", receiving_facility="WARD")
    to = Subscription(destination=his, kind=Kind.ORDER_STATUS, structure=Structure.ORM, version=version)
    return Message.parse(build(event, trigger(Kind.ORDER_STATUS, event) or "", to, "OUT1"))


def test_every_exam_status_is_decided():
    """The table has a row for each."""
    assert set(ORDER_STATUS) == set(ExamStatus)


@pytest.mark.parametrize(
    ("verb", "old", "new", "status"),
    [
        ("schedule", "ORDERED", "SCHEDULED", "SC"),
        ("schedule", "SCHEDULED", "SCHEDULED", "SC"),
        ("arrive", "SCHEDULED", "ARRIVED", None),
        ("start", "ARRIVED", "IN PROGRESS", "IP"),
        ("complete", "IN PROGRESS", "PERFORMED", "CM"),
        ("images", "PERFORMED", "IMAGES COMPLETE", None),
        ("images", "IN PROGRESS", "IMAGES COMPLETE", "CM"),
        ("cancel", "SCHEDULED", "CANCELED", "CA"),
        ("discontinue", "IN PROGRESS", "DISCONTINUED", "DC"),
        ("restore", "IN PROGRESS", "SCHEDULED", "SC"),
        ("no-show", "SCHEDULED", "NO SHOW", None),
        ("order", "", "ORDERED", None),
    ],
)
def test_the_his_is_told_when_what_it_knows_changes(feed, verb, old, new, status):
    """Each booking, and each change of ORC-5; nothing else."""
    answer_to(order())
    procedure = Order.objects.get().procedures.get()
    event = WorkflowEvent(verb=verb, old_exam_status=old, exam_status=new, requested_procedure=procedure)
    assert trigger(Kind.ORDER_STATUS, event) == status


def test_events_without_an_exam_are_not_told(feed):
    """Such as a patient's registration."""
    answer_to(order())
    assert trigger(Kind.ORDER_STATUS, event_of("register")) is None


@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5", "2.5.1"])
def test_the_message_says_which_exam_and_how_far(feed, version):
    """Order numbers as the HIS gave them, our identifiers, the time of the site; hl7apy reads and validates it."""
    answer_to(order(accession="A1", placer="P100^HISNS", start="20260722093000"))
    message_told = told(event_of("schedule"), version=version)
    values = {
        "MSH-3": "SUNVIEW",
        "MSH-5": "HIS",
        "MSH-10": "OUT1",
        "MSH-12": version,
        "PID-3": "GRACE1^^^ADT",
        "PID-5": "Sample^Grace^^^^^L",
        "PID-7": "19800229",
        "PID-8": "F",
        "ORC-1": "SC",
        "ORC-2": "P100^HISNS",
        "ORC-3": "A1^SUNVIEW",
        "ORC-5": "SC",
        "OBR-4": "XWRIST^X-ray wrist^L",
        "OBR-18": "A1",
        "OBR-24": "DX",
        "OBR-27.4": "20260722093000+0100",
        "ZDS-1.1": Order.objects.get().procedures.get().study_instance_uid,
    }
    assert {path: message_told.value(path) for path in values} == values
    theirs = parse_message(str(message_told), find_groups=False)
    assert all(segment.validate() for segment in theirs.children if segment.name != "ZDS")


def test_an_issuer_that_only_stands_in_is_not_sent_back(feed):
    """The HIS gave its number without a namespace and gets it back so."""
    answer_to(order(placer="P7"))
    assert told(event_of("schedule")).value("ORC-2") == "P7"


def test_what_is_in_a_value_cannot_become_structure(feed):
    """Delimiters and line ends in names, codes and descriptions (segment injection)."""
    answer_to(order(obr="X&Y^Wrist \\F\\ hand \\T\\ \\X0D\\ZZZ\\F\\1"))
    Patient.objects.update(patient_name="Sam|ple&\rZZZ|2^Gr~ace\\")
    told_message = told(event_of("schedule"))
    names = [segment.name for segment in told_message.segments]
    assert names == ["MSH", "PID", "ORC", "OBR", "ZDS"]
    assert told_message.value("PID-5.1") == "Sam|ple& ZZZ|2" and told_message.value("PID-5.2") == "Gr~ace\\"
    assert told_message.value("OBR-4.2") == "Wrist | hand & ZZZ|1"


def test_names_in_all_groups_and_the_visit(feed):
    """HL7's order of suffix and prefix; ideographic and phonetic groups as repetitions; PV1."""
    answer_to(
        message(
            "PID|||1||Kimura^Toru^^Jr^Dr^^L^A~木村^通^^^^^L^I",
            "PV1||I|W1^2^3||||||||||||||||V1^^^HOSP",
            "ORC|NW|P1",
            "OBR|1|P1||X^Y^L|||20261122093000|||||||||||||||||CT",
        )
    )
    sent = told(event_of("schedule"))
    assert sent.value("PID-5(1)") == "Kimura^Toru^^Jr^Dr^^L^A" and sent.value("PID-5(2)") == "木村^通^^^^^L^I"
    assert sent.value("PV1-2") == "I" and sent.value("PV1-19") == "V1^^^HOSP"


def test_a_cancellation_at_the_desk_is_told(feed, desk):
    """ORC-5 CA."""
    answer_to(order())
    orders.cancel_exam(Order.objects.get().procedures.get().pk, desk, "patient left")
    assert told(event_of("cancel")).value("ORC-5") == "CA"
