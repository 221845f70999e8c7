"""What the edges hand to the services: frozen facts, free of HL7 and DICOM.

In every optional attribute ``None`` means *not said* (leave what is there) and ``""`` means *said to be empty* (clear
it), which is HL7's difference between an empty field and ``""`` (HL7 v2.5.1 2.5.3). ``provenance`` says for each
attribute in which field of the message it was found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who did it: ``kind`` is USER, HL7, DICOM or SYSTEM; ``name`` a user name, AE title, or application.

    ``source_message`` points to the message that caused it, such as ``HL7 MSH-10 4711`` or ``MPPS 1.2.3``;
    ``said_at`` (aware) is when its sender said it, None for now: messages that overtake each other are put in that
    order (services.precedence).
    """

    kind: Literal["USER", "HL7", "DICOM", "SYSTEM"]
    name: str
    source_message: str = ""
    said_at: datetime | None = None


@dataclass(frozen=True)
class Identifier:
    """An identifier with the authority that issued it (HL7 EI and CX; DICOM issuer). Empty ``value``: none given."""

    value: str = ""
    issuer: str = ""

    def __bool__(self) -> bool:
        return bool(self.value)


@dataclass(frozen=True)
class Code:
    """A coded concept (HL7 CE/CWE, DICOM code sequence item)."""

    value: str = ""
    scheme: str = ""
    meaning: str = ""

    def __bool__(self) -> bool:
        return bool(self.value or self.meaning)


@dataclass(frozen=True, kw_only=True)
class PatientIdentity:
    """A patient as one message says it. ``patient_name`` is a DICOM PN value (PS3.5 6.2): ``Family^Given^Middle^
    Prefix^Suffix``, with ideographic and phonetic groups behind ``=``. ``patient_sex`` is M, F, O or empty."""

    identifier: Identifier
    other_ids: tuple[Identifier, ...] = ()
    patient_name: str | None = None
    patient_birth_date: date | Literal[""] | None = None
    patient_sex: str | None = None
    patient_address: str | None = None
    telephone: str | None = None
    patient_comments: str | None = None


@dataclass(frozen=True, kw_only=True)
class VisitInfo:
    """A visit (admission). Without an ``admission_id`` its attributes belong to the order alone.

    ``status`` is a Visit.Status, the empty one for a visit that goes on.
    """

    admission_id: Identifier = Identifier()
    current_patient_location: str | None = None
    patient_class: str | None = None
    referring_physician: str | None = None
    status: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepRequest:
    """One scheduled procedure step as asked for. An identifier cannot be cleared: empty is not said.

    ``start`` is aware. Never said it means *to be scheduled*, never *now*; said to be empty it takes the booking away.
    """

    scheduled_procedure_step_id: str = ""
    modality: str | None = None
    description: str | None = None
    protocol_codes: tuple[Code, ...] | None = None
    start: datetime | Literal[""] | None = None
    duration_minutes: int | None = None
    station_ae_titles: tuple[str, ...] | None = None
    station_name: str | None = None
    location: str | None = None
    performing_physician: str | None = None
    pre_medication: str | None = None
    contrast_agent: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProcedureRequest:
    """One requested procedure (an exam) with its steps. An identifier cannot be cleared: empty is not said."""

    requested_procedure_id: str = ""
    study_instance_uid: str = ""
    code: Code | None = None
    description: str | None = None
    reason: str | None = None
    comments: str | None = None
    steps: tuple[StepRequest, ...] = (StepRequest(),)
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OrderKey:
    """The numbers by which a later message names an order."""

    sender: str
    placer_order_number: Identifier = Identifier()
    filler_order_number: Identifier = Identifier()
    accession_number: str = ""
    patient: Identifier = Identifier()


@dataclass(frozen=True, kw_only=True)
class OrderRequest:
    """One order (HL7 ORC group, DICOM Imaging Service Request) with its requested procedures.

    ``sender`` names the ordering system (application|facility). It stands in for the issuer of the placer or filler
    number where the number carries none, so that the same number of two senders is two orders.
    """

    patient: PatientIdentity
    sender: str
    placer_order_number: Identifier = Identifier()
    filler_order_number: Identifier = Identifier()
    accession_number: str = ""
    accession_issuer: str = ""
    visit: VisitInfo = VisitInfo()
    priority: str | None = None
    requesting_physician: str | None = None
    clinical_information: str | None = None
    medical_alerts: str | None = None
    allergies: str | None = None
    pregnancy_status: int | Literal[""] | None = None
    patient_state: str | None = None
    patient_weight: Decimal | Literal[""] | None = None
    patient_size: Decimal | Literal[""] | None = None
    transport_arrangements: str | None = None
    confidentiality: str | None = None
    procedures: tuple[ProcedureRequest, ...] = (ProcedureRequest(),)
    parent: OrderKey | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AppointmentNotice:
    """What a scheduling system says of one appointment (HL7 SIU).

    ``orders`` are the numbers that may name its order, best first, at least one key; ``placer_id`` and ``filler_id``
    are the appointment's own. ``start`` said to be empty takes the booking away. ``resources`` are names of rooms or AE
    titles. ``services`` are the procedures of the whole appointment, of which this notice is of number ``position``
    (from 0).
    """

    orders: tuple[OrderKey, ...]
    placer_id: Identifier = Identifier()
    filler_id: Identifier = Identifier()
    procedure: Code = Code()
    start: datetime | Literal[""] | None = None
    duration_minutes: int | None = None
    resources: tuple[str, ...] = ()
    performing_physician: str | None = None
    services: tuple[Code, ...] = ()
    position: int = 0
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportNotice:
    """That a report of an exam came or changed (HL7 ORU). ``status`` is a RequestedProcedure.ReportStatus."""

    order: OrderKey
    status: str
    study_instance_uid: str = ""
    requested_procedure_id: str = ""
    code: Code = Code()
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ScheduledStepReference:
    """One item of an MPPS' Scheduled Step Attributes Sequence (0040,0270). Only the Study UID is never empty."""

    study_instance_uid: str
    scheduled_procedure_step_id: str = ""
    requested_procedure_id: str = ""
    accession_number: str = ""


@dataclass(frozen=True, kw_only=True)
class InstanceReference:
    """One instance that a performed series lists."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What an MPPS says: N-CREATE begins it, N-SET changes it. In an N-SET ``references`` is empty and ``status``,
    ``end``, ``instances`` and the rest are None where the N-SET did not name them.

    ``attributes`` is the whole object as DICOM JSON after this message was applied; the domain only keeps it.
    """

    sop_instance_uid: str
    status: str | None = None
    references: tuple[ScheduledStepReference, ...] = ()
    patient: Identifier | None = None
    patient_name: str | None = None
    performed_procedure_step_id: str = ""
    station_ae_title: str = ""
    modality: str = ""
    start: datetime | None = None
    end: datetime | None = None
    discontinuation_reason: Code | None = None
    instances: tuple[InstanceReference, ...] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InstanceReport:
    """One image that is durable under the data folder. ``path`` is relative to that folder; ``size`` in bytes."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    size: int
    sha256: str
    source_ae_title: str
    patient: Identifier = Identifier()
    accession_number: str = ""
    modality: str = ""
