"""Orders of our own and what the desk cancels: ORC-1 SN and OC (IHE RAD-3).

The answer to SN brings the placer's number (``hl7/answers.py``).
"""

from hl7.destinations import Subscription
from hl7.outbound.segments import Body, MessageType, clinical, patient_of
from hl7.outbound.status import order_group, order_type
from ris.models import RequestedProcedure, WorkflowEvent
from ris.states import ExamStatus, Verb

#: ORC-1 -> ORC-5.
_STATUS = {"SN": "", "OC": "CA"}


def trigger(event: WorkflowEvent) -> str | None:
    """ORC-1. What a message from outside did is no news to who sent it."""
    procedure = event.requested_procedure
    if procedure is None or event.actor_kind == "HL7":
        return None
    if event.verb == "order":
        born_here = procedure.position == 1 and not procedure.order.placer_order_number
        return "SN" if born_here else None
    canceled = event.exam_status == ExamStatus.CANCELED != event.old_exam_status
    return "OC" if event.verb == Verb.CANCEL and canceled else None


def body(event: WorkflowEvent, control: str, subscription: Subscription) -> tuple[MessageType, Body]:
    """SN tells all procedures of the order at once, since it gets one number; OC the exam that was canceled."""
    exam = event.requested_procedure
    assert exam is not None
    exams = list(exam.order.procedures.order_by("position")) if control == "SN" else [exam]
    groups = [segment for procedure in exams for segment in _group(event, exam, procedure, control, subscription)]
    return order_type(subscription), [*patient_of(exam.order), *groups]


def _group(
    event: WorkflowEvent, exam: RequestedProcedure, procedure: RequestedProcedure, control: str, to: Subscription
) -> Body:
    procedure.order = exam.order
    said = (control, _STATUS[control])
    return order_group(event, procedure, procedure.steps.first(), said, to, clinical(exam.order, procedure))
