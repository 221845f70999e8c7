"""Appointments (SIU): they book steps of orders; what is not of imaging does nothing."""

from itertools import permutations

import pytest

from hl7 import rules
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
    assert "Not of imaging" in accepted(siu("S15", "AIS|1|A|NEVKONS^Neurology"))
    assert not Order.objects.exists()


def test_an_appointment_needs_a_schedule_segment(feed):
    """AE 101 without SCH (#008), or without an ID in it; AE 205 for another patient's order."""
    assert verdict(answer_to(message(PID, "AIS|1|A|XWRIST", kind="SIU^S12"))) == ("AE", "101", "SCH^1^1")
    assert verdict(answer_to(message("SCH|", PID, kind="SIU^S12"))) == ("AE", "101", "SCH^1^1")
    accepted(order(patient="OTHER9", start=""))
    assert verdict(answer_to(siu("S12", sch=bound("20261123140000"))))[:2] == ("AE", "205")


def test_an_appointment_canceled_before_it_came(feed):
    """S15 before S12: taken, and the appointment that comes books nothing; one said after it does."""
    accepted(order(start=""))
    assert "not be booked" in accepted(siu("S15", at="20250122090000"))
    accepted(siu("S12", sch=bound("20261123140000"), at="20250122080000"))
    assert (step().status, step().start) == ("NEW", None)
    assert not WorkflowEvent.objects.filter(verb__in=("schedule", "unschedule")).exists()
    accepted(siu("S12", sch=bound("20261124140000"), at="20250122100000"))
    assert step().status == "SCHEDULED"


def test_a_cancellation_of_an_appointment_may_be_refused(feed):
    """The feed's policy: AE 204."""
    feed.mapping = {"policies": {"cancel_unknown_order": "refuse"}}
    feed.save()
    assert verdict(answer_to(siu("S15", "AIS|1|A|XWRIST")))[:2] == ("AE", "204")


APPOINTMENTS = {
    "S12": siu("S12", "AIL|1|A|X-ray 2", sch=bound("20261123140000"), at="20250122080000"),
    "S13": siu("S13", sch="|||||||||^^30^20261124080000", at="20250122090000"),
    "S14": siu("S14", "AIL|1|A|X-ray 1", sch=bound("20261124080000"), at="20250122093000"),
    "S15": siu("S15", sch=bound("20261124080000"), at="20250122100000"),
}


@pytest.mark.parametrize("names", list(permutations(APPOINTMENTS)), ids="-".join)
def test_appointments_that_overtake_each_other(feed, names):
    """Whatever comes first: the last word is the cancellation."""
    accepted(order(start=""))
    for name in names:
        answer_to(APPOINTMENTS[name].replace(b"|P|2.5.1", b"%s|P|2.5.1" % name.encode()))
    assert (step().status, step().start) == ("NEW", None)


def test_every_attribute_keeps_its_provenance(feed):
    """Where from: the field of the SIU, as with an order."""
    accepted(order(start=""))
    segments = ("AIS|1|A|XWRIST||||30|min", "AIL|1|A|X-ray 2", "AIP|1|A|7^Ray^Rosa")
    accepted(siu("S12", *segments, sch=bound("20261123140000"), control_id="APPT1"))
    found = step().provenance
    assert {name: place for name, (place, source) in found.items() if source == "HL7 MSH-10 APPT1"} == {
        "requested_start": "SCH-11.4",
        "duration_minutes": "AIS-7",
        "requested_stations": "AIL-3",
        "performing_physician": "AIP-3",
        "placer_appointment_id": "SCH-1",
        "filler_appointment_id": "SCH-2",
    }
    assert (step().duration_minutes, step().performing_physician) == (30, "Ray^Rosa")
    accepted(siu("S15", at="20250122090000", control_id="APPT2"))
    assert step().provenance["requested_start"] == ["MSH-9.2", "HL7 MSH-10 APPT2"]


def test_where_an_appointment_says_what_is_the_feeds_mapping(feed):
    """A scheduler that numbers the order in SCH-4, the appointment in AIS-10 and has no SCH-11."""
    feed.mapping = {
        "attributes": {
            "appointment_placer_order": "SCH-4",
            "placer_appointment_id": "AIS-10",
            "filler_appointment_id": "",
            "appointment_start": "ZAP-2.1 or refuse",
            "appointment_resources": "ZAP-3",
        },
        "stations": ["ZAP-4.1 = north -> XRAY2"],
    }
    rules.check(feed.preset, feed.mapping)
    feed.save()
    accepted(order(start=""))
    raw = siu("S12", "AIS|1|A|XWRIST|||||||A77", "ZAP|1|20261123140000|nowhere|NORTH", sch="||P100")
    accepted(raw)
    assert step().start.isoformat() == "2026-11-23T14:00:00+00:00" and step().placer_appointment_id == "A77^HIS|WARD"
    assert [station.ae_title for station in step().stations.all()] == ["XRAY2"]
    bad = raw.replace(b"20261123140000", b"20261323140000").replace(b"|P|2.5.1", b"9|P|2.5.1")
    assert verdict(answer_to(bad)) == ("AE", "102", "ZAP^1^2")


def test_each_service_has_the_resources_of_its_group(feed):
    """RGS groups; the second service is in another room."""
    pair = ("OBR|1|P100||XWRIST^X-ray wrist^L", "OBR|2|P100||CTHEAD^CT head^L")
    accepted(message(PID, "ORC|NW|P100", *pair))
    groups = (
        ("RGS|1", "AIS|1|A|XWRIST|202611231400", "AIL|1|A|X-ray 2"),
        ("RGS|2", "AIS|1|A|CTHEAD|202611231500", "AIG|1|A|CT1"),
    )
    accepted(siu("S12", *groups[0], *groups[1], sch="|" * 24 + "P100"))
    stations = ScheduledProcedureStep.objects.values_list("requested_procedure__code_value", "stations__ae_title")
    assert set(stations) == {("XWRIST", "XRAY2"), ("CTHEAD", "CT1")}


def test_a_service_that_was_not_ordered_moves_nothing(feed):
    """Preparation beside the exam: only the exam's own service books it, and the sender is told."""
    accepted(order(start=""))
    services = ("AIS|1|A|XWRIST|202611231400", "AIS|2|A|PREP|202611231330")
    for number, pair in enumerate((services, services[::-1])):
        assert "no procedure PREP" in accepted(siu("S12", *pair, sch="|" * 24 + "P100", at=f"2025012208000{number}"))
        assert step().start.isoformat() == "2026-11-23T14:00:00+00:00"


def test_an_appointment_of_two_services_that_is_the_order(feed):
    """One order with two exams, each at its own time."""
    accepted(siu("S12", "AIS|1|A|XWRIST|202611231400", "AIS|2|A|CTHEAD|202611231500", sch="|"))
    assert Order.objects.count() == 1
    starts = ScheduledProcedureStep.objects.values_list("requested_procedure__code_value", "start")
    assert {code: at.hour for code, at in starts} == {"XWRIST": 14, "CTHEAD": 15}


@pytest.mark.parametrize("word", ["Cancelled", "CANCELED", "Deleted"])
def test_a_changed_appointment_that_is_canceled(feed, word):
    """S14 with SCH-25: as S15, also when it comes first; never an order of its own."""
    accepted(order(start=""))
    gone = siu("S14", "AIS|1|A|XWRIST", sch="|||||||||^^30^20261123140000" + "|" * 14 + word, at="20250122090000")
    assert "not be booked" in accepted(gone)
    accepted(siu("S12", sch=bound("20261123140000")))
    assert step().status == "NEW" and Order.objects.count() == 1
    accepted(siu("S13", sch=bound("20261124140000"), at="20250122100000"))
    assert step().status == "SCHEDULED"
    accepted(gone.replace(b"20250122090000", b"20250122110000").replace(b"|P|2.5.1", b"9|P|2.5.1"))
    assert step().status == "NEW" and step().provenance["requested_start"][0] == "SCH-25.1"


def test_an_appointments_own_number_is_its_orders_last(feed):
    """What it booked before counts more than an order that happens to have the appointment's number."""
    accepted(order(start=""))
    accepted(order(placer="AP1", start=""))
    accepted(siu("S12", sch=bound("20261123140000")))
    accepted(siu("S13", sch="|||||||||^^30^20261124080000", at="20250122090000"))
    starts = dict(Order.objects.values_list("placer_order_number", "procedures__steps__start"))
    assert starts["P100"].day == 24 and starts["AP1"] is None
