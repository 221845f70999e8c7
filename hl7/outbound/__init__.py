"""What others are told: WorkflowEvent -> HL7 message. Nothing is written here; the table says which event is told how.

Each module of a kind has ``trigger(event)``, what the event means to that kind or None, and ``body(event, trigger,
subscription)``, MSH-9 and the segments after MSH.
"""

from collections.abc import Callable

from hl7.destinations import Kind, Subscription
from hl7.outbound import appointment, filler, patient, procedure, report, status
from hl7.outbound.segments import Body, Fields, MessageType, er7, msh
from ris.models import WorkflowEvent

Trigger = Callable[[WorkflowEvent], str | None]
Builder = Callable[[WorkflowEvent, str, Subscription], tuple[MessageType, Body]]

KINDS: dict[Kind, tuple[Trigger, Builder]] = {
    Kind.ORDER_STATUS: (status.trigger, status.body),
    Kind.FILLER_ORDER: (filler.trigger, filler.body),
    Kind.PROCEDURE: (procedure.trigger, procedure.body),
    Kind.APPOINTMENT: (appointment.trigger, appointment.body),
    Kind.PATIENT: (patient.trigger, patient.body),
    Kind.REPORT: (report.trigger, report.body),
}
#: MSH-15 and MSH-16. Who is told of a new order answers with ORR or ORG itself: original mode.
_ACKNOWLEDGMENT: Fields = {15: "AL", 16: "NE"}


def trigger(kind: Kind, event: WorkflowEvent) -> str | None:
    """What the event means to a kind of message; None if it is not told."""
    return KINDS[kind][0](event)


def build(event: WorkflowEvent, told: str, subscription: Subscription, control_id: str) -> bytes:
    """The whole message in UTF-8; ``told`` is what ``trigger`` said. ValueError for a form that is not offered."""
    if not subscription.is_offered:
        raise ValueError(f"{subscription} is not offered")
    kind = Kind(subscription.kind)
    message_type, body = KINDS[kind][1](event, told, subscription)
    mode = {} if kind is Kind.FILLER_ORDER else _ACKNOWLEDGMENT
    return er7([("MSH", msh(event, message_type, subscription, control_id, mode)), *body], subscription.version)


def line(event: WorkflowEvent) -> str:
    """Whose messages must not overtake each other: the order's, or the patient's."""
    return f"order {event.order_id}" if event.order_id else f"patient {event.patient_id}"
