"""How far an exam is: ORC-1 SC (IHE RAD-3), as ORM^O01 or OMG^O19."""

from hl7.destinations import Structure, Subscription
from hl7.outbound.segments import Body, Fields, MessageType, obr, orc, patient_of, timing, tq1, zds
from ris.models import RequestedProcedure, ScheduledProcedureStep, WorkflowEvent
from ris.states import ExamStatus, Verb

#: Exam status -> ORC-5 (table 0038). None: nobody is told.
ORDER_STATUS: dict[ExamStatus, str | None] = {
    ExamStatus.ORDERED: None,
    ExamStatus.SCHEDULED: "SC",
    ExamStatus.ARRIVED: "SC",
    ExamStatus.IN_PROGRESS: "IP",
    ExamStatus.PERFORMED: "CM",
    ExamStatus.IMAGES_COMPLETE: "CM",
    ExamStatus.REPORTED: "CM",
    ExamStatus.ON_HOLD: None,
    ExamStatus.CANCELED: "CA",
    ExamStatus.DISCONTINUED: "DC",
    ExamStatus.NO_SHOW: None,
}


def trigger(event: WorkflowEvent) -> str | None:
    """ORC-5 if this event is one that is told: each booking, else a change of what ORC-5 says."""
    if event.requested_procedure is None or not event.exam_status:
        return None
    new = ORDER_STATUS[ExamStatus(event.exam_status)]
    old = ORDER_STATUS[ExamStatus(event.old_exam_status)] if event.old_exam_status else None
    return new if event.verb == Verb.SCHEDULE or new != old else None


def body(event: WorkflowEvent, status: str, subscription: Subscription) -> tuple[MessageType, Body]:
    """ORC-5 is ``status``. The exam's first step stands for it where the event is of no step."""
    procedure = event.requested_procedure
    assert procedure is not None
    step = event.step or procedure.steps.first()
    return order_type(subscription), [
        *patient_of(procedure.order),
        *order_group(event, procedure, step, ("SC", status), subscription),
        *([("ZDS", zds(procedure))] if subscription.structure == Structure.ORM else []),
    ]


def order_type(subscription: Subscription) -> MessageType:
    """MSH-9 of an order message in the structure subscribed to."""
    return ("OMG", "O19", "OMG_O19") if subscription.structure == Structure.OMG else ("ORM", "O01", "ORM_O01")


def order_group(
    event: WorkflowEvent,
    procedure: RequestedProcedure,
    step: ScheduledProcedureStep | None,
    said: tuple[str, str],
    subscription: Subscription,
    more: Fields | None = None,
) -> Body:
    """ORC, TQ1 and OBR. ``said`` is ORC-1 and ORC-5, ``more`` further fields of OBR. The time is in TQ1 in an OMG of
    v2.5 and later, else in OBR-27."""
    order, start = procedure.order, step.start if step else None
    fields = obr(order, procedure, step) | (more or {})
    head: Body = [("ORC", orc(event, order, *said))]
    if subscription.structure == Structure.OMG and subscription.version >= "2.5":
        return [*head, ("TQ1", tq1(order, start)), ("OBR", fields)]
    return [*head, ("OBR", fields | {27: timing(order, start)})]
