"""Appointments (SIU): they book steps of orders; what is not of imaging does nothing."""

import pytest

from ris import selectors
from ris.models import Order, ScheduledProcedureStep, WorkflowEvent
from tests.hl7.conftest import answer_to, message, order, verdict
from tests.hl7.test_orders import accepted, start_exam

pytestmark = pytest.mark.django_db

PID = "PID|||GRACE1^^^ADT^MR||Sample^Grace||19800229|F"


def siu(event: str, *segments: str, sch: str = "", at: str = "20250122080000", **msh: str) -> bytes:
    """An appointment AP1 of the scheduling system."""
    return message(
        f"SCH|AP1|FA1{sch or '|||||||||^^30^20261123140000'}", PID, *segments, kind=f"SIU^{event}", at=at, **msh
    )


def step() -> ScheduledProcedureStep:
    return ScheduledProcedureStep.objects.get()


def bound(start: str, placer: str = "P100") -> str:
    """SCH-3 to SCH-26: start in SCH-11.4, the placer order number in SCH-26."""
    return f"|||||||||^^30^{start}" + "|" * 15 + placer


def test_an_appointment_books_its_order(feed):
    """SCH-26 names the order; moved and repeated by its own ID alone."""
    accepted(order(start=""))
    for _repeat in range(2):
        accepted(siu("S12", sch=bound("20261123140000")))
    assert step().start.isoformat() == "2026-11-23T14:00:00+00:00" and selectors.worklist_steps().count() == 1
    assert WorkflowEvent.objects.filter(verb="schedule").count() == 1
    accepted(siu("S13", sch="|||||||||^^30^20261124080000", at="20250122090000"))
    assert step().start.isoformat() == "2026-11-24T08:00:00+00:00"
    accepted(siu("S12", sch=bound("20261123140000")))
    assert step().start.isoformat() == "2026-11-24T08:00:00+00:00", "an older message moved it back"


@pytest.mark.parametrize(
    ("sch", "segments"),
    [
        ("|||||||||^^30^20261123140000", ("AIS|1|A|ANY|||||||P100",)),
        ("||||||||MIN|^^30^20261123140000", ("AIS|1|A|XWRIST|||||||P100",)),
        ("|", ("AIS|1|A|XWRIST|20261123140000||||||P100",)),
        ("|", ("AIS|1|A|XWRIST||20261123140000|||||P100",)),
    ],
)
def test_where_the_time_is(feed, sch, segments):
    """SCH-11.4, a shifted SCH-10.4, AIS-4, AIS-5 (#057), with the order in AIS-10 (#008)."""
    accepted(order(start=""))
    if "MIN" in sch:
        sch = "||||||||^^30^20261123140000"
    accepted(siu("S12", *segments, sch=sch))
    assert step().start.isoformat() == "2026-11-23T14:00:00+00:00"


def test_an_appointment_of_another_system(feed):
    """The scheduling system is not the one that ordered: number and patient name the order."""
    accepted(order(start=""))
    accepted(siu("S12", sch=bound("20261123140000"), sender="SCHED|WARD"))
    assert step().status == "SCHEDULED"


def test_a_room_that_is_named(feed):
    """AIL-3 names a room of ours: its stations list the step."""
    accepted(order(start=""))
    accepted(siu("S12", "AIL|1|A|X-ray 2", sch=bound("20261123140000")))
    assert step().room and step().room.name == "X-ray 2"


@pytest.mark.parametrize("event", ["S15", "S17"])
def test_a_canceled_appointment_leaves_the_order(feed, event):
    """To be scheduled again; a repeat changes nothing."""
    accepted(order(start=""))
    accepted(siu("S12", sch=bound("20261123140000")))
    for _repeat in range(2):
        accepted(siu(event, at="20250122090000"))
    assert (step().status, step().start) == ("NEW", None)
    assert step().requested_procedure.status == "ORDERED"
    assert not selectors.worklist_steps().exists()


def test_a_patient_who_did_not_come(feed):
    """S26."""
    accepted(order(start=""))
    accepted(siu("S12", sch=bound("20261123140000")))
    accepted(siu("S26"))
    assert step().status == "NO_SHOW"


def test_a_started_exam_is_not_moved(feed):
    """AE 206."""
    accepted(order())
    start_exam()
    assert verdict(answer_to(siu("S13", sch=bound("20261123140000"), at="20261122090000")))[:2] == ("AE", "206")


def test_two_services_are_two_steps(feed):
    """Each AIS has its own procedure and time."""
    pair = ("OBR|1|P100||XWRIST^X-ray wrist^L", "OBR|2|P100||CTHEAD^CT head^L")
    accepted(message(PID, "ORC|NW|P100", *pair))
    services = ("AIS|1|A|XWRIST|202611231400", "AIS|2|A|CTHEAD|202611231500")
    accepted(siu("S12", *services, sch="|" * 24 + "P100"))
    starts = ScheduledProcedureStep.objects.values_list("requested_procedure__code_value", "start")
    assert {code: at.hour for code, at in starts} == {"XWRIST": 14, "CTHEAD": 15}


def test_an_appointment_that_is_the_order(feed):
    """A procedure of the catalogue without an order: taken as one, and told."""
    assert "taken as order" in accepted(siu("S12", "AIS|1|A|XWRIST^X-ray wrist^L"))
    assert Order.objects.get().placer_order_number == "AP1"
    accepted(siu("S13", "AIS|1|A|XWRIST", sch="|||||||||^^30^20261124080000", at="20250122090000"))
    assert Order.objects.count() == 1 and step().start.day == 24


def test_an_appointment_of_another_department(feed):
    """AA without effect, and a sentence (#057); without any procedure it is refused (#012)."""
    assert "Not of imaging" in accepted(siu("S12", "AIS|1|A|NEVKONS^Neurology"))
    assert verdict(answer_to(siu("S12")))[:2] == ("AE", "204")
    assert verdict(answer_to(siu("S15", "AIS|1|A|XWRIST")))[:2] == ("AE", "204")
    assert not Order.objects.exists()


def test_an_appointment_needs_a_schedule_segment(feed):
    """AE 101 without SCH (#008), or without an ID in it; AE 205 for another patient's order."""
    assert verdict(answer_to(message(PID, "AIS|1|A|XWRIST", kind="SIU^S12"))) == ("AE", "101", "SCH^1^1")
    assert verdict(answer_to(message("SCH|", PID, kind="SIU^S12"))) == ("AE", "101", "SCH^1^1")
    accepted(order(patient="OTHER9", start=""))
    assert verdict(answer_to(siu("S12", sch=bound("20261123140000"))))[:2] == ("AE", "205")
