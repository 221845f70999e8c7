"""PS3.4 Table K.6-1 as data: each attribute of the worklist, how it is matched, and where its value comes from.

The table drives matching (``matching``), the answers (``mwl_answer``) and the conformance statement. Attributes of the
modules that the table's rows "all other" name stand in it as far as something is known of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword

from ris.selectors import site_zone
from worklist.clock import to_site
from worklist.entry import Entry


class Match(Enum):
    """Kinds of matching (PS3.4 C.2.2.2); an empty key always matches everything.

    Several values of one key mean any of them. NONE: nothing is known of the attribute, so it cannot be matched, and a
    query that gives a value for it is answered with FF01H; UNSUPPORTED: so is any query that names it, and
    nothing is returned.
    """

    NONE = "none"
    UNSUPPORTED = "not supported"
    SINGLE = "single value"
    WILDCARD = "single value, wildcard"
    PERSON = "single value, wildcard; case and accents do not count"
    NUMBER = "single value, as a number"
    DATE = "single value, range"
    TIME = "single value, range (time)"
    UID = "list of UIDs"
    WINDOW = "single value, range; date and time combined"
    STATION = "single value, any of the station's AE titles and their aliases"
    STATUS = "single value, wildcard; without one, what is pending"
    SEQUENCE = "sequence, at most one item"


@dataclass(frozen=True)
class Key:
    """One attribute. ``source`` is an attribute of the entry (of the item, inside a sequence), several with ``|`` of
    which the first that is not empty counts, or a function of it. ``items`` are the keys inside a sequence.

    ``required``: a required matching key of the table. ``is_identifier``: a cut value would name something else, so it
    is sent whole whatever its length.
    """

    keyword: str
    return_type: str
    match: Match
    source: str | Callable[[Any], Any] = ""
    required: bool = False
    is_identifier: bool = False
    items: tuple["Key", ...] = field(default=(), compare=False)

    @cached_property
    def vr(self) -> str:
        return dictionary_VR(self.keyword)

    @cached_property
    def tag(self) -> int:
        return tag_for_keyword(self.keyword) or 0

    @cached_property
    def value(self) -> Callable[[Any], Any]:
        """Function of the entry or item: text, number, date, a list of texts, the items of a sequence; None, "" or
        an empty list if there is none."""
        if callable(self.source):
            return self.source
        return _first_of(self.source.split("|"))

    @cached_property
    def by_keyword(self) -> Mapping[str, "Key"]:
        return {key.keyword: key for key in self.items}


def _first_of(names: list[str]) -> Callable[[Any], Any]:
    def one(thing: Any, name: str = names[0]) -> Any:
        return getattr(thing, name) if name else None

    def first(thing: Any) -> Any:
        return next((value for name in names if (value := getattr(thing, name)) not in (None, "")), None)

    return one if len(names) == 1 else first


class Code(NamedTuple):
    """A code sequence item (PS3.3 table 8.8-1). A code of the site's own has the scheme 99SUNVIEW."""

    value: str
    scheme: str
    meaning: str

    @classmethod
    def of(cls, value: str, scheme: str, meaning: str) -> "Code":
        return cls(value, scheme or "99SUNVIEW", meaning or value)

    @property
    def short(self) -> str:
        """Code Value (0008,0100), of 16 characters at most; a longer one is a Long Code Value (0008,0119)."""
        return self.value if len(self.value) <= 16 else ""

    @property
    def long(self) -> str:
        return "" if len(self.value) <= 16 else self.value


class Issuer(NamedTuple):
    name: str


def _stations(entry: Entry) -> list[str]:
    return [station.ae_title for station in entry.stations]


def _modality(entry: Entry) -> str:
    return entry.modality or next((station.modality for station in entry.stations if station.modality), "OT")


def _station_name(entry: Entry) -> str:
    return entry.station_name or next((station.name for station in entry.stations if station.name), "")


def _start_date(entry: Entry) -> date | None:
    return entry.local.date() if entry.local else None


def _start_time(entry: Entry) -> time | None:
    return entry.local.time() if entry.local else None


def _end(entry: Entry) -> datetime:
    return to_site(entry.start + timedelta(minutes=entry.duration_minutes))


def _offset(entry: Entry) -> str:
    return f"{entry.start.astimezone(site_zone()):%z}"


def _procedure_code(entry: Entry) -> list[Code]:
    if not entry.code_value:
        return []
    return [Code.of(entry.code_value, entry.coding_scheme, entry.code_meaning or entry.description)]


def _protocol_codes(entry: Entry) -> list[Code]:
    return [Code.of(*(str(part or "") for part in code[:3])) for code in entry.protocol_codes if code and code[0]]


def _issuer(name: str) -> Callable[[Entry], list[Issuer]]:
    def items(entry: Entry) -> list[Issuer]:
        issuer = getattr(entry, name)
        return [Issuer(issuer)] if issuer else []

    return items


def _id(name: str) -> Callable[[Entry], str]:
    """An ID of Type 1: a row that was not made by our services may have none."""

    def value(entry: Entry) -> str:
        return getattr(entry, name) or str(entry.pk)

    return value


#: PS3.3 table 8.8-1.
CODE_KEYS = (
    Key("CodeValue", "1C", Match.WILDCARD, "short", is_identifier=True),
    Key("CodingSchemeDesignator", "1C", Match.WILDCARD, "scheme", is_identifier=True),
    Key("CodeMeaning", "1", Match.WILDCARD, "meaning"),
    Key("LongCodeValue", "1C", Match.WILDCARD, "long", is_identifier=True),
)
PROTOCOL_KEYS = (*CODE_KEYS, Key("ProtocolContextSequence", "3", Match.UNSUPPORTED))
#: PS3.3 table 10-17 (HL7v2 Hierarchic Designator).
ISSUER_KEYS = (
    Key("LocalNamespaceEntityID", "1C", Match.WILDCARD, "name", is_identifier=True),
    Key("UniversalEntityID", "1C", Match.NONE),
    Key("UniversalEntityIDType", "1C", Match.NONE),
)
#: PS3.3 C.2.2: identifiers that also name the patient.
OTHER_ID_KEYS = (
    Key("PatientID", "1", Match.WILDCARD, "value", is_identifier=True),
    Key("IssuerOfPatientID", "3", Match.WILDCARD, "issuer", is_identifier=True),
    Key("TypeOfPatientID", "1", Match.WILDCARD, lambda _other: "TEXT"),
)
#: PS3.3 table 10-11.
REFERENCE_KEYS = (
    Key("ReferencedSOPClassUID", "1", Match.NONE),
    Key("ReferencedSOPInstanceUID", "1", Match.NONE),
)


def _nothing(_entry: Entry) -> list[Any]:
    return []


#: The attributes inside the Scheduled Procedure Step Sequence (0040,0100).
STEP_KEYS: tuple[Key, ...] = (
    Key("ScheduledStationAETitle", "1", Match.STATION, _stations, required=True, is_identifier=True),
    Key("ScheduledProcedureStepStartDate", "1", Match.WINDOW, _start_date, required=True),
    Key("ScheduledProcedureStepStartTime", "1", Match.WINDOW, _start_time, required=True),
    Key("Modality", "1", Match.SINGLE, _modality, required=True),
    Key("ScheduledPerformingPhysicianName", "2", Match.PERSON, "performing_physician", required=True),
    Key("ScheduledProcedureStepDescription", "1C", Match.WILDCARD, lambda entry: entry.step_description or entry.title),
    Key("ScheduledProtocolCodeSequence", "1C", Match.SEQUENCE, _protocol_codes, items=PROTOCOL_KEYS),
    Key("ReferencedDefinedProtocolSequence", "3", Match.UNSUPPORTED),
    Key("ReferencedPerformedProtocolSequence", "3", Match.UNSUPPORTED),
    Key("ScheduledStationName", "2", Match.WILDCARD, _station_name),
    Key("ScheduledProcedureStepLocation", "2", Match.WILDCARD, "location|room_location|room"),
    Key("PreMedication", "2C", Match.WILDCARD, "pre_medication"),
    Key("RequestedContrastAgent", "2C", Match.WILDCARD, "contrast_agent"),
    Key("ScheduledProcedureStepID", "1", Match.WILDCARD, _id("scheduled_procedure_step_id"), is_identifier=True),
    Key("ScheduledProcedureStepStatus", "3", Match.STATUS, "status"),
    Key("ScheduledProcedureStepEndDate", "3", Match.DATE, lambda entry: _end(entry).date()),
    Key("ScheduledProcedureStepEndTime", "3", Match.TIME, lambda entry: _end(entry).time()),
)

STEP_SEQUENCE = "ScheduledProcedureStepSequence"

#: The attributes beside it.
KEYS: tuple[Key, ...] = (
    Key("ScheduledSpecimenSequence", "3", Match.UNSUPPORTED),
    Key("BarcodeValue", "3", Match.UNSUPPORTED),
    Key("RequestedProcedureID", "1", Match.WILDCARD, _id("requested_procedure_id"), is_identifier=True),
    Key("RequestedProcedureDescription", "1C", Match.WILDCARD, "title"),
    Key("RequestedProcedureCodeSequence", "1C", Match.SEQUENCE, _procedure_code, items=CODE_KEYS),
    Key("StudyInstanceUID", "1", Match.UID, "study_instance_uid", is_identifier=True),
    Key("StudyDate", "3", Match.UNSUPPORTED),
    Key("StudyTime", "3", Match.UNSUPPORTED),
    Key("ReferencedStudySequence", "2", Match.NONE, _nothing, items=REFERENCE_KEYS),
    Key("RequestedProcedurePriority", "2", Match.WILDCARD, "priority"),
    Key("ReasonForTheRequestedProcedure", "3", Match.WILDCARD, "reason"),
    Key("RequestedProcedureComments", "3", Match.WILDCARD, "comments"),
    Key("PatientTransportArrangements", "2", Match.WILDCARD, "transport_arrangements"),
    Key("AccessionNumber", "2", Match.WILDCARD, "accession_number", is_identifier=True),
    Key("IssuerOfAccessionNumberSequence", "3", Match.SEQUENCE, _issuer("accession_issuer"), items=ISSUER_KEYS),
    Key("PlacerOrderNumberImagingServiceRequest", "3", Match.WILDCARD, "placer_order_number", is_identifier=True),
    Key("OrderPlacerIdentifierSequence", "3", Match.SEQUENCE, _issuer("placer_issuer"), items=ISSUER_KEYS),
    Key("FillerOrderNumberImagingServiceRequest", "3", Match.WILDCARD, "filler_order_number", is_identifier=True),
    Key("OrderFillerIdentifierSequence", "3", Match.SEQUENCE, _issuer("filler_issuer"), items=ISSUER_KEYS),
    Key("IssueDateOfImagingServiceRequest", "3", Match.DATE, lambda entry: to_site(entry.ordered_at).date()),
    Key("IssueTimeOfImagingServiceRequest", "3", Match.TIME, lambda entry: to_site(entry.ordered_at).time()),
    Key("RequestingPhysician", "2", Match.PERSON, "requesting_physician"),
    Key("ReferringPhysicianName", "2", Match.PERSON, "referring_physician|visit_physician"),
    Key("AdmissionID", "2", Match.WILDCARD, "admission_id", is_identifier=True),
    Key("IssuerOfAdmissionIDSequence", "3", Match.SEQUENCE, _issuer("issuer_of_admission_id"), items=ISSUER_KEYS),
    Key("CurrentPatientLocation", "2", Match.WILDCARD, "current_patient_location|visit_location"),
    Key("ReferencedPatientSequence", "2", Match.NONE, _nothing, items=REFERENCE_KEYS),
    # A Type 1 name may not be empty, and a patient brought in unconscious has none.
    Key("PatientName", "1", Match.PERSON, lambda entry: entry.patient_name or "UNKNOWN", required=True),
    Key("PatientID", "1", Match.WILDCARD, "patient_id", required=True, is_identifier=True),
    Key("IssuerOfPatientID", "3", Match.WILDCARD, "issuer_of_patient_id", is_identifier=True),
    Key("IssuerOfPatientIDQualifiersSequence", "3", Match.UNSUPPORTED),
    Key("OtherPatientIDsSequence", "3", Match.SEQUENCE, "other_ids", items=OTHER_ID_KEYS),
    Key("PatientBirthDate", "2", Match.DATE, "patient_birth_date"),
    Key("PatientSex", "2", Match.WILDCARD, "patient_sex"),
    Key("PatientWeight", "2", Match.NUMBER, "patient_weight"),
    Key("PatientSize", "3", Match.NUMBER, "patient_size"),
    Key("PatientPrimaryLanguageCodeSequence", "3", Match.UNSUPPORTED),
    Key("PatientAddress", "3", Match.WILDCARD, "patient_address"),
    Key("PatientTelephoneNumbers", "3", Match.WILDCARD, "telephone"),
    Key("PatientComments", "3", Match.WILDCARD, "patient_comments"),
    Key("ConfidentialityConstraintOnPatientDataDescription", "2", Match.WILDCARD, "confidentiality"),
    Key("PatientState", "2", Match.WILDCARD, "patient_state"),
    Key("PregnancyStatus", "2", Match.NUMBER, "pregnancy_status"),
    Key("MedicalAlerts", "2", Match.WILDCARD, "medical_alerts"),
    Key("Allergies", "2", Match.WILDCARD, "allergies"),
    Key("SpecialNeeds", "2", Match.NONE),
    Key("PertinentDocumentsSequence", "3", Match.UNSUPPORTED),
    Key("HL7StructuredDocumentReferenceSequence", "1C", Match.UNSUPPORTED),
    Key("AdditionalPatientHistory", "3", Match.WILDCARD, "clinical_information"),
    # Says in which zone the answer's dates and times are; never matched (Table K.6-1a).
    Key("TimezoneOffsetFromUTC", "1C", Match.NONE, _offset),
    Key(STEP_SEQUENCE, "1", Match.SEQUENCE, lambda entry: (entry,), required=True, items=STEP_KEYS),
)

#: Said in every query, never matched, never answered as a key: they describe the identifier itself.
ABOUT_THE_IDENTIFIER = frozenset({"SpecificCharacterSet", "TimezoneOffsetFromUTC"})

BY_KEYWORD: Mapping[str, Key] = {key.keyword: key for key in KEYS}
STEP_BY_KEYWORD: Mapping[str, Key] = {key.keyword: key for key in STEP_KEYS}
