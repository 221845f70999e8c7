"""The attributes of an MPPS as the domain takes them: data set -> StepReport. Pure."""

from datetime import datetime
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from ris.inputs import Code, Identifier, InstanceReference, ScheduledStepReference, StepReport
from ris.states import WRONG_ENTRY, PerformedStatus
from worklist import clock
from worklist.mpps_rules import text_of

_INSTANCE_SEQUENCES = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")


def created(uid: str, dataset: Dataset) -> StepReport:
    """What an N-CREATE says."""
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
        end=_moment(dataset, "End"),
        discontinuation_reason=_reason(dataset),
        instances=_instances(dataset),
        attributes=to_json(dataset),
    )


def updated(uid: str, dataset: Dataset) -> StepReport:
    """What an N-SET says."""
    return StepReport(
        sop_instance_uid=uid,
        status=text_of(dataset, "PerformedProcedureStepStatus") or None,
        end=_moment(dataset, "End"),
        discontinuation_reason=_reason(dataset),
        instances=_instances(dataset),
        attributes=to_json(dataset),
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
            series_instance_uid=str(series.SeriesInstanceUID),
            sop_instance_uid=str(item.ReferencedSOPInstanceUID),
            sop_class_uid=str(item.ReferencedSOPClassUID),
        )
        for series in dataset.PerformedSeriesSequence
        for keyword in _INSTANCE_SEQUENCES
        for item in series.get(keyword) or []
    )


def _reason(dataset: Dataset) -> Code | None:
    """The first reason, but a wrong entry before any other: it alone says that the step was never this one."""
    items = dataset.get("PerformedProcedureStepDiscontinuationReasonCodeSequence") or []
    keywords = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    codes = [Code(*(text_of(item, keyword) for keyword in keywords)) for item in items]
    return next((code for code in codes if code.value == WRONG_ENTRY), codes[0] if codes else None)


def _moment(dataset: Dataset, which: str) -> datetime | None:
    """PPS Start or End; None where the message does not name both date and time."""
    day = text_of(dataset, f"PerformedProcedureStep{which}Date")
    time = text_of(dataset, f"PerformedProcedureStep{which}Time")
    return clock.from_site(day, time, text_of(dataset, "TimezoneOffsetFromUTC")) if day and time else None


def to_json(dataset: Dataset) -> dict[str, Any]:
    """The data set as DICOM JSON (PS3.18 F), which is always UTF-8 and so names no character set."""
    kept = {tag: element for tag, element in dataset.to_json_dict().items() if tag != "00080005"}
    return {tag: element for tag, element in kept.items() if keyword_for_tag(tag) or int(tag[:4], 16) % 2}
