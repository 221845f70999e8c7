"""Reports filed: ORU^R01 (IHE RAD-28), with the text of the message that brought the report, written anew."""

from hl7.destinations import Subscription
from hl7.er7 import Message, Segment
from hl7.groups import Scope, report_groups
from hl7.models import InboundMessage
from hl7.outbound.segments import Body, Fields, MessageType, clinical, obr, orc, patient_of, time
from ris.models import RequestedProcedure, WorkflowEvent

#: The verb of the event -> OBR-25 (table 0123) and OBX-11 (table 0085). A report that is only registered is no report.
_STATUS = {
    "report partial": ("A", "P"),
    "report preliminary": ("P", "P"),
    "report final": ("F", "F"),
    "report corrected": ("C", "C"),
    "report canceled": ("X", "X"),
}
_TEXT = ("TX", "FT", "ST")
_STUDY = ("113014", "DICOM Study", "DCM")
#: OBX-5 of coded, numeric and encapsulated values has at most this many components (CWE, ED).
_COMPONENTS = 9


def trigger(event: WorkflowEvent) -> str | None:
    """The verb, if a report came or changed."""
    return event.verb if event.requested_procedure_id and event.verb in _STATUS else None


def body(event: WorkflowEvent, verb: str, subscription: Subscription) -> tuple[MessageType, Body]:
    """ORC-1 RE; OBR-25 says how final it is; the first OBX names the study, then a line of text in each."""
    procedure = event.requested_procedure
    assert procedure is not None
    order, (result, observed) = procedure.order, _STATUS[verb]
    fields = obr(order, procedure, procedure.steps.first()) | clinical(order, procedure)
    fields |= {22: time(procedure.report_changed_at or event.at), 25: result}
    values: list[Fields] = [{2: "ST", 3: _STUDY, 5: procedure.study_instance_uid}, *_observations(event, procedure)]
    lines = [("OBX", {1: str(number), 4: "1", 11: observed} | value) for number, value in enumerate(values, 1)]
    head: Body = [("ORC", orc(event, order, "RE", "CM")), ("OBR", fields)]
    return ("ORU", "R01", "ORU_R01"), [*patient_of(order), *head, *lines]


def _observations(event: WorkflowEvent, procedure: RequestedProcedure) -> list[Fields]:
    """What the message that brought the report observed of this exam; nothing if it is not kept any more."""
    kept = InboundMessage.objects.filter(orders=event.order_id, control_id=_control_id(event)).select_related("feed")
    found = kept.order_by("-id").first()
    if found is None:
        return []
    character_set = found.feed.default_character_set if found.feed else "UTF-8"
    scopes = report_groups(Message.parse(bytes(found.raw), character_set))
    scope = next((scope for scope in scopes if _is_of(scope, procedure)), scopes[0] if len(scopes) == 1 else None)
    segments = scope.all("OBX") if scope else []
    return [value for obx in segments if obx.value(3, 1, 1) != _STUDY[0] for value in _values(obx)]


def _control_id(event: WorkflowEvent) -> str:
    """MSH-10 of the message that the event came of, also when it was replayed."""
    return event.source_message.rpartition("MSH-10 ")[2].partition(", replay ")[0]


def _is_of(scope: Scope, procedure: RequestedProcedure) -> bool:
    """Whether this group of the message names the exam."""
    names = (
        ("ZDS-1.1", procedure.study_instance_uid),
        ("OBR-19.1", procedure.requested_procedure_id),
        ("OBR-4.1", procedure.code_value),
    )
    return any(value and scope.value(path) == value for path, value in names)


def _values(obx: Segment) -> list[Fields]:
    """An OBX as it is told: text line by line, for line breaks are no characters of a value; else its components."""
    kind, code = obx.value(2) or "TX", (*(obx.value(3, 1, number) or "" for number in (1, 2, 3)),)
    if kind in _TEXT:
        texts = [obx.value(5, repetition) or "" for repetition in range(1, len(obx.repetitions(5)) + 1)]
        return [{2: "TX", 3: code, 5: line} for text in texts for line in text.split("\n")]
    parts = [(*(obx.part(text, number) or "" for number in range(1, _COMPONENTS + 1)),) for text in obx.repetitions(5)]
    return [{2: kind, 3: code, 4: obx.value(4) or "1", 5: parts, 6: obx.value(6, 1, 1) or ""}]
