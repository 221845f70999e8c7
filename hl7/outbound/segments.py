"""The segments that messages are made of, as {field number: value}, and how they become ER7.

hl7apy builds the segments. It escapes neither line ends nor ampersands in values (``standards/hl7.md``), so every value
is escaped here first: what stands in a value never becomes structure.
"""

from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Segment

from hl7.destinations import Subscription
from hl7.er7 import escape
from hl7.header import NULL, Separators
from ris.models import Order, Patient, RequestedProcedure, ScheduledProcedureStep, Visit, WorkflowEvent

#: A field as its components (tuple), its repetitions (list), or one value.
Value = str | tuple[str, ...] | list[tuple[str, ...]]
Fields = dict[int, Value]
#: The segments after MSH, each with its name.
Body = list[tuple[str, Fields]]
#: MSH-9: message code, trigger event, and the structure that MSH-9.3 names since v2.4.
MessageType = tuple[str, str, str]

PRIORITY = {"STAT": "S", "HIGH": "A", "ROUTINE": "R", "MEDIUM": "T"}
_SEPARATORS = Separators()


def er7(segments: Iterable[tuple[str, Fields]], version: str) -> bytes:
    """The segments in UTF-8."""
    return "".join(_segment(name, fields, version) + "\r" for name, fields in segments).encode()


def _segment(name: str, fields: Fields, version: str) -> str:
    if name.startswith("Z"):  # hl7apy knows no Z segments, and would leave out what it does not know
        return "|".join([name, *(_field(fields.get(number, "")) for number in range(1, max(fields) + 1))])
    segment = Segment(name, version=version, validation_level=VALIDATION_LEVEL.TOLERANT)
    for number, value in fields.items():
        for text in _repetitions(value):
            segment.add_field(f"{name}_{number}").value = text
    if name == "MSH":
        segment.msh_2 = str(_SEPARATORS)
    return segment.to_er7()


def _field(value: Value) -> str:
    return "~".join(_repetitions(value))


def _repetitions(value: Value) -> list[str]:
    repetitions = value if isinstance(value, list) else [(value,) if isinstance(value, str) else value]
    texts = ("^".join(map(_text, parts)).rstrip("^") for parts in repetitions)
    return [text for text in texts if text]


def _text(value: str) -> str:
    """One value, escaped. Two quotes alone would tell the receiver to delete what it has (HL7 v2.5.1 2.5.3)."""
    text = escape(value, _SEPARATORS).strip()
    return "" if text == NULL else text


def msh(event: WorkflowEvent, kind: MessageType, subscription: Subscription, control_id: str, mode: Fields) -> Fields:
    """``mode`` holds MSH-15 and MSH-16."""
    destination = subscription.destination
    return {
        3: settings.AE_TITLE,
        5: destination.receiving_application,
        6: destination.receiving_facility,
        7: time(event.at),
        9: kind if subscription.version >= "2.4" else kind[:2],
        10: control_id,
        11: "P",
        12: subscription.version,
        **mode,
        18: "UNICODE UTF-8",
    }


def evn(event: WorkflowEvent, trigger: str) -> Fields:
    return {1: trigger, 2: time(event.at)}


def pid(patient: Patient) -> Fields:
    return {
        3: (patient.patient_id, "", "", patient.issuer_of_patient_id),
        5: names(patient.patient_name),
        7: day(patient.patient_birth_date),
        8: patient.patient_sex,
    }


def pv1(visit: Visit | None, referring_physician: str = "") -> Fields:
    """PV1-2 says U where nothing is known: it is required."""
    if visit is None:
        return {2: "U", 8: person(referring_physician)}
    return {
        2: visit.patient_class or "U",
        3: visit.current_patient_location,
        8: person(referring_physician or visit.referring_physician),
        19: (visit.admission_id, "", "", visit.issuer_of_admission_id),
    }


def patient_of(order: Order) -> Body:
    """PID, and PV1 if there is a visit."""
    return [("PID", pid(order.patient)), *([("PV1", pv1(order.visit))] if order.visit else [])]


def orc(event: WorkflowEvent, order: Order, control: str, status: str) -> Fields:
    placer, filler = numbers(order)
    return {1: control, 2: placer, 3: filler, 5: status, 9: time(event.at)}


def obr(order: Order, procedure: RequestedProcedure, step: ScheduledProcedureStep | None) -> Fields:
    """Without the time, which versions carry in different places."""
    placer, filler = numbers(order)
    return {
        1: str(procedure.position),
        2: placer,
        3: filler,
        4: (procedure.code_value, procedure.code_meaning or procedure.title, procedure.coding_scheme),
        18: order.accession_number,
        19: procedure.requested_procedure_id,
        20: step.scheduled_procedure_step_id if step else "",
        24: step.modality if step else "",
    }


def clinical(order: Order, procedure: RequestedProcedure) -> Fields:
    """The fields of OBR that say for whom and why, and what to heed."""
    return {
        12: order.patient_state,
        13: order.clinical_information,
        16: person(order.requesting_physician),
        30: order.transport_arrangements,
        31: ("", procedure.reason),
    }


def timing(order: Order, start: datetime | None) -> tuple[str, ...]:
    """Start and priority as TQ (ORC-7, OBR-27)."""
    return "", "", "", time(start), "", PRIORITY.get(order.priority, "")


def tq1(order: Order, start: datetime | None) -> Fields:
    return {1: "1", 7: time(start), 9: PRIORITY.get(order.priority, "")}


def zds(procedure: RequestedProcedure) -> Fields:
    return {1: (procedure.study_instance_uid, settings.AE_TITLE, "Application", "DICOM")}


def numbers(order: Order) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Placer and filler order number. Without one from outside the accession number is ours. An issuer that only
    stands in for a missing one (the sender) was not in the number and is not sent."""
    placer = (order.placer_order_number, namespace(order.placer_issuer, order))
    if not order.filler_order_number:
        return placer, (order.accession_number, settings.AE_TITLE)
    return placer, (order.filler_order_number, namespace(order.filler_issuer, order))


def namespace(issuer: str, order: Order) -> str:
    """The issuer if the number came with it. What stands in is the sender's ``application|facility``."""
    return "" if issuer == order.sender or "|" in issuer else issuer


def names(name: str) -> list[tuple[str, ...]]:
    """A DICOM PN as XPN repetitions: HL7 puts the suffix before the prefix, and the group into component 8."""
    repetitions: list[tuple[str, ...]] = []
    for group, code in zip(name.split("="), ("A", "I", "P"), strict=False):
        family, given, middle, prefix, suffix = [*group.split("^"), "", "", "", "", ""][:5]
        if group:
            repetitions.append((family, given, middle, suffix, prefix, "", "L", code if "=" in name else ""))
    return repetitions


def person(name: str) -> tuple[str, ...]:
    """A DICOM PN (its first group) as XCN without an identifier."""
    family, given, middle, prefix, suffix = [*name.split("=")[0].split("^"), "", "", "", "", ""][:5]
    return "", family, given, middle, suffix, prefix


def time(at: datetime | None) -> str:
    return at.astimezone(ZoneInfo(settings.TIME_ZONE)).strftime("%Y%m%d%H%M%S%z") if at else ""


def day(at: date | None) -> str:
    return at.strftime("%Y%m%d") if at else ""
