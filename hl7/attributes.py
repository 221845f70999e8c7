"""What a mapping can fill: each attribute, how its text or field is read, and the column that keeps it.

A reader returns None for *not what is looked for* and raises ValueError for *meant as it, but unusable*.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hl7 import datatypes
from hl7.er7 import Segment
from ris.inputs import Identifier

_NAME_GROUP_LENGTH = 64

#: Attributes whose value is one text.
TEXTS: dict[str, Callable[[str], Any]] = {
    "patient_birth_date": datatypes.birth_date,
    "patient_sex": datatypes.sex,
    "patient_class": datatypes.line,
    "accession_number": datatypes.short_string,
    "accession_issuer": datatypes.line,
    "priority": datatypes.priority,
    "allergies": datatypes.line,
    "pregnancy_status": datatypes.pregnancy,
    "patient_state": datatypes.line,
    "transport_arrangements": datatypes.line,
    "confidentiality": datatypes.line,
    "cancel_reason": datatypes.line,
    "requested_procedure_id": datatypes.short_string,
    "study_instance_uid": datatypes.uid,
    "report_study_instance_uid": datatypes.uid,
    "report_status": datatypes.line,
    "report_time": datatypes.moment,
    "appointment_start": datatypes.start,
    "appointment_status": datatypes.line,
    "procedure_description": datatypes.line,
    "reason": datatypes.line,
    "scheduled_procedure_step_id": datatypes.short_string,
    "modality": datatypes.modality,
    "start": datatypes.start,
    "step_description": datatypes.line,
    "station_name": datatypes.label,
    "location": datatypes.label,
}

Field = Callable[[Segment, int, int, int], Any]


def physician(segment: Segment, number: int, repetition: int = 1, component: int = 0) -> str | None:
    """XCN as a DICOM PN; None if it names nobody, as with an identifier alone, which has no blank (``Dr. Smith``)."""
    if component:
        return datatypes.line(segment.value(number, repetition, component) or "")[:_NAME_GROUP_LENGTH] or None
    name = datatypes.person_name(segment, segment.repetitions(number)[repetition - 1], 2)
    if not name and " " in (segment.value(number, repetition, 1) or ""):
        name = datatypes.person_name(segment, segment.repetitions(number)[repetition - 1])
    return name[:_NAME_GROUP_LENGTH] or None


def performer(segment: Segment, number: int, repetition: int, component: int) -> str | None:
    """NDL: the name's parts are subcomponents of component 1, in the wild also components."""
    parts = [segment.value(number, repetition, component or 1, index) or "" for index in range(2, 7)]
    if not any(parts):
        return physician(segment, number, repetition, component)
    family, given, middle, suffix, prefix = parts
    return "^".join((family, given, middle, prefix, suffix)).rstrip("^")[:_NAME_GROUP_LENGTH]


def entity(segment: Segment, number: int, _repetition: int, component: int) -> Identifier | None:
    """EI, or the text of one component as a number without issuer."""
    if component:
        return Identifier(datatypes.line(segment.value(number, 1, component) or "")) or None
    return datatypes.entity(segment, number) or None


def procedure_code(segment: Segment, number: int, repetition: int, component: int) -> Any:
    """CE or CWE; component 4 is its alternate."""
    return datatypes.code(segment, number, repetition, component or 1) or None


def codes(segment: Segment, number: int, _repetition: int, component: int) -> Any:
    """The codes of all repetitions; a longer text is no code (#038)."""
    every = range(1, len(segment.repetitions(number)) + 1)
    found = (datatypes.code(segment, number, index, component or 1) for index in every)
    return tuple(code for code in found if code.value and len(code.value) <= 16) or None


def texts(segment: Segment, number: int, _repetition: int, component: int) -> Any:
    """The texts of all repetitions; components that say nothing at their ends are left out."""
    every = (segment.value(number, index, component) for index in range(1, len(segment.repetitions(number)) + 1))
    clean = (datatypes.lines(text).strip("^ ") for text in every if text)
    return tuple(text for text in clean if text) or None


def names(segment: Segment, number: int, _repetition: int, component: int) -> Any:
    """Every word of all repetitions that may be the name of a room or a scanner."""
    numbers = (component,) if component else range(1, 5)
    every = range(1, len(segment.repetitions(number)) + 1)
    found = (segment.value(number, index, part) for index in every for part in numbers)
    return tuple(dict.fromkeys(datatypes.line(text) for text in found if text)) or None


def duration(segment: Segment, number: int, repetition: int, component: int) -> int | None:
    """Minutes: a number with its unit in the next field (SCH-9, AIS-7), or a component such as M30 (TQ.3)."""
    if component:
        return datatypes.minutes(segment.value(number, repetition, component) or "")
    unit = segment.value(number + 1, 1, 1) or ""
    return datatypes.minutes(segment.value(number, repetition, 1) or "", unit or "MIN")


def weight(segment: Segment, number: int, repetition: int, component: int) -> Decimal:
    """Kilograms; of an OBX-5 the unit is in OBX-6."""
    return datatypes.kilograms(segment.value(number, repetition, component or 1) or "", _unit(segment, number))


def size(segment: Segment, number: int, repetition: int, component: int) -> Decimal:
    """Metres, likewise."""
    return datatypes.metres(segment.value(number, repetition, component or 1) or "", _unit(segment, number))


def _unit(segment: Segment, number: int) -> str:
    return (segment.value(number + 1, 1, 1) or "").upper() if segment.name == "OBX" else ""


def titles(segment: Segment, number: int, _repetition: int, component: int) -> Any:
    """The first component of all repetitions."""
    return texts(segment, number, 1, component or 1)


def address(segment: Segment, number: int, repetition: int, _component: int) -> str | None:
    """XAD on one line; the street is the first subcomponent of component 1."""
    street = segment.value(number, repetition, 1, 1)
    parts = [street, *(segment.value(number, repetition, index) for index in range(2, 7))]
    return ", ".join(datatypes.line(part) for part in parts if part) or None


def telephone(segment: Segment, number: int, repetition: int, _component: int) -> str | None:
    """XTN: the number as written (component 1 or 12), else built of country, area and local number."""
    written = segment.value(number, repetition, 1) or segment.value(number, repetition, 12)
    parts = (segment.value(number, repetition, index) for index in (5, 6, 7))
    return written or " ".join(part for part in parts if part) or None


def place(segment: Segment, number: int, repetition: int, component: int) -> str | None:
    """PL: point of care, room, bed and facility."""
    numbers = (component,) if component else range(1, 5)
    parts = (segment.value(number, repetition, index) for index in numbers)
    return " ".join(datatypes.line(part) for part in parts if part) or None


#: Attributes that are read from a whole field (segment, field, repetition, component).
FIELDS: dict[str, Field] = {
    "patient_address": address,
    "telephone": telephone,
    "current_patient_location": place,
    "referring_physician": physician,
    "requesting_physician": physician,
    "performing_physician": performer,
    "placer_order_number": entity,
    "filler_order_number": entity,
    "procedure_code": procedure_code,
    "protocol_codes": codes,
    "clinical_information": texts,
    "medical_alerts": texts,
    "station_ae_titles": titles,
    "patient_weight": weight,
    "patient_size": size,
    "comments": texts,
    "patient_comments": texts,
    "appointment_placer_order": entity,
    "appointment_filler_order": entity,
    "placer_appointment_id": entity,
    "filler_appointment_id": entity,
    "appointment_procedure": procedure_code,
    "appointment_duration": duration,
    "appointment_resources": names,
}
#: Attributes of the patient and the visit that are read with their segment (hl7.identity).
IDENTITY = frozenset({"patient_identifier", "retired_identifier", "patient_name", "admission_id"})
NAMES = frozenset({*TEXTS, *FIELDS, *IDENTITY})

#: An appointment's own numbers and those of its order, each the placer's and the filler's.
APPOINTMENT_IDS = ("placer_appointment_id", "filler_appointment_id")
APPOINTMENT_ORDERS = ("appointment_placer_order", "appointment_filler_order")

#: Attribute -> the column of the exam that keeps it, where that has another name.
COLUMNS = {
    "procedure_description": "description",
    "step_description": "description",
    "procedure_code": "code_value",
    "start": "requested_start",
    "station_ae_titles": "requested_stations",
    "admission_id": "visit",
    "appointment_start": "requested_start",
    "appointment_duration": "duration_minutes",
    "appointment_resources": "requested_stations",
}
