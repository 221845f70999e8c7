"""A message as people read it: its segments, fields and components by the names of its version (from hl7apy)."""

from dataclasses import dataclass
from functools import lru_cache

from hl7apy import SUPPORTED_LIBRARIES, load_reference
from hl7apy.exceptions import ChildNotFound

from hl7.er7 import Message, Segment, unescape
from hl7.header import split

#: Characters of one value, and segments of one message, that a page shows.
LONGEST_VALUE = 1000
MOST_SEGMENTS = 500
_NEWEST = "2.8.2"

SEGMENTS = {
    "ABS": "Abstract",
    "AIG": "Appointment: general resource",
    "AIL": "Appointment: location",
    "AIP": "Appointment: personnel",
    "AIS": "Appointment: service",
    "AL1": "Allergy",
    "BHS": "Batch header",
    "BLG": "Billing",
    "BTS": "Batch trailer",
    "CTD": "Contact",
    "CTI": "Clinical trial",
    "DB1": "Disability",
    "DG1": "Diagnosis",
    "DRG": "Diagnosis related group",
    "DSC": "Continuation",
    "ERR": "Error",
    "EVN": "Event",
    "FHS": "File header",
    "FT1": "Financial transaction",
    "FTS": "File trailer",
    "GT1": "Guarantor",
    "IAM": "Adverse reaction",
    "IN1": "Insurance",
    "IN2": "Insurance, continued",
    "IN3": "Insurance, certification",
    "IPC": "Imaging procedure control",
    "MRG": "Merge patient",
    "MSA": "Acknowledgment",
    "MSH": "Message header",
    "NK1": "Next of kin",
    "NTE": "Note",
    "OBR": "Observation request (the procedure)",
    "OBX": "Observation",
    "ORC": "Common order",
    "PD1": "Patient, additional",
    "PDA": "Patient death",
    "PID": "Patient",
    "PR1": "Procedure",
    "PV1": "Visit",
    "PV2": "Visit, additional",
    "RGS": "Resource group",
    "ROL": "Role",
    "SCH": "Appointment",
    "SFT": "Software",
    "SPM": "Specimen",
    "TQ1": "Timing and quantity",
    "TQ2": "Timing and quantity, relation",
    "UB2": "Billing (UB92)",
    "ZDS": "Study Instance UID (IHE)",
}
#: Fields of segments that no version of the standard has.
_FIELDS = {"ZDS_1": "Study Instance UID"}
_CAPITALS = {"ID", "UID", "AE", "SSN", *SEGMENTS}


@dataclass(frozen=True)
class Part:
    """A component, or a subcomponent where the component was divided. ``number`` is as in a path: ``4`` or ``4.2``."""

    number: str
    name: str
    text: str


@dataclass(frozen=True)
class Value:
    """One repetition of a field. ``parts`` is empty where the field is one value."""

    path: str
    name: str
    text: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class ShownSegment:
    """A segment with those of its fields that say anything."""

    name: str
    title: str
    values: tuple[Value, ...]


def segments(message: Message) -> list[ShownSegment]:
    """The first MOST_SEGMENTS segments of a message."""
    version = _version(message.header.component(12, 1))
    return [_segment(segment, version) for segment in message.segments[:MOST_SEGMENTS]]


def _version(declared: str) -> str:
    """The version whose names are used: an unknown one is read by the newest, none by 2.5.1."""
    if not declared:
        return "2.5.1"
    return declared if declared in SUPPORTED_LIBRARIES else _NEWEST


def _segment(segment: Segment, version: str) -> ShownSegment:
    values = []
    for number in range(1, len(segment.text.split(segment.separators.field)) + 1):
        found = _repetitions(segment, number)
        for index, repetition in enumerate(found, 1):
            path = f"{segment.name}-{number}" + (f"({index})" if len(found) > 1 else "")
            values.append(_value(segment, number, path, repetition, version))
    known = "(a segment of this site)" if segment.name.startswith("Z") else "(not in the table of segments)"
    return ShownSegment(segment.name, SEGMENTS.get(segment.name, known), tuple(value for value in values if value.text))


def _repetitions(segment: Segment, number: int) -> list[str]:
    """MSH-1 and MSH-2 are the delimiters themselves."""
    return [segment.field(number)] if _declares(segment, number) else segment.repetitions(number)


def _declares(segment: Segment, number: int) -> bool:
    return segment.name == "MSH" and number < 3


def _value(segment: Segment, number: int, path: str, repetition: str, version: str) -> Value:
    name, components = _field(segment.name, number, version)
    cut = repetition[:LONGEST_VALUE]
    rest = f" … {len(repetition)} characters in all" if len(repetition) > LONGEST_VALUE else ""
    if _declares(segment, number):
        return Value(path, name, cut)
    count = len(split(cut, segment.separators.component))
    if count == 1 or _is_text(segment, number):
        return Value(path, name, _plain(segment, cut) + rest)
    parts = [part for at in range(count) for part in _parts(segment, cut, at, components)]
    return Value(path, name, cut + rest, (*parts, *([Part("", "", rest)] if rest else [])))


def _is_text(segment: Segment, number: int) -> bool:
    """OBX-5 of a text type: its delimiters were often not escaped (#061)."""
    return segment.name == "OBX" and number == 5 and segment.field(2) in ("FT", "ST", "TX")


def _parts(segment: Segment, repetition: str, at: int, components: tuple) -> list[Part]:
    """Component ``at``, counted from 0, or its subcomponents; none if it is empty."""
    text = split(repetition, segment.separators.component)[at]
    name, subs = _component(components, at)
    pieces = split(text, segment.separators.subcomponent)
    if len(pieces) == 1:
        return [Part(str(at + 1), name, _plain(segment, text))] if text else []
    return [
        Part(f"{at + 1}.{index}", _component(subs, index - 1)[0] or name, _plain(segment, piece))
        for index, piece in enumerate(pieces, 1)
        if piece
    ]


def _plain(segment: Segment, text: str) -> str:
    return unescape(text, segment.separators, segment.codec).strip()


@lru_cache(maxsize=4096)
def _field(segment: str, number: int, version: str) -> tuple[str, tuple]:
    """A field's name and the references of its components; neither where the version does not have it."""
    try:
        reference = load_reference(f"{segment}_{number}", "Field", version)
    except ChildNotFound:
        return _FIELDS.get(f"{segment}_{number}", ""), ()
    return _words(reference[3]), reference[1] or ()


def _component(components: tuple, at: int) -> tuple[str, tuple]:
    if at >= len(components):
        return "", ()
    reference = components[at][1]
    return _words(reference[3]), reference[1] or ()


def _words(name: str | None) -> str:
    """``PATIENT_IDENTIFIER_LIST`` as ``Patient identifier list``, ``STUDY_INSTANCE_UID`` as ``Study instance UID``."""
    words = (name or "").replace("_", " ").capitalize().split(" ")
    return " ".join(word.upper() if word.upper() in _CAPITALS else word for word in words)
