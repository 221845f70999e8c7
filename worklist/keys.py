"""PS3.4 Table K.6-1 as data: each attribute of the worklist, how it is matched, and where its value comes from.

Times and stations are matched by rules of their own (``matching.py``): date and time as one window, stations as a list.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from pydicom.datadict import dictionary_VR

from ris.models import RequestedProcedure, ScheduledProcedureStep
from ris.selectors import site_zone
from worklist.clock import to_site

Items = list[dict[str, Any]]


class Match(Enum):
    """Kinds of matching (PS3.4 C.2.2.2). NONE: a return key only."""

    NONE = "none"
    SINGLE = "single value"
    TEXT = "single value and wildcard"
    NUMBER = "single value and wildcard; a single value names few rows by an index"
    NAME = "single value and wildcard, case and accents folded"
    PERSON = "single value and wildcard, case folded"
    DATE = "single value and range"
    UID = "list of UIDs"
    WINDOW = "date and time, combined"
    STATION = "single value over all stations"
    STATUS = "single value over status"


@dataclass(frozen=True)
class Key:
    """One attribute. ``source`` is its place in the domain as dotted path(s), the first that is not empty, or a
    function of the step; ``column`` the ORM path it is matched by where that is not the path itself."""

    keyword: str
    return_type: str
    source: str | Callable[[ScheduledProcedureStep], Any] = ""
    match: Match = Match.NONE
    column: str = ""

    @property
    def vr(self) -> str:
        return dictionary_VR(self.keyword)

    def columns(self) -> list[str]:
        """The ORM paths to match: any of them may hold the value."""
        if self.column or callable(self.source):
            return [self.column]
        return [path.replace(".", "__") for path in self.source.split("|")]

    def value(self, step: ScheduledProcedureStep) -> Any:
        """The step's value: text, number, date, a list of texts, the items of a sequence; None if there is none."""
        if callable(self.source):
            return self.source(step)
        return next((value for path in self.source.split("|") if (value := _reach(step, path)) not in (None, "")), None)


def _reach(thing: Any, path: str) -> Any:
    for name in path.split("."):
        thing = getattr(thing, name, None)
    return thing


def _stations(step: ScheduledProcedureStep) -> list[str]:
    return [station.ae_title for station in step.stations.all()]


def _modality(step: ScheduledProcedureStep) -> str:
    return step.modality or next((station.modality for station in step.stations.all()), "")


def _station_name(step: ScheduledProcedureStep) -> str:
    return step.station_name or next((station.name for station in step.stations.all() if station.name), "")


def _start_date(step: ScheduledProcedureStep) -> str:
    return f"{to_site(step.start):%Y%m%d}" if step.start else ""


def _start_time(step: ScheduledProcedureStep) -> str:
    return f"{to_site(step.start):%H%M%S}" if step.start else ""


def _offset(step: ScheduledProcedureStep) -> str:
    return f"{(step.start or datetime.now(site_zone())).astimezone(site_zone()):%z}"


def _procedure(step: ScheduledProcedureStep) -> RequestedProcedure:
    return step.requested_procedure


def _title(step: ScheduledProcedureStep) -> str:
    return _procedure(step).title


def _step_title(step: ScheduledProcedureStep) -> str:
    return step.description or _title(step)


def _code(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    """A code sequence item (PS3.3 table 8.8-1); a code without a scheme is the site's own, 99SUNVIEW."""
    return {
        "CodeValue": value[:16],
        "CodingSchemeDesignator": scheme[:16] or "99SUNVIEW",
        "CodeMeaning": meaning or value,
    }


def _procedure_code(step: ScheduledProcedureStep) -> Items:
    procedure = _procedure(step)
    if not procedure.code_value:
        return []
    return [_code(procedure.code_value, procedure.coding_scheme, procedure.code_meaning or procedure.description)]


def _protocol_codes(step: ScheduledProcedureStep) -> Items:
    return [_code(*code) for code in step.protocol_codes if code and code[0]]


def _issuer(path: str) -> Callable[[ScheduledProcedureStep], Items]:
    def items(step: ScheduledProcedureStep) -> Items:
        issuer = _reach(step, path)
        return [{"LocalNamespaceEntityID": issuer}] if issuer else []

    return items


def _nothing(_step: ScheduledProcedureStep) -> Items:
    return []


_PROCEDURE = "requested_procedure."
_ORDER = "requested_procedure.order."
_VISIT = "requested_procedure.order.visit."
_PATIENT = "requested_procedure.order.patient."

#: The attributes inside the Scheduled Procedure Step Sequence (0040,0100).
STEP_KEYS: tuple[Key, ...] = (
    Key("ScheduledStationAETitle", "1", _stations, Match.STATION),
    Key("ScheduledProcedureStepStartDate", "1", _start_date, Match.WINDOW, "start"),
    Key("ScheduledProcedureStepStartTime", "1", _start_time, Match.WINDOW, "start"),
    Key("Modality", "1", _modality, Match.SINGLE, "modality"),
    Key("ScheduledPerformingPhysicianName", "2", "performing_physician", Match.PERSON),
    Key("ScheduledProcedureStepDescription", "1C", _step_title),
    Key("ScheduledProtocolCodeSequence", "1C", _protocol_codes),
    Key("ScheduledStationName", "2", _station_name),
    Key("ScheduledProcedureStepLocation", "2", "location|room.location|room.name"),
    Key("PreMedication", "2C", "pre_medication"),
    Key("RequestedContrastAgent", "2C", "contrast_agent"),
    Key("ScheduledProcedureStepID", "1", "scheduled_procedure_step_id", Match.NUMBER),
    Key("ScheduledProcedureStepStatus", "3", "status", Match.STATUS),
)

#: The attributes beside it.
KEYS: tuple[Key, ...] = (
    Key("RequestedProcedureID", "1", _PROCEDURE + "requested_procedure_id", Match.NUMBER),
    Key("RequestedProcedureDescription", "1C", _title),
    Key("RequestedProcedureCodeSequence", "1C", _procedure_code),
    Key("StudyInstanceUID", "1", _PROCEDURE + "study_instance_uid", Match.UID),
    Key("ReferencedStudySequence", "2", _nothing),
    Key("RequestedProcedurePriority", "2", _ORDER + "priority", Match.SINGLE),
    Key("ReasonForTheRequestedProcedure", "3", _PROCEDURE + "reason"),
    Key("RequestedProcedureComments", "3", _PROCEDURE + "comments"),
    Key("PatientTransportArrangements", "2", _ORDER + "transport_arrangements"),
    Key("AccessionNumber", "2", _ORDER + "accession_number", Match.NUMBER),
    Key("IssuerOfAccessionNumberSequence", "3", _issuer(_ORDER + "accession_issuer")),
    Key("PlacerOrderNumberImagingServiceRequest", "3", _ORDER + "placer_order_number", Match.TEXT),
    Key("FillerOrderNumberImagingServiceRequest", "3", _ORDER + "filler_order_number", Match.NUMBER),
    Key("RequestingPhysician", "2", _ORDER + "requesting_physician", Match.PERSON),
    Key(
        "ReferringPhysicianName",
        "2",
        f"{_ORDER}referring_physician|{_VISIT}referring_physician",
        Match.PERSON,
    ),
    Key("AdmissionID", "2", _VISIT + "admission_id", Match.TEXT),
    Key("IssuerOfAdmissionIDSequence", "3", _issuer(_VISIT + "issuer_of_admission_id")),
    Key("CurrentPatientLocation", "2", f"{_ORDER}current_patient_location|{_VISIT}current_patient_location"),
    Key("ReferencedPatientSequence", "2", _nothing),
    Key("PatientName", "1", _PATIENT + "patient_name", Match.NAME, "requested_procedure__order__patient__name_key"),
    Key("PatientID", "1", _PATIENT + "patient_id", Match.NUMBER),
    Key("IssuerOfPatientID", "3", _PATIENT + "issuer_of_patient_id", Match.TEXT),
    Key("PatientBirthDate", "2", _PATIENT + "patient_birth_date", Match.DATE),
    Key("PatientSex", "2", _PATIENT + "patient_sex", Match.SINGLE),
    Key("PatientWeight", "2", _ORDER + "patient_weight"),
    Key("PatientSize", "3", _ORDER + "patient_size"),
    Key("PatientAddress", "3", _PATIENT + "patient_address"),
    Key("PatientTelephoneNumbers", "3", _PATIENT + "telephone"),
    Key("PatientComments", "3", _PATIENT + "patient_comments"),
    Key("ConfidentialityConstraintOnPatientDataDescription", "2", _ORDER + "confidentiality"),
    Key("PatientState", "2", _ORDER + "patient_state"),
    Key("PregnancyStatus", "2", _ORDER + "pregnancy_status"),
    Key("MedicalAlerts", "2", _ORDER + "medical_alerts"),
    Key("Allergies", "2", _ORDER + "allergies"),
    Key("SpecialNeeds", "2"),
    Key("AdditionalPatientHistory", "3", _ORDER + "clinical_information"),
    Key("TimezoneOffsetFromUTC", "1C", _offset),
)

STEP_SEQUENCE = "ScheduledProcedureStepSequence"
#: Said in every query, never matched, never answered as a key: they describe the identifier itself.
ABOUT_THE_IDENTIFIER = frozenset({"SpecificCharacterSet", "TimezoneOffsetFromUTC"})

BY_KEYWORD: Mapping[str, Key] = {key.keyword: key for key in KEYS}
STEP_BY_KEYWORD: Mapping[str, Key] = {key.keyword: key for key in STEP_KEYS}
