"""An order group as the domain's OrderRequest."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from itertools import groupby
from typing import Literal

from django.core.exceptions import ValidationError

from hl7 import datatypes, demands
from hl7.ack import FieldRefused
from hl7.attributes import NAMES
from hl7.er7 import Segment
from hl7.groups import OrderGroup, Scope, step_scopes
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

_LOCAL_SCHEME = "L"
_NO_NUMBER = "ORC-2 (placer order number) and ORC-3 (filler order number) are empty"


def order_request(group: OrderGroup, patient: PatientIdentity, visit: VisitInfo, reading: Reading) -> OrderRequest:
    """All that an order group says. FieldRefused for what is missing or is not what it must be."""
    demands.check_order(group, reading)
    request = parent_request(group, patient, visit, reading)
    procedures = (found for procedure in group.procedures for found in _procedures(procedure, reading))
    return replace(request, procedures=tuple(procedures))


def parent_request(group: OrderGroup, patient: PatientIdentity, visit: VisitInfo, reading: Reading) -> OrderRequest:
    """What an order group says of the order itself, without its procedures: all there is of a parent (ORC-1 PA)."""
    scope = group.scope
    placer, filler = order_numbers(scope, reading)
    if not (placer or filler):
        raise FieldRefused("101", scope.location("ORC-2"), _NO_NUMBER)
    return OrderRequest(
        patient=patient,
        sender=reading.sender,
        placer_order_number=placer,
        filler_order_number=filler,
        accession_number=reading.find(scope, "accession_number") or "",
        accession_issuer=_accession_issuer(scope, reading),
        visit=visit,
        priority=reading.find(scope, "priority"),
        requesting_physician=reading.find(scope, "requesting_physician"),
        clinical_information=_joined(reading.find(scope, "clinical_information"), "\n"),
        medical_alerts=reading.cut(
            _on_one_line(_joined(reading.find(scope, "medical_alerts"), ", ")),
            64,
            f"{_path(reading, 'medical_alerts')} on the worklist",
        ),
        allergies=_allergies(scope, reading),
        pregnancy_status=reading.find(scope, "pregnancy_status"),
        patient_state=reading.text(scope, "patient_state", 64, "OBR-12"),
        patient_weight=_measured(group, "patient_weight", reading),
        patient_size=_measured(group, "patient_size", reading),
        transport_arrangements=reading.text(scope, "transport_arrangements", 64, "OBR-30"),
        confidentiality=reading.text(scope, "confidentiality", 64, "PV1-16"),
        procedures=(),
        provenance={**visit.provenance, **reading.provenance()},
    )


def order_key(group: OrderGroup, patient: Identifier, reading: Reading) -> OrderKey:
    """The numbers of an order group alone, for a cancellation."""
    placer, filler = order_numbers(group.scope, reading)
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


def order_numbers(scope: Scope, reading: Reading) -> tuple[Identifier, Identifier]:
    """Placer and filler order number; FieldRefused for one that is too long."""
    numbers = []
    for attribute in ("placer_order_number", "filler_order_number"):
        identifier = reading.find(scope, attribute) or Identifier()
        if len(identifier.value) > 64 or len(identifier.issuer) > 128:
            place = reading.place(attribute)
            raise FieldRefused("102", scope.location(place), f"{place} has more than 64 characters")
        numbers.append(identifier)
    return numbers[0], numbers[1]


def _accession_issuer(scope: Scope, reading: Reading) -> str:
    """Said only beside the number itself: IPC-1.2 is the issuer of IPC-1.1, not of OBR-18."""
    number = reading.place("accession_number").split(".")[0]
    issuer = reading.text(scope, "accession_issuer", 64, "the issuer of the accession number") or ""
    return issuer if reading.place("accession_issuer").split(".")[0] == number else ""


def _joined(texts: tuple[str, ...] | Literal[""] | None, sign: str) -> str | None:
    return texts if texts is None else sign.join(texts)


def _on_one_line(text: str | None) -> str | None:
    """As Medical Alerts (0010,2000), an LO, must be."""
    return text and datatypes.line(text)


def _path(reading: Reading, attribute: str) -> str:
    return next((source.path for source in reading.rules.attributes[attribute]), attribute)


def _procedures(scope: Scope, reading: Reading) -> list[ProcedureRequest]:
    """One OBR's procedures: one, unless its IPC segments name several requested procedures."""
    obr = scope.first("OBR")
    if obr is None:
        raise FieldRefused("100", "OBR^1", "There is no OBR segment behind ORC")
    own, orc = datatypes.entity(obr, 3).value, scope.first("ORC")
    if own and orc and datatypes.entity(orc, 3).value not in ("", own):
        reading.warn("OBR-3 differs from ORC-3")
    by_procedure = groupby(step_scopes(scope), lambda step: step.value("IPC-2.1"))
    return [_procedure(list(steps), obr, reading) for _number, steps in by_procedure]


def _procedure(steps: list[Scope], obr: Segment, reading: Reading) -> ProcedureRequest:
    scope = steps[0]
    step_requests = tuple(_step(step, reading) for step in steps)
    code = _procedure_code(scope, obr, reading)
    if not code:
        reading.warn(f"{_path(reading, 'procedure_code')} names no procedure")
    return ProcedureRequest(
        requested_procedure_id=reading.find(scope, "requested_procedure_id") or "",
        study_instance_uid=_study_instance_uid(scope, reading),
        code=code,
        description=reading.text(scope, "procedure_description", 64, "OBR-4"),
        reason=reading.text(scope, "reason", 250, "OBR-31"),
        comments=reading.joined(scope, "comments", "\n"),
        steps=step_requests,
        provenance=reading.provenance(),
    )


def _step(scope: Scope, reading: Reading) -> StepRequest:
    return StepRequest(
        scheduled_procedure_step_id=reading.find(scope, "scheduled_procedure_step_id") or "",
        modality=reading.find(scope, "modality"),
        description=reading.text(scope, "step_description", 64, "OBR-4"),
        protocol_codes=_protocol_codes(scope, reading),
        start=reading.start(scope),
        station_ae_titles=_station_ae_titles(scope, reading),
        station_name=reading.text(scope, "station_name", 16, "IPC-7"),
        location=reading.text(scope, "location", 16, "IPC-8"),
        performing_physician=reading.find(scope, "performing_physician"),
        provenance=reading.provenance(),
    )


def _procedure_code(scope: Scope, obr: Segment, reading: Reading) -> Code | None:
    """A modality in the place of the coding scheme is none (#029), nor is the code once more (#028)."""
    said = reading.find(scope, "procedure_code")
    if not said:
        return None if said is None else Code()
    code: Code = said
    place = reading.place("procedure_code")
    if len(code.value) > 64:
        raise FieldRefused("102", f"OBR^{obr.ordinal}^4", f"{place} (procedure code) has more than 64 characters")
    is_modality = datatypes.modality(code.scheme, reading.rules.tables["modality"])
    scheme = "" if is_modality or code.scheme in (code.value, code.meaning) else code.scheme[:64]
    scheme = scheme or (_LOCAL_SCHEME if code.value else "")
    return replace(code, scheme=scheme, meaning=reading.cut(code.meaning, 64, "OBR-4") or "")


def _protocol_codes(scope: Scope, reading: Reading) -> tuple[Code, ...] | None:
    """Scheduled Protocol Code Sequence (0040,0008)."""
    codes: Iterable[Code] | None = reading.find(scope, "protocol_codes")
    if codes is None:
        return None
    return tuple(
        replace(code, scheme=(code.scheme or _LOCAL_SCHEME)[:16], meaning=(code.meaning or code.value)[:64])
        for code in codes
    )


def _station_ae_titles(scope: Scope, reading: Reading) -> tuple[str, ...] | None:
    """The stations that the message names, else those of the first rule that fits; None if neither says any."""
    said = reading.find(scope, "station_ae_titles")
    texts: tuple[str, ...] = said or ()
    titles = tuple(dict.fromkeys(text for text in texts if _is_ae_title(text)))
    if len([text for text in texts if _is_ae_title(text)]) < len(texts):
        reading.warn(f"{reading.place('station_ae_titles')} names an AE title of more than 16 characters: not used")
    return titles or stations_by_rule(scope, reading) or (() if said == "" else None)


def stations_by_rule(scope: Scope, reading: Reading) -> tuple[str, ...]:
    """The stations of the first rule of the feed that fits; none if none does."""
    for rule in reading.rules.stations:
        text = reading.find(scope, rule.subject) if rule.subject in NAMES else scope.value(rule.subject)
        if rule.fits(text):
            path = reading.place(rule.subject) or rule.subject
            reading.note("station_ae_titles", path, scope, rule.ae_titles)
            return rule.ae_titles
    return ()


def _is_ae_title(text: str) -> bool:
    try:
        AE_TITLE(text)
    except ValidationError:
        return False
    return True


def _study_instance_uid(scope: Scope, reading: Reading) -> str:
    uid = reading.find(scope, "study_instance_uid")
    if not uid and any("ZDS" + segment.separators.field in segment.text for segment in scope.all("OBR")):
        reading.warn("ZDS does not begin a segment: its Study Instance UID is not used")
    return uid or ""


def _allergies(scope: Scope, reading: Reading) -> str | None:
    """Of every AL1 segment."""
    found = reading.each(scope, "allergies")
    return reading.cut(", ".join(found), 64, _path(reading, "allergies")) if found else None


def _measured(group: OrderGroup, attribute: str, reading: Reading) -> Decimal | Literal[""] | None:
    """Weight in kg or height in m, of the first of the order's procedures that says it."""
    found = (reading.find(procedure, attribute) for procedure in group.procedures)
    return next((value for value in found if value is not None), None)
