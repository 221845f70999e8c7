"""Bookings: SIU^S12 new, S13 moved, S14 changed otherwise, S15 canceled (IHE RAD-48), S26 the patient did not come."""

from django.conf import settings

from hl7.destinations import Subscription
from hl7.outbound.segments import Body, Fields, MessageType, numbers, patient_of, time
from ris.models import ScheduledProcedureStep, WorkflowEvent
from ris.states import PENDING, Verb

#: Trigger event -> SCH-25 (table 0278) and RGS-2, AIS-2 (table 0206).
_SAYS = {
    "S12": ("Booked", "A"),
    "S13": ("Booked", "U"),
    "S14": ("Booked", "U"),
    "S15": ("Cancelled", "D"),
    "S26": ("Noshow", "U"),
}
#: What else happens to an appointment.
_OF_BOOKED: dict[str, str] = {
    Verb.HOLD: "S14",
    Verb.RELEASE: "S14",
    Verb.CANCEL: "S15",
    Verb.UNSCHEDULE: "S15",
}


def trigger(event: WorkflowEvent) -> str | None:
    """The trigger event, if the step has or had an appointment."""
    booked = event.old_status in PENDING
    if event.step is None:
        return None
    if event.verb == Verb.SCHEDULE:
        return "S13" if booked else "S12"
    if event.verb == Verb.NO_SHOW:
        return "S26"
    return _OF_BOOKED.get(event.verb) if booked else None


def body(event: WorkflowEvent, code: str, subscription: Subscription) -> tuple[MessageType, Body]:
    """Patient, appointment, and what it needs: the procedure (AIS), the stations (AIG), the room (AIL)."""
    step = event.step
    assert step is not None
    action = _SAYS[code][1]
    resources: Body = [("RGS", {1: "1", 2: action}), ("AIS", _ais(step, action))]
    resources += [
        ("AIG", {1: str(number), 2: action, 3: station.ae_title, 4: "EQUIPMENT"})
        for number, station in enumerate(step.stations.all(), 1)
    ]
    if step.room:
        resources.append(("AIL", {1: "1", 2: action, 3: ("", step.room.name), 4: ("ROOM", "Room")}))
    order = step.requested_procedure.order
    return ("SIU", code, "SIU_S12"), [("SCH", _sch(event, step, code)), *patient_of(order), *resources]


def _sch(event: WorkflowEvent, step: ScheduledProcedureStep, code: str) -> Fields:
    """SCH-2 is the step, which is what is booked; SCH-26 and 27 name its order."""
    order = step.requested_procedure.order
    placer, filler = numbers(order)
    status = "Pending" if event.verb == Verb.HOLD else _SAYS[code][0]
    minutes = f"M{step.duration_minutes}"
    return {
        2: (step.scheduled_procedure_step_id, settings.AE_TITLE),
        6: (event.verb, event.reason),
        7: ("", step.requested_procedure.reason),
        9: str(step.duration_minutes),
        10: "min",
        11: ("", "", minutes, time(step.start)),
        16: event.actor_name,
        20: event.actor_name,
        25: status,
        26: placer,
        27: filler,
    }


def _ais(step: ScheduledProcedureStep, action: str) -> Fields:
    procedure = step.requested_procedure
    code = (procedure.code_value, procedure.code_meaning or procedure.title, procedure.coding_scheme)
    return {1: "1", 2: action, 3: code, 4: time(step.start), 7: str(step.duration_minutes), 8: "min"}
