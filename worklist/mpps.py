"""Modality Performed Procedure Step: N-CREATE, N-SET and N-GET (PS3.4 annex F, Table F.7.2-1).

Where the table is strict about what makes the object usable, so are we: Type 1 attributes, status, final state. Type 2
attributes that a scanner leaves out are taken as empty. An N-SET that repeats attributes which may not be set (patient,
scheduled step, start) is applied without them and logged: the end of a scan must not be lost to a redundant element.
"""

import logging
from datetime import datetime
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ris import selectors
from ris.inputs import Actor, Code, Identifier, InstanceReference, ScheduledStepReference, StepReport
from ris.services import performing
from ris.states import PerformedStatus
from worklist import clock, encoding, handling, mpps_rules
from worklist.dimse import SUCCESS, Answer, Request
from worklist.mpps_rules import text_of

logger = logging.getLogger(__name__)


def create(request: Request) -> Answer:
    """N-CREATE: a performed procedure step begins. Without an instance UID we make one (PS3.7 10.1.5.1.4)."""
    uid = request.sop_instance_uid or generate_uid(prefix=None)
    mpps_rules.check_instance_uid(uid)
    attributes = encoding.decode(request.data, request.implicit_vr, request.character_set)
    mpps_rules.check_create(attributes)
    performing.start(_created(uid, attributes), _actor(request, uid))
    if request.sop_instance_uid:
        return Answer(status=SUCCESS)
    made = Dataset()
    made.AffectedSOPInstanceUID = uid
    return Answer(status=SUCCESS, dataset=made)


def update(request: Request) -> Answer:
    """N-SET: the step goes on or ends. What it needs to end may have come with this or an earlier message."""
    uid = request.sop_instance_uid or ""
    modification = encoding.decode(request.data, request.implicit_vr, request.character_set)
    performed = selectors.performed_step(uid)
    if refused := mpps_rules.drop_not_settable(modification):
        logger.warning("N-SET of %s repeats what cannot be set: %s", handling.printable(uid), " ".join(refused))
    if not performed.is_final:  # else the service refuses, whatever the modification holds
        mpps_rules.check_set(modification, performed.attributes)
    performing.update(_updated(uid, modification), _actor(request, uid))
    return Answer(status=SUCCESS)


def get(request: Request) -> Answer:
    """N-GET (PS3.4 F.8): the object as it stands; only the attributes asked for if any were named."""
    performed = selectors.performed_step(request.sop_instance_uid or "")
    stored = Dataset.from_json(performed.attributes)
    stored.SpecificCharacterSet = "ISO_IR 192"
    if request.asked_tags:
        asked = {*request.asked_tags, 0x00080005}
        for tag in [element.tag for element in stored if element.tag not in asked]:
            del stored[tag]
    return Answer(status=SUCCESS, dataset=stored)


def _actor(request: Request, uid: str) -> Actor:
    return Actor(kind="DICOM", name=request.calling_ae_title, source_message=f"MPPS {uid}")


def _created(uid: str, dataset: Dataset) -> StepReport:
    patient_id = text_of(dataset, "PatientID")
    return StepReport(
        sop_instance_uid=uid,
        status=PerformedStatus.IN_PROGRESS,
        references=tuple(_reference(item) for item in dataset.ScheduledStepAttributesSequence),
        patient=Identifier(patient_id, text_of(dataset, "IssuerOfPatientID")) if patient_id else None,
        patient_name=text_of(dataset, "PatientName"),
        performed_procedure_step_id=text_of(dataset, "PerformedProcedureStepID"),
        station_ae_title=text_of(dataset, "PerformedStationAETitle"),
        modality=text_of(dataset, "Modality"),
        start=_moment(dataset, "Start"),
        instances=_instances(dataset),
        attributes=_json(dataset),
    )


def _updated(uid: str, dataset: Dataset) -> StepReport:
    return StepReport(
        sop_instance_uid=uid,
        status=text_of(dataset, "PerformedProcedureStepStatus") or None,
        end=_moment(dataset, "End"),
        discontinuation_reason=_reason(dataset),
        instances=_instances(dataset),
        attributes=_json(dataset),
    )


def _reference(item: Dataset) -> ScheduledStepReference:
    return ScheduledStepReference(
        study_instance_uid=text_of(item, "StudyInstanceUID"),
        scheduled_procedure_step_id=text_of(item, "ScheduledProcedureStepID"),
        requested_procedure_id=text_of(item, "RequestedProcedureID"),
        accession_number=text_of(item, "AccessionNumber"),
    )


def _instances(dataset: Dataset) -> tuple[InstanceReference, ...] | None:
    """Every instance that the performed series list, images and others; None if the message names no series."""
    if "PerformedSeriesSequence" not in dataset:
        return None
    return tuple(
        InstanceReference(
            series_instance_uid=text_of(series, "SeriesInstanceUID"),
            sop_instance_uid=text_of(item, "ReferencedSOPInstanceUID"),
            sop_class_uid=text_of(item, "ReferencedSOPClassUID"),
        )
        for series in dataset.PerformedSeriesSequence
        for keyword in mpps_rules.INSTANCE_SEQUENCES
        for item in series.get(keyword) or []
    )


def _reason(dataset: Dataset) -> Code | None:
    items = dataset.get("PerformedProcedureStepDiscontinuationReasonCodeSequence") or []
    for item in items:
        texts = (text_of(item, keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
        return Code(*texts)
    return None


def _moment(dataset: Dataset, which: str) -> datetime | None:
    """PPS Start or End; None where the message does not name both date and time."""
    day = text_of(dataset, f"PerformedProcedureStep{which}Date")
    time = text_of(dataset, f"PerformedProcedureStep{which}Time")
    return clock.from_site(day, time, text_of(dataset, "TimezoneOffsetFromUTC")) if day and time else None


def _json(dataset: Dataset) -> dict[str, Any]:
    """The data set as DICOM JSON (PS3.18 F), which is always UTF-8 and so names no character set."""
    kept = {tag: element for tag, element in dataset.to_json_dict().items() if tag != "00080005"}
    return {tag: element for tag, element in kept.items() if keyword_for_tag(tag) or int(tag[:4], 16) % 2}
