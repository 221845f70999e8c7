"""PS3.4 Table F.7.2-1 as data: the attributes of an MPPS and their types when it is created, set and ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydicom.datadict import dictionary_VR, tag_for_keyword

NOT_ALLOWED = "not allowed"


@dataclass(frozen=True)
class Rule:
    """A row of the table: the attribute's types at N-CREATE and N-SET as SCU/SCP, and in the final state.

    ``needed``: of Type 1, and without it even a lenient station's message is refused.
    """

    keyword: str
    create: str
    set: str = NOT_ALLOWED
    final: str = ""
    needed: bool = False
    items: tuple["Rule", ...] = ()

    @cached_property
    def tag(self) -> int:
        tag = tag_for_keyword(self.keyword)
        assert tag is not None, self.keyword
        return tag

    @cached_property
    def vr(self) -> str:
        return dictionary_VR(self.tag)


def _both(keyword: str, types: str, needed: bool = False, items: tuple[Rule, ...] = ()) -> Rule:
    """In an item of a sequence that may be set: the same at N-CREATE and N-SET."""
    return Rule(keyword, types, types, types[0] if types[0] in "12" else "", needed, items)


#: Code Sequence Macro (PS3.3 table 8.8-1).
_CODE = (_both("CodeValue", "1C/1C"), _both("CodingSchemeDesignator", "1C/1C"), _both("CodeMeaning", "1/1"))
_INSTANCE = (_both("ReferencedSOPClassUID", "1/1", True), _both("ReferencedSOPInstanceUID", "1/1", True))

_SCHEDULED_STEP = (
    Rule("StudyInstanceUID", "1/1", needed=True),
    Rule("ReferencedStudySequence", "2/2", items=_INSTANCE),
    Rule("AccessionNumber", "2/2"),
    Rule("IssuerOfAccessionNumberSequence", "3/3"),
    Rule("PlacerOrderNumberImagingServiceRequest", "3/3"),
    Rule("OrderPlacerIdentifierSequence", "3/3"),
    Rule("FillerOrderNumberImagingServiceRequest", "3/3"),
    Rule("OrderFillerIdentifierSequence", "3/3"),
    Rule("RequestedProcedureCodeSequence", "3/3", items=_CODE),
    Rule("RequestedProcedureID", "2/2"),
    Rule("RequestedProcedureDescription", "2/2"),
    Rule("ScheduledProcedureStepID", "2/2"),
    Rule("ScheduledProcedureStepDescription", "2/2"),
    Rule("ScheduledProtocolCodeSequence", "2/2", items=_CODE),
)
_SERIES = (
    _both("PerformingPhysicianName", "2/2"),
    _both("ProtocolName", "1/1"),
    _both("OperatorsName", "2/2"),
    _both("SeriesInstanceUID", "1/1", True),
    _both("SeriesDescription", "2/2"),
    _both("RetrieveAETitle", "2/2"),
    _both("ReferencedImageSequence", "2/2", items=_INSTANCE),
    _both("ReferencedNonImageCompositeSOPInstanceSequence", "2/2", items=_INSTANCE),
)

#: The table, module by module. What is not in it is 3/3 and kept as it comes.
RULES: tuple[Rule, ...] = (
    Rule("SpecificCharacterSet", "1C/1C", "1C/1C"),
    # Performed Procedure Step Relationship
    Rule("ScheduledStepAttributesSequence", "1/1", needed=True, items=_SCHEDULED_STEP),
    Rule("PatientName", "2/2"),
    Rule("PatientID", "2/2"),
    Rule("IssuerOfPatientID", "3/3"),
    Rule("IssuerOfPatientIDQualifiersSequence", "3/3"),
    Rule("OtherPatientIDsSequence", "3/3"),
    Rule("PatientBirthDate", "2/2"),
    Rule("PatientSex", "2/2"),
    Rule("ReferencedPatientSequence", "2/2", items=_INSTANCE),
    Rule("AdmissionID", "3/3"),
    Rule("IssuerOfAdmissionIDSequence", "3/3"),
    Rule("ServiceEpisodeID", "3/3"),
    Rule("IssuerOfServiceEpisodeIDSequence", "3/3"),
    # Performed Procedure Step Information
    Rule("PerformedProcedureStepID", "1/1", needed=True),
    Rule("PerformedStationAETitle", "1/1", needed=True),
    Rule("PerformedStationName", "2/2"),
    Rule("PerformedLocation", "2/2"),
    Rule("PerformedProcedureStepStartDate", "1/1", needed=True),
    Rule("PerformedProcedureStepStartTime", "1/1", needed=True),
    Rule("PerformedProcedureStepStatus", "1/1", "3/1", needed=True),
    Rule("PerformedProcedureStepDescription", "2/2", "3/2"),
    Rule("PerformedProcedureTypeDescription", "2/2", "3/2"),
    Rule("ProcedureCodeSequence", "2/2", "3/2", items=_CODE),
    Rule("ReasonForPerformedProcedureCodeSequence", "3/3", "3/3", items=_CODE),
    Rule("PerformedProcedureStepEndDate", "2/2", "3/1", "1", needed=True),
    Rule("PerformedProcedureStepEndTime", "2/2", "3/1", "1", needed=True),
    Rule("CommentsOnThePerformedProcedureStep", "3/3", "3/3"),
    Rule("PerformedProcedureStepDiscontinuationReasonCodeSequence", "3/3", "3/3", items=_CODE),
    # Image Acquisition Results
    Rule("Modality", "1/1", needed=True),
    Rule("StudyID", "2/2"),
    Rule("PerformedProtocolCodeSequence", "2/2", "3/2", items=_CODE),
    Rule("PerformedSeriesSequence", "2/2", "3/1", "1", needed=True, items=_SERIES),
)
BY_KEYWORD: Mapping[str, Rule] = {rule.keyword: rule for rule in RULES}
