"""PID, PV1 and MRG as the domain's identity of a patient and visit."""

from collections.abc import Iterator

from hl7 import datatypes
from hl7.ack import FieldRefused
from hl7.er7 import Message, Segment, read_path
from hl7.groups import Scope, patient_notes
from hl7.mapping import Reading
from hl7.sources import Source
from ris.inputs import Identifier, PatientIdentity, VisitInfo

_ID_LENGTH, _NAME_GROUP_LENGTH = 64, 64
#: XPN.8 and XCN.15 representation codes -> the group of a DICOM PN (PS3.5 6.2.1.1).
_LEGAL = "L"
_NAME_GROUPS = {"I": 1, "P": 2}


def patient_identity(message: Message, reading: Reading) -> PatientIdentity:
    """The patient whom PID names. FieldRefused without PID or an identifier in it."""
    pid = message["PID"]
    if pid is None:
        raise FieldRefused("101", "PID^1^3", "PID-3 (patient identifier) is missing: there is no PID segment")
    scope = Scope(message.segments)
    identifier = _chosen(scope, "patient_identifier", reading)
    if not identifier:
        raise _missing(scope, "patient_identifier", reading)
    identity = PatientIdentity(
        identifier=identifier,
        other_ids=_others(pid, identifier, reading),
        patient_name=_patient_name(scope, reading),
        patient_birth_date=reading.find(scope, "patient_birth_date"),
        patient_sex=reading.find(scope, "patient_sex"),
        patient_address=reading.text(scope, "patient_address", 250, "PID-11"),
        telephone=reading.text(scope, "telephone", 64, "PID-13"),
        patient_comments=reading.joined(_without_other_notes(message), "patient_comments", "\n"),
    )
    reading.provenance()  # the patient's places are not the order's
    return identity


def _without_other_notes(message: Message) -> Scope:
    """Of the NTE segments only those directly behind PID speak of the patient."""
    return Scope([*patient_notes(message), *(segment for segment in message.segments if segment.name != "NTE")])


def identifier_if_any(message: Message, reading: Reading) -> Identifier:
    """The patient's identifier, or none where the message has no PID, as in a cancellation (#046)."""
    return _chosen(Scope(message.segments), "patient_identifier", reading)


def retired_identifier(message: Message, reading: Reading) -> Identifier:
    """MRG-1: the identifier that shall name the patient of PID from now on."""
    scope = Scope(message.segments)
    identifier = _chosen(scope, "retired_identifier", reading)
    if not identifier:
        raise _missing(scope, "retired_identifier", reading)
    return identifier


def visit_info(message: Message, reading: Reading) -> VisitInfo:
    """PV1, with the account number of PID-18 where there is no visit number."""
    scope = Scope(message.segments)
    return VisitInfo(
        admission_id=_chosen(scope, "admission_id", reading),
        current_patient_location=reading.text(scope, "current_patient_location", 64, "PV1-3"),
        patient_class=reading.text(scope, "patient_class", 16, "PV1-2"),
        referring_physician=reading.find(scope, "referring_physician"),
        provenance=reading.provenance(),
    )


def _missing(scope: Scope, attribute: str, reading: Reading) -> FieldRefused:
    path = next((source.path for source in reading.rules.attributes[attribute]), "PID-3")
    what = "patient identifier" if attribute == "patient_identifier" else "prior patient identifier"
    return FieldRefused("101", scope.location(path), f"{path} ({what}) is missing")


def _patient_name(scope: Scope, reading: Reading) -> str | None:
    said = None
    for source in reading.rules.attributes["patient_name"]:
        name, number, *_rest = read_path(source.path)
        segment = scope.first(name)
        text = patient_name(segment, reading, number) if segment else None
        if text:
            reading.note("patient_name", source.path, scope, text)
            return text
        said = text if said is None else said
    return said


def patient_name(pid: Segment, reading: Reading, number: int = 5) -> str | None:
    """PID-5 as a DICOM PN: the alphabetic group, then the ideographic and the phonetic one if they are there.

    Of several names the legal one (XPN.7 L) is meant, else the first.
    """
    if pid.value(number) == "":
        return ""
    groups = ["", "", ""]
    legal_first = sorted(pid.repetitions(number), key=lambda repetition: pid.part(repetition, 7) != _LEGAL)
    for repetition in legal_first:
        group = _NAME_GROUPS.get(pid.part(repetition, 8) or "", 0)
        groups[group] = groups[group] or datatypes.person_name(pid, repetition)
    name = "=".join(reading.cut(group, _NAME_GROUP_LENGTH, "PID-5") or "" for group in groups)
    return name.rstrip("=") or None


def _others(pid: Segment, chosen: Identifier, reading: Reading) -> tuple[Identifier, ...]:
    """The further identifiers of PID-3 that name an authority."""
    every = range(1, len(pid.repetitions(3)) + 1)
    found = (_identifier(pid, 3, number, reading) for number in every)
    return tuple(dict.fromkeys(other for other in found if other and other.issuer and other != chosen))


def _chosen(scope: Scope, attribute: str, reading: Reading) -> Identifier:
    """The first identifier that the feed's rules mean, best place first; none if there is none."""
    for source in reading.rules.attributes[attribute]:
        for identifier in _meant(scope, source, reading):
            reading.note(attribute, source.path, scope, identifier)
            return identifier
    return Identifier()


def _meant(scope: Scope, source: Source, reading: Reading) -> Iterator[Identifier]:
    """The identifiers at one place, of every repetition or the one it names, for which its conditions hold."""
    name, number, repetition, *_rest = read_path(source.path)
    segment = scope.first(name)
    if segment is None:
        return
    every = (repetition,) if "(" in source.path else range(1, len(segment.repetitions(number)) + 1)
    for index in every:
        identifier = _identifier(segment, number, index, reading)
        kind = (segment.value(number, index, 5) or "").upper()
        sent = {identifier.issuer, *(segment.value(number, index, 4, sub) or "" for sub in (1, 2))}
        own = reading.feed.default_assigning_authority
        if identifier and all(
            condition.fits(kind, sent, own) and condition.holds("", scope, {}) for condition in source.conditions
        ):
            yield identifier


def _identifier(segment: Segment, number: int, repetition: int, reading: Reading) -> Identifier:
    repetitions = segment.repetitions(number)
    if repetition > len(repetitions):
        return Identifier()
    identifier = datatypes.extended_id(segment, repetitions[repetition - 1])
    return _checked(identifier, segment, number, reading) if identifier else identifier


def _checked(identifier: Identifier, segment: Segment, number: int, reading: Reading) -> Identifier:
    """With the feed's authority where it has none. An identifier is never cut: another patient might have the rest."""
    issuer = identifier.issuer or reading.feed.default_assigning_authority
    if len(identifier.value) > _ID_LENGTH or len(issuer) > _ID_LENGTH:
        path = f"{segment.name}-{number}"
        raise FieldRefused(
            "102", f"{segment.name}^{segment.ordinal}^{number}", f"{path} has more than {_ID_LENGTH} characters"
        )
    return Identifier(identifier.value, issuer)
