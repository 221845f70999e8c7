"""What the HIS is told: WorkflowEvent -> ORM^O01 with ORC-1 SC (IHE RAD-3). Nothing is written here.

hl7apy builds the segments. It escapes neither line ends nor ampersands in values (``standards/hl7.md``), so every value
is escaped here first.
"""

from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Segment

from hl7.er7 import escape
from hl7.header import Separators
from hl7.models import Destination
from ris.models import Order, Patient, RequestedProcedure, ScheduledProcedureStep, WorkflowEvent
from ris.states import ExamStatus, Verb

#: Exam status -> ORC-5 (table 0038). None: the HIS is not told.
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
_PRIORITY = {"STAT": "S", "HIGH": "A", "ROUTINE": "R", "MEDIUM": "T"}
_SEPARATORS = Separators()
#: A field as its components (tuple), its repetitions (list), or one value.
_Value = str | tuple[str, ...] | list[tuple[str, ...]]


def order_status(event: WorkflowEvent) -> str | None:
    """ORC-5 if this event is one that the HIS is told of: each booking, else a change of what ORC-5 says."""
    if event.requested_procedure is None or not event.exam_status:
        return None
    new = ORDER_STATUS[ExamStatus(event.exam_status)]
    old = ORDER_STATUS[ExamStatus(event.old_exam_status)] if event.old_exam_status else None
    return new if event.verb == Verb.SCHEDULE or new != old else None


def status_message(event: WorkflowEvent, status: str, destination: Destination, control_id: str) -> bytes:
    """The whole message in UTF-8. The event carries its order, patient and exam, and a step if it is of one."""
    procedure = event.requested_procedure
    assert procedure is not None
    order, step = procedure.order, event.step or procedure.steps.first()
    segments: list[tuple[str, Mapping[int, _Value]]] = [
        ("MSH", _msh(event, destination, control_id)),
        ("PID", _pid(order.patient)),
        *([("PV1", _pv1(order))] if order.visit else []),
        ("ORC", _orc(event, order, status)),
        ("OBR", _obr(order, procedure, step)),
        ("ZDS", {1: (procedure.study_instance_uid, settings.AE_TITLE, "Application", "DICOM")}),
    ]
    return "".join(_segment(name, fields, destination.version) + "\r" for name, fields in segments).encode()


def _segment(name: str, fields: Mapping[int, _Value], version: str) -> str:
    segment = Segment(name, version=version, validation_level=VALIDATION_LEVEL.TOLERANT)
    for number, value in fields.items():
        repetitions = value if isinstance(value, list) else [(value,) if isinstance(value, str) else value]
        for parts in repetitions:
            text = "^".join(escape(part, _SEPARATORS) for part in parts).rstrip("^")
            if text:
                segment.add_field(f"{name}_{number}").value = text
    if name == "MSH":
        segment.msh_2 = str(_SEPARATORS)
    return segment.to_er7()


def _msh(event: WorkflowEvent, destination: Destination, control_id: str) -> dict[int, _Value]:
    newer = ("ORM_O01",) if destination.version >= "2.4" else ()
    return {
        3: settings.AE_TITLE,
        5: destination.receiving_application,
        6: destination.receiving_facility,
        7: _time(event.at),
        9: ("ORM", "O01", *newer),
        10: control_id,
        11: "P",
        12: destination.version,
        15: "AL",
        16: "NE",
        18: "UNICODE UTF-8",
    }


def _pid(patient: Patient) -> dict[int, _Value]:
    return {
        3: (patient.patient_id, "", "", patient.issuer_of_patient_id),
        5: _names(patient.patient_name),
        7: _date(patient.patient_birth_date),
        8: patient.patient_sex,
    }


def _pv1(order: Order) -> dict[int, _Value]:
    visit = order.visit
    assert visit is not None
    return {
        2: visit.patient_class or "U",
        3: visit.current_patient_location,
        19: (visit.admission_id, "", "", visit.issuer_of_admission_id),
    }


def _orc(event: WorkflowEvent, order: Order, status: str) -> dict[int, _Value]:
    placer, filler = _numbers(order)
    return {1: "SC", 2: placer, 3: filler, 5: status, 9: _time(event.at)}


def _obr(order: Order, procedure: RequestedProcedure, step: ScheduledProcedureStep | None) -> dict[int, _Value]:
    placer, filler = _numbers(order)
    start = _time(step.start) if step else ""
    return {
        1: str(procedure.position),
        2: placer,
        3: filler,
        4: (procedure.code_value, procedure.code_meaning or procedure.title, procedure.coding_scheme),
        18: order.accession_number,
        19: procedure.requested_procedure_id,
        20: step.scheduled_procedure_step_id if step else "",
        24: step.modality if step else "",
        27: ("", "", "", start, "", _PRIORITY.get(order.priority, "")),
    }


def _numbers(order: Order) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Placer and filler order number. Without one from outside the accession number is ours. An issuer that only
    stands in for a missing one (the sender) was not in the number and is not sent."""
    placer = (order.placer_order_number, _namespace(order.placer_issuer, order))
    if not order.filler_order_number:
        return placer, (order.accession_number, settings.AE_TITLE)
    return placer, (order.filler_order_number, _namespace(order.filler_issuer, order))


def _namespace(issuer: str, order: Order) -> str:
    return "" if issuer == order.sender else issuer


def _names(name: str) -> list[tuple[str, ...]]:
    """A DICOM PN as XPN repetitions: HL7 puts the suffix before the prefix, and the group into component 8."""
    repetitions: list[tuple[str, ...]] = []
    for group, code in zip(name.split("="), ("A", "I", "P"), strict=False):
        family, given, middle, prefix, suffix = [*group.split("^"), "", "", "", "", ""][:5]
        if group:
            repetitions.append((family, given, middle, suffix, prefix, "", "L", code if "=" in name else ""))
    return repetitions


def _time(at: datetime | None) -> str:
    return at.astimezone(ZoneInfo(settings.TIME_ZONE)).strftime("%Y%m%d%H%M%S%z") if at else ""


def _date(day: date | None) -> str:
    return day.strftime("%Y%m%d") if day else ""
