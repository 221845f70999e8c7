"""An order group as the domain's OrderRequest."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import groupby

from django.core.exceptions import ValidationError

from hl7 import datatypes
from hl7.ack import FieldRefused
from hl7.er7 import Segment
from hl7.groups import OrderGroup, Scope, step_scopes
from hl7.identity import comments, physician
from hl7.mapping import Reading
from ris.inputs import (
    Code,
    Identifier,
    OrderKey,
    OrderRequest,
    PatientIdentity,
    ProcedureRequest,
    StepRequest,
    VisitInfo,
)
from ris.models import AE_TITLE

#: OBX-3 of body weight and height: LOINC codes and what is written instead (#001, #066).
_WEIGHT = frozenset(("29463-7", "3141-9", "BODY WEIGHT", "WEIGHT", "W"))
_HEIGHT = frozenset(("8302-2", "3137-7", "BODY HEIGHT", "HEIGHT", "H"))
_KILOGRAMS = {
    "KG": Decimal(1),
    "": Decimal(1),
    "G": Decimal("0.001"),
    **dict.fromkeys(("LB", "LBS", "[LB_AV]"), Decimal("0.45359237")),
}
_METRES = {
    "M": Decimal(1),
    "CM": Decimal("0.01"),
    "MM": Decimal("0.001"),
    **dict.fromkeys(("IN", "[IN_I]"), Decimal("0.0254")),
}
_STUDY_INSTANCE_UID = "113014"
_LOCAL_SCHEME = "L"
_NO_NUMBER = "ORC-2 (placer order number) and ORC-3 (filler order number) are empty"


def order_request(group: OrderGroup, patient: PatientIdentity, visit: VisitInfo, reading: Reading) -> OrderRequest:
    """All that an order group says. FieldRefused for what is missing or is not what it must be."""
    scope = group.scope
    placer, filler = order_numbers(scope)
    if not (placer or filler):
        raise FieldRefused("101", scope.location("ORC-2"), _NO_NUMBER)
    accession = reading.find(scope, "accession_number") or ""
    from_ipc = bool(accession) and scope.value("IPC-1.1") == accession
    return OrderRequest(
        patient=patient,
        sender=reading.sender,
        placer_order_number=placer,
        filler_order_number=filler,
        accession_number=accession,
        accession_issuer=(reading.cut(scope.value("IPC-1.2"), 64, "IPC-1") or "") if from_ipc else "",
        visit=visit,
        priority=reading.find(scope, "priority"),
        requesting_physician=_requesting_physician(scope),
        clinical_information=_repeated(scope, "OBR", 13),
        medical_alerts=reading.cut(_repeated(scope, "OBR", 13, ", "), 64, "OBR-13 on the worklist"),
        allergies=reading.cut(_allergies(scope), 64, "AL1-3"),
        pregnancy_status=reading.find(scope, "pregnancy_status") or None,
        patient_state=reading.text(scope, "patient_state", 64, "OBR-12"),
        patient_weight=_measured(group, _WEIGHT, _kilograms, reading),
        patient_size=_measured(group, _HEIGHT, _metres, reading),
        transport_arrangements=reading.text(scope, "transport_arrangements", 64, "OBR-30"),
        confidentiality=reading.text(scope, "confidentiality", 64, "PV1-16"),
        procedures=tuple(request for procedure in group.procedures for request in _procedures(procedure, reading)),
    )


def order_key(group: OrderGroup, patient: Identifier, reading: Reading) -> OrderKey:
    """The numbers of an order group alone, for a cancellation."""
    placer, filler = order_numbers(group.scope)
    accession = reading.find(group.scope, "accession_number") or ""
    if not (placer or filler or accession):
        raise FieldRefused("101", group.scope.location("ORC-2"), _NO_NUMBER)
    return OrderKey(
        sender=reading.sender,
        placer_order_number=placer,
        filler_order_number=filler,
        accession_number=accession,
        patient=patient,
    )


def order_numbers(scope: Scope) -> tuple[Identifier, Identifier]:
    """Placer and filler order number: ORC-2 and ORC-3, else OBR-2 and OBR-3."""
    numbers = []
    for number in (2, 3):
        found = (datatypes.entity(segment, number) for name in ("ORC", "OBR") if (segment := scope.first(name)))
        identifier = next((identifier for identifier in found if identifier), Identifier())
        if len(identifier.value) > 64 or len(identifier.issuer) > 128:
            raise FieldRefused("102", scope.location(f"ORC-{number}"), f"ORC-{number} has more than 64 characters")
        numbers.append(identifier)
    return numbers[0], numbers[1]


def _procedures(scope: Scope, reading: Reading) -> list[ProcedureRequest]:
    """One OBR's procedures: one, unless its IPC segments name several requested procedures."""
    obr = scope.first("OBR")
    if obr is None:
        raise FieldRefused("100", "OBR^1", "There is no OBR segment behind ORC")
    own, orc = datatypes.entity(obr, 3).value, scope.first("ORC")
    if own and orc and datatypes.entity(orc, 3).value not in ("", own):
        reading.warn("OBR-3 differs from ORC-3: ORC-3 is used")
    by_procedure = groupby(step_scopes(scope), lambda step: step.value("IPC-2.1"))
    return [_procedure(list(steps), obr, reading) for _number, steps in by_procedure]


def _procedure(steps: list[Scope], obr: Segment, reading: Reading) -> ProcedureRequest:
    scope = steps[0]
    code = _procedure_code(obr, reading)
    if not code:
        reading.warn("OBR-4 names no procedure")
    return ProcedureRequest(
        requested_procedure_id=reading.find(scope, "requested_procedure_id") or "",
        study_instance_uid=reading.find(scope, "study_instance_uid") or _study_uid_observed(scope, reading),
        code=code,
        description=reading.text(scope, "procedure_description", 64, "OBR-4") or "",
        reason=reading.text(scope, "reason", 250, "OBR-31") or "",
        comments=comments(scope.all("NTE")) or "",
        steps=tuple(_step(step, reading) for step in steps),
    )


def _step(scope: Scope, reading: Reading) -> StepRequest:
    start = reading.start(scope)
    return StepRequest(
        scheduled_procedure_step_id=reading.find(scope, "scheduled_procedure_step_id") or "",
        modality=reading.find(scope, "modality") or "",
        description=reading.text(scope, "step_description", 64, "OBR-4") or "",
        protocol_codes=_protocol_codes(scope),
        start=start,
        station_ae_titles=_station_ae_titles(scope, reading),
        station_name=reading.text(scope, "station_name", 16, "IPC-7") or "",
        location=reading.text(scope, "location", 16, "IPC-8") or "",
        performing_physician=_performing_physician(scope) or "",
    )


def _procedure_code(obr: Segment, reading: Reading) -> Code:
    """OBR-4, else its alternate, else OBR-44; a modality in the place of the coding scheme is none (#029)."""
    found = (datatypes.code(obr, 4), datatypes.code(obr, 4, first=4), datatypes.code(obr, 44))
    code = next((code for code in found if code), Code())
    if len(code.value) > 64:
        raise FieldRefused("102", f"OBR^{obr.ordinal}^4", "OBR-4.1 (procedure code) has more than 64 characters")
    scheme = "" if datatypes.modality(code.scheme) else code.scheme[:64]
    scheme = scheme or (_LOCAL_SCHEME if code.value else "")
    return replace(code, scheme=scheme, meaning=reading.cut(code.meaning, 64, "OBR-4") or "")


def _protocol_codes(scope: Scope) -> tuple[Code, ...]:
    """Scheduled Protocol Code Sequence: IPC-6, else the alternate of OBR-4; a longer text is no code (#038)."""
    ipc, obr = scope.first("IPC"), scope.first("OBR")
    codes = [datatypes.code(ipc, 6, number) for number in range(1, len(ipc.repetitions(6)) + 1)] if ipc else []
    if not codes and obr:
        codes = [datatypes.code(obr, 4, first=4)]
    return tuple(
        replace(code, scheme=(code.scheme or _LOCAL_SCHEME)[:16], meaning=(code.meaning or code.value)[:64])
        for code in codes
        if code.value and len(code.value) <= 16
    )


def _station_ae_titles(scope: Scope, reading: Reading) -> tuple[str, ...]:
    ipc = scope.first("IPC")
    texts = [ipc.part(repetition, 1) or "" for repetition in ipc.repetitions(9)] if ipc else []
    titles = [text for text in texts if _is_ae_title(text)]
    if len(titles) < len([text for text in texts if text]):
        reading.warn("IPC-9 names an AE title of more than 16 characters: not used")
    return tuple(dict.fromkeys(titles))


def _is_ae_title(text: str) -> bool:
    try:
        AE_TITLE(text)
    except ValidationError:
        return False
    return True


def _study_uid_observed(scope: Scope, reading: Reading) -> str:
    """The Study Instance UID in an OBX of 113014^DICOM Study^DCM."""
    for obx in scope.all("OBX"):
        if obx.value(3, 1, 1) == _STUDY_INSTANCE_UID and (text := obx.value(5, 1, 1)):
            try:
                return datatypes.uid(text)
            except ValueError as error:
                raise FieldRefused("102", f"OBX^{obx.ordinal}^5", f"OBX-5 {error}") from error
    if any("ZDS" + segment.separators.field in segment.text for segment in scope.all("OBR")):
        reading.warn("ZDS does not begin a segment: its Study Instance UID is not used")
    return ""


def _requesting_physician(scope: Scope) -> str | None:
    places = ((scope.first("OBR"), 16), (scope.first("ORC"), 12))
    names = [physician(segment, number) for segment, number in places if segment]
    return next((name for name in names if name), "" if "" in names else None)


def _performing_physician(scope: Scope) -> str | None:
    """OBR-34 (NDL): the name's parts are subcomponents of component 1, in the wild also components."""
    obr = scope.first("OBR")
    if obr is None or not (repetitions := obr.repetitions(34)):
        return None
    parts = [obr.part(repetitions[0], 1, number) or "" for number in range(2, 7)]
    if not any(parts):
        return physician(obr, 34)
    family, given, middle, suffix, prefix = parts
    return "^".join((family, given, middle, prefix, suffix)).rstrip("^")[:64]


def _repeated(scope: Scope, name: str, number: int, sign: str = "\n") -> str | None:
    """All repetitions of a text field."""
    segment = scope.first(name)
    if segment is None or segment.value(number) == "":
        return None if segment is None else ""
    texts = (segment.value(number, index) for index in range(1, len(segment.repetitions(number)) + 1))
    clean = (datatypes.lines(text).strip("^ ") for text in texts if text)
    return sign.join(text for text in clean if text) or None


def _allergies(scope: Scope) -> str | None:
    texts = (al1.value(3, 1, 2) or al1.value(3, 1, 1) for al1 in scope.all("AL1"))
    return ", ".join(datatypes.line(text) for text in texts if text) or None


def _measured(
    group: OrderGroup, names: frozenset[str], convert: Callable[[Decimal, str], Decimal | None], reading: Reading
) -> Decimal | None:
    """Weight in kg or height in m from the order's OBX segments."""
    for obx in (obx for scope in group.procedures for obx in scope.all("OBX")):
        words = {(obx.value(3, 1, number) or "").upper() for number in (1, 2)}
        if not words & names:
            continue
        number = datatypes.decimal(obx.value(5, 1, 1) or "")
        measured = convert(number, (obx.value(6, 1, 1) or "").upper()) if number is not None else None
        if measured is not None:
            return measured
        reading.warn(f"OBX^{obx.ordinal} is not a weight or height that can be used")
    return None


def _kilograms(number: Decimal, unit: str) -> Decimal | None:
    factor = _KILOGRAMS.get(unit)
    kilograms = round(number * factor, 2) if factor else Decimal(0)
    return kilograms if 0 < kilograms < 1000 else None


def _metres(number: Decimal, unit: str) -> Decimal | None:
    factor = _METRES.get(unit or ("M" if number < 3 else "CM"))
    metres = round(number * factor, 2) if factor else Decimal(0)
    return metres if 0 < metres < 3 else None
