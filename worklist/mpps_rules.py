"""What PS3.4 Table F.7.2-1 asks of an MPPS, as tables and checks; each raises ``status.Failure``."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from ris.identifiers import is_uid
from ris.states import PerformedStatus
from worklist import clock
from worklist.status import INVALID_SOP_INSTANCE, Failure, invalid_value, missing_attribute, missing_value

#: Type 1 at N-CREATE.
CREATE_TYPE_1 = (
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "Modality",
)
#: Type 1 in each item of these sequences, whenever there is an item.
ITEM_TYPE_1 = {
    "ScheduledStepAttributesSequence": ("StudyInstanceUID",),
    "PerformedSeriesSequence": ("ProtocolName", "SeriesInstanceUID"),
    "ReferencedImageSequence": ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
    "ReferencedNonImageCompositeSOPInstanceSequence": ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
}
INSTANCE_SEQUENCES = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")
#: Type 1 once the status is COMPLETED or DISCONTINUED.
FINAL_TYPE_1 = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", "PerformedSeriesSequence")
#: "Not allowed" in an N-SET.
NOT_SETTABLE = (
    "ScheduledStepAttributesSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "PatientBirthDate",
    "PatientSex",
    "ReferencedPatientSequence",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "IssuerOfServiceEpisodeIDSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "Modality",
    "StudyID",
)
_FINAL = (PerformedStatus.COMPLETED, PerformedStatus.DISCONTINUED)
_UIDS = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "ReferencedSOPClassUID", "ReferencedSOPInstanceUID"})
#: The longest value of what the domain keeps in columns (PS3.5 6.2); a longer one would be cut, and so be another.
_LONGEST = {
    "PerformedProcedureStepID": 16,
    "PerformedStationAETitle": 16,
    "Modality": 16,
    "AccessionNumber": 16,
    "ScheduledProcedureStepID": 16,
    "RequestedProcedureID": 16,
    "PatientID": 64,
    "IssuerOfPatientID": 64,
    "PatientName": 3 * 64 + 2,
}


def check_instance_uid(uid: str) -> None:
    if not is_uid(uid):
        raise Failure(INVALID_SOP_INSTANCE, "The SOP Instance UID is no UID")


def check_create(attributes: Dataset) -> None:
    """Table F.7.2-1, column N-CREATE. The status must be IN PROGRESS (F.7.2.1.2)."""
    _require(attributes, CREATE_TYPE_1)
    _check_values(attributes)
    if text_of(attributes, "PerformedProcedureStepStatus") != PerformedStatus.IN_PROGRESS:
        raise invalid_value("PerformedProcedureStepStatus", "must be IN PROGRESS")


def check_set(modification: Dataset, stored: Mapping[str, Any]) -> None:
    """Table F.7.2-1, columns N-SET and final state; ``stored`` is the object so far as DICOM JSON.

    A DISCONTINUED step may end without series: nothing was acquired when the wrong entry was picked.
    """
    status = text_of(modification, "PerformedProcedureStepStatus")
    if "PerformedProcedureStepStatus" in modification:
        _require(modification, ("PerformedProcedureStepStatus",))
        if status not in list(PerformedStatus):
            raise invalid_value("PerformedProcedureStepStatus", "is none of the defined terms")
    _check_values(modification)
    if status in _FINAL:
        needed = FINAL_TYPE_1 if status == PerformedStatus.COMPLETED else FINAL_TYPE_1[:2]
        _require(modification, [keyword for keyword in needed if not _is_stored(keyword, modification, stored)])


def drop_not_settable(modification: Dataset) -> list[str]:
    """Take out what an N-SET may not change, and say what that was."""
    found = [keyword for keyword in NOT_SETTABLE if keyword in modification]
    for keyword in found:
        delattr(modification, keyword)
    return found


def _is_stored(keyword: str, modification: Dataset, stored: Mapping[str, Any]) -> bool:
    """Whether an earlier message gave a value that this one leaves alone."""
    return keyword not in modification and bool(stored.get(f"{tag_for_keyword(keyword):08X}", {}).get("Value"))


def _require(dataset: Dataset, keywords: tuple[str, ...] | list[str]) -> None:
    if absent := [keyword for keyword in keywords if keyword not in dataset]:
        raise missing_attribute(*absent)
    if empty := [keyword for keyword in keywords if not _has_value(dataset, keyword)]:
        raise missing_value(*empty)


def _has_value(dataset: Dataset, keyword: str) -> bool:
    value = dataset[keyword].value
    return bool(value) if dataset[keyword].VR == "SQ" else bool(str("" if value is None else value).strip())


def _check_values(dataset: Dataset) -> None:
    """Type 1 in items, UIDs, dates, times and lengths, everywhere in the object."""
    _check_moments(dataset)
    for item in _with_items(dataset):
        for keyword in _UIDS & set(item.dir()):
            if (uid := text_of(item, keyword)) and not is_uid(uid):
                raise invalid_value(keyword, "is no UID")
        for keyword, longest in _LONGEST.items():
            if len(text_of(item, keyword)) > longest:
                raise invalid_value(keyword, f"is longer than {longest} characters")


def _with_items(dataset: Dataset) -> Iterator[Dataset]:
    yield dataset
    for keyword, required in ITEM_TYPE_1.items():
        for item in dataset.get(keyword) or []:
            _require(item, required)
            yield from _with_items(item)


def _check_moments(dataset: Dataset) -> None:
    for which in ("Start", "End"):
        _parse(dataset, f"PerformedProcedureStep{which}Date", clock.parse_date)
        _parse(dataset, f"PerformedProcedureStep{which}Time", clock.parse_time)
    _parse(dataset, "TimezoneOffsetFromUTC", clock.parse_offset)


def _parse(dataset: Dataset, keyword: str, parse: Any) -> None:
    try:
        if text := text_of(dataset, keyword):
            parse(text)
    except ValueError as error:
        raise invalid_value(keyword, str(error)) from None


def text_of(dataset: Dataset, keyword: str) -> str:
    """An attribute's value as text without padding; empty if it is not there."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
