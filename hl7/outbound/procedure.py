"""Exams scheduled, changed and canceled, for an image or report manager (IHE RAD-4, RAD-13): ORM^O01 with ZDS, one
ORC/OBR for each step, or OMI^O23 with one IPC for each step."""

from django.conf import settings
from django.db.models import Q

from hl7.destinations import Structure, Subscription
from hl7.outbound.segments import Body, Fields, MessageType, clinical, obr, orc, person, pid, pv1, timing, tq1, zds
from ris.models import RequestedProcedure, ScheduledProcedureStep, WorkflowEvent
from ris.states import ExamStatus, StepStatus, Verb

#: ORC-1 -> ORC-5.
_STATUS = {"NW": "SC", "XO": "SC", "CA": "CA", "DC": "DC"}
#: Where an exam stands that image managers have not heard of, or no more.
_NOT_KNOWN = (ExamStatus.ORDERED, ExamStatus.CANCELED, "")
#: What changes an exam that is scheduled, while one of its steps still is.
_CHANGES = (Verb.SCHEDULE, Verb.UNSCHEDULE, Verb.CANCEL, "change")


def trigger(event: WorkflowEvent) -> str | None:
    """ORC-1: NW when the exam is first scheduled, XO when that changes, CA and DC when it comes to nothing."""
    if event.requested_procedure is None:
        return None
    new, old = event.exam_status, event.old_exam_status
    if old in _NOT_KNOWN and not _was_told(event):
        return "NW" if event.verb == Verb.SCHEDULE else None
    if new != old and new in (ExamStatus.CANCELED, ExamStatus.DISCONTINUED):
        return "CA" if new == ExamStatus.CANCELED else "DC"
    return "XO" if event.verb in _CHANGES and _live_steps(event.requested_procedure) else None


def _was_told(event: WorkflowEvent) -> bool:
    """Whether the exam, which is not scheduled now, was before, so that image managers still have it."""
    earlier = WorkflowEvent.objects.filter(requested_procedure=event.requested_procedure, id__lt=event.pk)
    last = earlier.filter(Q(verb=Verb.SCHEDULE) | Q(exam_status=ExamStatus.CANCELED)).order_by("-id").first()
    return last is not None and last.exam_status != ExamStatus.CANCELED


def body(event: WorkflowEvent, control: str, subscription: Subscription) -> tuple[MessageType, Body]:
    """The steps that are planned; of an exam that is over, all that were or should have been."""
    procedure = event.requested_procedure
    assert procedure is not None
    order = procedure.order
    patient: Body = [("PID", pid(order.patient)), ("PV1", pv1(order.visit, order.referring_physician))]
    steps = _live_steps(procedure) or list(procedure.steps.exclude(start=None)) or list(procedure.steps.all())
    if subscription.structure == Structure.OMI:
        return ("OMI", "O23", "OMI_O23"), [*patient, *_imaging_order(event, procedure, steps, control)]
    groups = [segment for step in steps for segment in _order(event, procedure, step, control)]
    return ("ORM", "O01", "ORM_O01"), [*patient, *groups, ("ZDS", zds(procedure))]


def _live_steps(procedure: RequestedProcedure) -> list[ScheduledProcedureStep]:
    over = (StepStatus.NEW, StepStatus.CANCELED, StepStatus.NO_SHOW)
    return list(procedure.steps.exclude(status__in=over).prefetch_related("stations"))


def _order(event: WorkflowEvent, procedure: RequestedProcedure, step: ScheduledProcedureStep, control: str) -> Body:
    """ORC and OBR of one step: OBR-4.4 to 6 are its protocol, OBR-44 is the procedure (RAD-4)."""
    order = procedure.order
    when = timing(order, step.start)
    fields = obr(order, procedure, step) | clinical(order, procedure)
    code = (procedure.code_value, procedure.code_meaning or procedure.title, procedure.coding_scheme)
    fields |= {4: (*code, *_protocol(step)), 27: when, 44: code}
    placed = orc(event, order, control, _STATUS[control])
    return [("ORC", placed | {7: when, 12: person(order.requesting_physician)}), ("OBR", fields)]


def _protocol(step: ScheduledProcedureStep) -> tuple[str, str, str]:
    for value, scheme, meaning in step.protocol_codes[:1]:
        return value, meaning, scheme
    return "", step.description, ""


def _imaging_order(
    event: WorkflowEvent, procedure: RequestedProcedure, steps: list[ScheduledProcedureStep], control: str
) -> Body:
    """RAD-4 in v2.5.1 wants TQ1-7 and IPC-1 to 5, and nothing in ORC-7 and OBR-27."""
    order = procedure.order
    start = min((step.start for step in steps if step.start), default=None)
    fields = obr(order, procedure, None) | clinical(order, procedure)
    placed = orc(event, order, control, _STATUS[control]) | {12: person(order.requesting_physician)}
    head: Body = [("ORC", placed), ("TQ1", tq1(order, start)), ("OBR", fields)]
    return [*head, *(("IPC", _ipc(procedure, step)) for step in steps)]


def _ipc(procedure: RequestedProcedure, step: ScheduledProcedureStep) -> Fields:
    return {
        1: (procedure.order.accession_number, procedure.order.accession_issuer or settings.AE_TITLE),
        2: (procedure.requested_procedure_id, settings.AE_TITLE),
        3: procedure.study_instance_uid,
        4: (step.scheduled_procedure_step_id, settings.AE_TITLE),
        5: step.modality,
        6: [(value, meaning, scheme) for value, scheme, meaning in step.protocol_codes],
        7: step.station_name,
        8: ("", step.location or (step.room.name if step.room else "")),
        9: [(station.ae_title,) for station in step.stations.all()],
    }
