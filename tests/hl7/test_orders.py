"""Order messages: what each order control code does, and what the sender is told.

Covered: NW, XO, CA, OC, DC, SC, replies, unknown codes; groups, all-or-nothing; refusals by name; obstacles in the AA.
Not covered here: where facts stand (test_mapping), how a message is kept (test_receive).
"""

import pytest

from hl7.models import InboundMessage
from ris import selectors
from ris.inputs import Actor, ScheduledStepReference, StepReport
from ris.models import Order, RequestedProcedure, ScheduledProcedureStep, WorkflowEvent
from ris.services import performing
from tests.hl7.conftest import answer_to, message, order, verdict

PID = "PID|||GRACE1^^^ADT^MR||Sample^Grace||19800229|F"

pytestmark = pytest.mark.django_db


def accepted(raw: bytes) -> str:
    answer = answer_to(raw)
    assert answer.value("MSA-1") == "AA", str(answer)
    return answer.value("MSA-3") or ""


def start_exam() -> None:
    """The scanner begins the only exam there is."""
    procedure = RequestedProcedure.objects.get()
    reference = ScheduledStepReference(
        study_instance_uid=procedure.study_instance_uid,
        scheduled_procedure_step_id=procedure.steps.get().scheduled_procedure_step_id,
    )
    report = StepReport(sop_instance_uid="1.2.3", status="IN PROGRESS", references=(reference,))
    performing.start(report, Actor(kind="DICOM", name="XRAY2"))


def test_a_new_order_is_on_the_worklist_with_its_aa(feed):
    """NW with time and modality: scheduled, on the stations of its modality, and AA without a word."""
    assert accepted(order(accession="A1")) == ""
    step = selectors.worklist_steps().get()
    assert step.requested_procedure.order.accession_number == "A1"
    assert {station.ae_title for station in step.stations.all()} == {"XRAY1", "XRAY2"}
    event = WorkflowEvent.objects.get(verb="schedule")
    assert event.actor_kind == "HL7" and event.actor_name == "HIS|WARD"
    assert event.source_message.startswith("HL7 MSH-10 T")


@pytest.mark.parametrize(
    ("start", "modality", "why"),
    [
        ("", "DX", "no start time"),
        ("20261122093000", "", "no modality"),
        ("20261122093000", "OCT", "performs modality OCT"),
    ],
)
def test_an_order_that_is_on_no_worklist_says_why_in_its_aa(feed, start, modality, why):
    """Accepted, with a warning that a HIS engineer can act on."""
    raw = order(start=start, modality=modality, obr="LOCAL1^Something")
    answer = answer_to(raw)
    assert answer.value("MSA-1") == "AA" and why in (answer.value("ERR-8") or "")
    assert answer.value("ERR-4") == "W"
    assert not selectors.worklist_steps().exists() and RequestedProcedure.objects.get().status == "ORDERED"


def test_the_catalogue_knows_the_modality(feed):
    """A code of the catalogue needs no OBR-24."""
    assert accepted(order(modality="", obr="XWRIST^X-ray wrist")) == ""
    assert selectors.worklist_steps().get().modality == "DX"


@pytest.mark.parametrize("kind", ["ORM^O01", "OMI^O23^OMI_O23", "OMG^O19^OMG_O19"])
def test_the_three_order_messages_are_one(feed, kind):
    """They carry the same groups."""
    accepted(order(kind=kind))
    assert Order.objects.count() == 1


def test_the_same_order_again_is_the_same_order(feed):
    """NW twice, with another control ID: one order, one Study UID."""
    accepted(order())
    uid = RequestedProcedure.objects.get().study_instance_uid
    accepted(order(accession="A2"))
    assert RequestedProcedure.objects.get().study_instance_uid == uid
    assert Order.objects.get().accession_number == "A2"


def test_the_same_number_of_two_senders_is_two_orders(feed):
    """Order numbers without a namespace are the sender's own."""
    accepted(order(sender="HIS|WARD"))
    accepted(order(sender="OTHER|WARD"))
    assert Order.objects.count() == 2
    assert len(set(RequestedProcedure.objects.values_list("study_instance_uid", flat=True))) == 2


def test_a_change_moves_the_exam(feed):
    """XO with another time."""
    accepted(order())
    accepted(order("XO", start="20261123140000"))
    assert ScheduledProcedureStep.objects.get().start.isoformat() == "2026-11-23T14:00:00+00:00"


def test_a_change_of_an_unknown_order_is_taken_as_the_order(feed):
    """Accepted with a warning (#017, #028)."""
    assert "was not here" in accepted(order("XO"))
    assert selectors.worklist_steps().count() == 1


@pytest.mark.parametrize("control", ["CA", "OC", "DC"])
def test_a_cancellation_takes_the_exam_off_the_worklist(feed, control):
    """With its reason in the history."""
    accepted(order())
    accepted(message(PID, f"ORC|{control}|P100", "OBR|1|P100", "NTE|1||Patient went home"))
    assert not selectors.worklist_steps().exists()
    assert WorkflowEvent.objects.get(verb="cancel").reason == "Patient went home"


def test_a_cancellation_needs_no_patient(feed):
    """MSH and ORC alone (#046); repeated, it changes nothing."""
    accepted(order())
    accepted(message("ORC|CA|P100"))
    accepted(message("ORC|CA|P100"))
    assert WorkflowEvent.objects.filter(verb="cancel").count() == 1


def test_a_cancellation_of_an_unknown_order_may_be_refused(feed):
    """AE 204, where the feed's policy is so."""
    feed.mapping = {"policies": {"cancel_unknown_order": "refuse"}}
    feed.save()
    assert verdict(answer_to(message(PID, "ORC|CA|NOPE", "OBR|1|NOPE")))[:2] == ("AE", "204")


def test_a_started_exam_is_not_canceled(feed):
    """AE with the reason; the exam goes on."""
    accepted(order())
    start_exam()
    answer = answer_to(message(PID, "ORC|CA|P100", "OBR|1|P100"))
    assert answer.value("MSA-1") == "AE" and "STARTED" in (answer.value("ERR-8") or "")
    assert RequestedProcedure.objects.get().status == "IN PROGRESS"


def test_another_patients_order_number_is_refused(feed):
    """AE 205, and nothing of the message stays (#041)."""
    accepted(order())
    assert verdict(answer_to(order(patient="OTHER9")))[:2] == ("AE", "205")
    assert Order.objects.get().patient.patient_id == "GRACE1"
    assert WorkflowEvent.objects.filter(verb="register").count() == 1


@pytest.mark.parametrize(("status", "orders"), [("SC", 1), ("", 1), ("CM", 0), ("IP", 0)])
def test_a_status_change_may_be_the_order_itself(feed, status, orders):
    """SC with SC or nothing places it (#032, #038); any other status is told that it changes nothing (#031)."""
    told = accepted(order("SC", orc=f"|||{status}"))
    assert Order.objects.count() == orders
    assert ("changes nothing" in told) is (orders == 0)


def test_a_status_change_may_be_a_cancellation(feed):
    """SC with ORC-5 CA."""
    accepted(order())
    accepted(order("SC", orc="|||CA"))
    assert RequestedProcedure.objects.get().status == "CANCELED"


def test_replies_change_nothing(feed):
    """XR, RE and the like answer what we never asked (#019, #063)."""
    assert "is a reply" in accepted(order("XR"))
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (order("KN"), ("AE", "103", "ORC^1^1")),
        (order(""), ("AE", "101", "ORC^1^1")),
        (message("ORC|NW|P1", "OBR|1|P1"), ("AE", "101", "PID^1^3")),
        (message("PID|||", "ORC|NW|P1", "OBR|1|P1"), ("AE", "101", "PID^1^3")),
        (message(PID, "ORC|NW", "OBR|1||"), ("AE", "101", "ORC^1^2")),
        (message(PID, "ORC|NW|P1"), ("AE", "100", "OBR^1")),
        (message(PID), ("AE", "100", "ORC^1")),
        (order(start="20250230"), ("AE", "102", "TQ1^1^7")),
        (order(start="tomorrow"), ("AE", "102", "TQ1^1^7")),
    ],
)
def test_what_is_wrong_is_named(feed, raw, expected):
    """MSA-1, the condition of table 0357 and the field."""
    assert verdict(answer_to(raw)) == expected
    assert not Order.objects.exists()


def test_two_orders_in_one_message(feed):
    """Each ORC group on its own; one answer (#063)."""
    accepted(message(PID, "ORC|RE|1", "OBR|1|1||A", "ORC|NW|2", "OBR|2|2||B", "ORC|NW|3", "OBR|3|3||C"))
    assert sorted(Order.objects.values_list("placer_order_number", flat=True)) == ["2", "3"]


def test_all_of_a_message_or_nothing(feed):
    """The second group is refused, so the first leaves no trace, and the place is named."""
    answer = answer_to(message(PID, "ORC|NW|1", "OBR|1|1||A", "ORC|KN|2", "OBR|2|2||B"))
    assert verdict(answer) == ("AE", "103", "ORC^2^1")
    assert not Order.objects.exists() and not WorkflowEvent.objects.exists()


def test_two_procedures_of_one_order(feed):
    """Two OBR under one ORC (#035): one order, two exams with a Study UID each."""
    accepted(message(PID, "ORC|NW|1", "OBR|1|1||A||20261122", "OBR|2|1||B||20261122"))
    assert Order.objects.count() == 1
    assert len(set(RequestedProcedure.objects.values_list("study_instance_uid", flat=True))) == 2


def test_the_message_is_linked_with_its_orders(feed):
    """The message store finds it by its numbers."""
    accepted(order(accession="A1"))
    kept = InboundMessage.objects.get()
    assert kept.orders.get() == Order.objects.get()
    assert kept.order_numbers.split() == ["P100", "A1"]


def test_an_orc_repeated_for_each_obr_is_one_order(feed):
    """Two groups with one placer number: two exams, none of which overwrites the other; changed alike."""
    groups = (
        "ORC|NW|P1",
        "OBR|1|P1||XWRIST^X-ray wrist^L||202611231000",
        "ORC|NW|P1",
        "OBR|2|P1||CTHEAD^CT head^L||202611231100",
    )
    accepted(message("PID|||GRACE1^^^ADT^MR||Sample^Grace", *groups))
    changed = (segment.replace("|NW|", "|XO|").replace("2026112311", "2026112312") for segment in groups)
    accepted(message("PID|||GRACE1^^^ADT^MR||Sample^Grace", *changed))
    assert Order.objects.count() == 1
    starts = ScheduledProcedureStep.objects.values_list("requested_procedure__code_value", "start")
    assert {code: at.hour for code, at in starts} == {"XWRIST": 10, "CTHEAD": 12}


def test_orders_of_two_patients_in_one_message(feed):
    """Each belongs to the PID before it, not to the first; where that cannot be told, AE 100."""
    one, two = ("PID|||ONE1^^^ADT^MR||One^Olga", "PID|||TWO2^^^ADT^MR||Two^Tara")
    groups = (("ORC|NW|P1", "OBR|1|P1||XWRIST"), ("ORC|NW|P2", "OBR|1|P2||CTHEAD"))
    accepted(message(one, *groups[0], two, *groups[1]))
    found = dict(Order.objects.values_list("placer_order_number", "patient__patient_id"))
    assert found == {"P1": "ONE1", "P2": "TWO2"}
    assert verdict(answer_to(message(*groups[0], one, *groups[1], two)))[:2] == ("AE", "100")


def test_an_order_before_events_had_names(feed):
    """MSH-9 of v2.1 says only ORM, or ADT with the event in EVN-1."""
    accepted(order(kind="ORM", version="2.1"))
    accepted(message("EVN|A08|20261122", "PID|||GRACE1^^^ADT^MR||Married^Grace", kind="ADT", version="2.1"))
    assert Order.objects.get().patient.patient_name == "Married^Grace"
    assert verdict(answer_to(message("PID|||1", kind="ADT")))[:2] == ("AR", "201")
