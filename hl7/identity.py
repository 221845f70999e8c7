"""PID, PV1 and MRG as the domain's identity of a patient and visit."""

from datetime import date
from typing import Literal

from hl7 import datatypes
from hl7.ack import FieldRefused
from hl7.er7 import Message, Segment
from hl7.groups import patient_notes
from hl7.mapping import Reading
from ris.inputs import Identifier, PatientIdentity, VisitInfo

_ID_LENGTH, _NAME_GROUP_LENGTH = 64, 64
#: CX.5 types of a medical record number, preferred among several identifiers.
_RECORD_NUMBER_TYPES = ("MR", "PI", "MRN")
#: XPN.8 and XCN.15 representation codes -> the group of a DICOM PN (PS3.5 6.2.1.1).
_NAME_GROUPS = {"I": 1, "P": 2}


def patient_identity(message: Message, reading: Reading) -> PatientIdentity:
    """The patient whom PID names. FieldRefused without PID or an identifier in it."""
    pid = message["PID"]
    if pid is None:
        raise FieldRefused("101", "PID^1^3", "PID-3 (patient identifier) is missing: there is no PID segment")
    identifier, others = _identifiers(pid, reading)
    if not identifier:
        raise FieldRefused("101", "PID^1^3", "PID-3 (patient identifier) is empty")
    return PatientIdentity(
        identifier=identifier,
        other_ids=others,
        patient_name=patient_name(pid, reading),
        patient_birth_date=_birth_date(pid, reading),
        patient_sex=_sex(pid, reading),
        patient_address=reading.cut(_address(pid), 250, "PID-11"),
        telephone=reading.cut(_telephone(pid), 64, "PID-13"),
        patient_comments=comments(patient_notes(message)),
    )


def identifier_if_any(message: Message, reading: Reading) -> Identifier:
    """The patient's identifier, or none where the message has no PID, as in a cancellation (#046)."""
    pid = message["PID"]
    return _identifiers(pid, reading)[0] if pid else Identifier()


def retired_identifier(message: Message, reading: Reading) -> Identifier:
    """MRG-1: the identifier that shall name the patient of PID from now on."""
    mrg = message["MRG"]
    identifier = _choose(_extended_ids(mrg, 1, reading), reading) if mrg else Identifier()
    if not identifier:
        raise FieldRefused("101", "MRG^1^1", "MRG-1 (prior patient identifier) is missing")
    return identifier


def visit_info(message: Message, reading: Reading) -> VisitInfo:
    """PV1, with the account number of PID-18 where there is no visit number."""
    pid, pv1 = message["PID"], message["PV1"]
    number = _first_id(pv1, 19, reading) or _first_id(pid, 18, reading)
    return VisitInfo(
        admission_id=number,
        current_patient_location=reading.cut(_location(pv1), 64, "PV1-3") if pv1 else None,
        patient_class=reading.cut(pv1.value(2, 1, 1), 16, "PV1-2") if pv1 else None,
        referring_physician=physician(pv1, 8) if pv1 else None,
    )


def physician(segment: Segment, number: int) -> str | None:
    """The first XCN of a field as a DICOM PN; None if it names nobody, as with an identifier alone."""
    repetitions = segment.repetitions(number)
    if segment.value(number) == "":
        return ""
    return datatypes.person_name(segment, repetitions[0], 2)[:_NAME_GROUP_LENGTH] or None if repetitions else None


def patient_name(pid: Segment, reading: Reading) -> str | None:
    """PID-5 as a DICOM PN: the alphabetic group, then the ideographic and the phonetic one if they are there."""
    if pid.value(5) == "":
        return ""
    groups = ["", "", ""]
    for repetition in pid.repetitions(5):
        group = _NAME_GROUPS.get(pid.part(repetition, 8) or "", 0)
        groups[group] = groups[group] or datatypes.person_name(pid, repetition)
    name = "=".join(reading.cut(group, _NAME_GROUP_LENGTH, "PID-5") or "" for group in groups)
    return name.rstrip("=") or None


def comments(notes: list[Segment]) -> str | None:
    """The texts of NTE-3, a line for each note and repetition."""
    texts = [
        datatypes.lines(text)
        for note in notes
        for number in range(1, len(note.repetitions(3)) + 1)
        if (text := note.value(3, number))
    ]
    return "\n".join(texts) or None


def _identifiers(pid: Segment, reading: Reading) -> tuple[Identifier, tuple[Identifier, ...]]:
    """The identifier to use, from PID-3, else PID-2, else PID-4; and the others of PID-3 that name an authority."""
    found = _extended_ids(pid, 3, reading)
    chosen = _choose(found, reading)
    if not chosen:
        return _first_id(pid, 2, reading) or _first_id(pid, 4, reading), ()
    others = (identifier for _kind, identifier in found if identifier != chosen and identifier.issuer)
    return chosen, tuple(dict.fromkeys(others))


def _choose(found: list[tuple[str, Identifier]], reading: Reading) -> Identifier:
    """That of the feed's own authority, else a medical record number, else the first."""
    own = reading.feed.default_assigning_authority
    rules = (lambda kind, identifier: bool(own) and identifier.issuer == own,) + tuple(
        lambda kind, identifier, wanted=wanted: kind == wanted for wanted in _RECORD_NUMBER_TYPES
    )
    for rule in rules:
        for kind, identifier in found:
            if rule(kind, identifier):
                return identifier
    return found[0][1] if found else Identifier()


def _extended_ids(segment: Segment, number: int, reading: Reading) -> list[tuple[str, Identifier]]:
    """(type, identifier) of each repetition of a CX field that holds one."""
    found = []
    for repetition in segment.repetitions(number):
        identifier = datatypes.extended_id(segment, repetition)
        if identifier:
            kind = (segment.part(repetition, 5) or "").upper()
            found.append((kind, _checked(identifier, segment, number, reading)))
    return found


def _first_id(segment: Segment | None, number: int, reading: Reading) -> Identifier:
    found = _extended_ids(segment, number, reading) if segment else []
    return found[0][1] if found else Identifier()


def _checked(identifier: Identifier, segment: Segment, number: int, reading: Reading) -> Identifier:
    """With the feed's authority where it has none. An identifier is never cut: another patient might have the rest."""
    issuer = identifier.issuer or reading.feed.default_assigning_authority
    if len(identifier.value) > _ID_LENGTH or len(issuer) > _ID_LENGTH:
        path = f"{segment.name}-{number}"
        raise FieldRefused(
            "102", f"{segment.name}^{segment.ordinal}^{number}", f"{path} has more than {_ID_LENGTH} characters"
        )
    return Identifier(identifier.value, issuer)


def _birth_date(pid: Segment, reading: Reading) -> date | Literal[""] | None:
    text = pid.value(7, 1, 1)
    if not text:
        return "" if text == "" else None
    try:
        return datatypes.day(text)
    except ValueError:
        reading.warn("PID-7 is not a date of birth: not used")
        return None


def _sex(pid: Segment, reading: Reading) -> str | None:
    text = pid.value(8, 1, 1)
    if not text:
        return text
    try:
        return datatypes.sex(text)
    except ValueError as error:
        reading.warn(f"PID-8 {error}: not used")
        return None


def _address(pid: Segment) -> str | None:
    """The first address of PID-11 on one line; the street is the first subcomponent of component 1."""
    if pid.value(11) == "":
        return ""
    parts = [pid.value(11, 1, 1, 1), *(pid.value(11, 1, number) for number in range(2, 7))]
    return ", ".join(datatypes.line(part) for part in parts if part) or None


def _telephone(pid: Segment) -> str | None:
    """XTN: the number as written (component 1 or 12), else built of country, area and local number."""
    if pid.value(13) == "":
        return ""
    written = pid.value(13, 1, 1) or pid.value(13, 1, 12)
    return written or " ".join(part for number in (5, 6, 7) if (part := pid.value(13, 1, number))) or None


def _location(pv1: Segment) -> str | None:
    """PL: point of care, room, bed and facility."""
    if pv1.value(3) == "":
        return ""
    return " ".join(datatypes.line(part) for number in range(1, 5) if (part := pv1.value(3, 1, number))) or None
