"""A modality: asks for its worklist, reports by MPPS, sends images. For tests, the demo and a site's own acceptance.

Each call tells ``say`` in one line what was sent and what came back, and raises ``Refused`` when that is no success.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.association import Association

from ris.states import PerformedStatus
from worklist import synthetic
from worklist.clock import to_site
from worklist.dimse import MODALITY_WORKLIST, MPPS, PENDING, PENDING_UNSUPPORTED, SUCCESS, VERIFICATION
from worklist.keys import BY_KEYWORD, STEP_BY_KEYWORD, STEP_SEQUENCE

WRONG_ENTRY = ("110514", "DCM", "Incorrect worklist entry selected")


class Refused(Exception):
    """The peer answered with a failure, or not at all. ``status`` is None without an answer."""

    def __init__(self, what: str, answer: Dataset | None) -> None:
        self.answer = answer
        self.status = None if answer is None or "Status" not in answer else int(answer.Status)
        comment = answer.get("ErrorComment", "") if answer is not None else ""
        super().__init__(f"{what}: {_words(self.status)} {comment}".rstrip())


@dataclass
class PerformedExam:
    """One MPPS of ours: the worklist entry it performs, and the images made so far by series."""

    uid: str
    entry: Dataset
    modality: str
    series_instance_uid: str = field(default_factory=lambda: generate_uid(prefix=None))
    images: list[Dataset] = field(default_factory=list)


@dataclass
class Modality:
    """A scanner that calls ``called_ae``: worklist and MPPS at one address, images at another."""

    ae_title: str
    worklist_address: tuple[str, int]
    store_address: tuple[str, int]
    called_ae: str = "SUNVIEW"
    say: Callable[[str], Any] = lambda _line: None
    timeout: float = 30.0

    def echo(self) -> None:
        """C-ECHO to both ports."""
        for address in (self.worklist_address, self.store_address):
            with self._association(address, VERIFICATION) as association:
                self._check(f"C-ECHO to port {address[1]}", association.send_c_echo())

    def find(self, character_set: str = "", **keys: str) -> list[Dataset]:
        """The worklist entries that match ``keys``, given by DICOM keyword, with all attributes of Table K.6-1."""
        identifier = _identifier(keys)
        if character_set:
            identifier.SpecificCharacterSet = character_set
        entries = self.query(identifier)
        self.say(f"C-FIND worklist by {', '.join(keys) or 'nothing'} -> {len(entries)} entries")
        return entries

    def query(self, identifier: Dataset) -> list[Dataset]:
        """The answers to an identifier of the caller's own making."""
        entries: list[Dataset] = []
        with self._association(self.worklist_address, MODALITY_WORKLIST) as association:
            for status, answer in association.send_c_find(identifier, MODALITY_WORKLIST):
                if answer and status.Status in (PENDING, PENDING_UNSUPPORTED):
                    entries.append(answer)
                elif not status or status.Status != SUCCESS:
                    raise Refused("C-FIND", status)
        return entries

    def start(self, entry: Dataset, *more: Dataset) -> PerformedExam:
        """N-CREATE for a worklist entry; with ``more`` entries one MPPS stands for all of them (group case)."""
        uid = generate_uid(prefix=None)
        exam = PerformedExam(uid, entry, str(entry[STEP_SEQUENCE].value[0].Modality))
        self.create(uid, begun(self.ae_title, exam.modality, entry, *more))
        return exam

    def create(self, uid: str | None, attributes: Dataset) -> None:
        """N-CREATE as it is; the peer names the instance if ``uid`` is None."""
        with self._association(self.worklist_address, MPPS) as association:
            status, _attributes = association.send_n_create(attributes, MPPS, uid)
        self._check(f"MPPS N-CREATE {attributes.get('PerformedProcedureStepStatus')}", status)

    def store(self, exam: PerformedExam, count: int = 2) -> list[Dataset]:
        """C-STORE ``count`` synthetic images of the exam."""
        made = [synthetic.image(exam, len(exam.images) + number) for number in range(1, count + 1)]
        self.send(made)
        exam.images += made
        return made

    def send(self, images: list[Dataset]) -> None:
        """C-STORE images as they are, over one association."""
        with self._association(self.store_address, *{image.SOPClassUID for image in images}) as association:
            for image in images:
                status = association.send_c_store(image)
                if not status or status.Status != SUCCESS:
                    raise Refused("C-STORE", status)
        self.say(f"C-STORE of {len(images)} images -> 0000H")

    def complete(self, exam: PerformedExam) -> None:
        """N-SET COMPLETED with every image that was stored."""
        self.set(exam.uid, ended(exam, PerformedStatus.COMPLETED))

    def discontinue(self, exam: PerformedExam, code: tuple[str, str, str] = WRONG_ENTRY) -> None:
        """N-SET DISCONTINUED with a reason (code, scheme, meaning)."""
        attributes = ended(exam, PerformedStatus.DISCONTINUED)
        reason = Dataset()
        reason.CodeValue, reason.CodingSchemeDesignator, reason.CodeMeaning = code
        attributes.PerformedProcedureStepDiscontinuationReasonCodeSequence = [reason]
        self.set(exam.uid, attributes)

    def set(self, uid: str, attributes: Dataset) -> None:
        """N-SET as it is."""
        with self._association(self.worklist_address, MPPS) as association:
            status, _attributes = association.send_n_set(attributes, MPPS, uid)
        self._check(f"MPPS N-SET {attributes.get('PerformedProcedureStepStatus', '')}".rstrip(), status)

    @contextmanager
    def _association(self, address: tuple[str, int], *abstract_syntaxes: str) -> Iterator[Association]:
        caller = AE(ae_title=self.ae_title)
        caller.acse_timeout = caller.dimse_timeout = caller.network_timeout = self.timeout
        caller.connection_timeout = self.timeout
        for abstract_syntax in abstract_syntaxes:
            caller.add_requested_context(abstract_syntax)
        association = caller.associate(*address, ae_title=self.called_ae)
        if not association.is_established:
            raise Refused(f"{self.called_ae} at port {address[1]} accepts no association of {self.ae_title}", None)
        try:
            yield association
        finally:
            association.release()

    def _check(self, what: str, status: Dataset | None) -> None:
        if not status or "Status" not in status or status.Status != SUCCESS:
            raise Refused(what, status or None)
        self.say(f"{what} -> {_words(SUCCESS)}")


def _words(status: int | None) -> str:
    return "no answer" if status is None else f"{status:04X}H"


def _identifier(keys: dict[str, str]) -> Dataset:
    """A query for everything in Table K.6-1, matching ``keys``."""
    if unknown := set(keys) - set(BY_KEYWORD) - set(STEP_BY_KEYWORD):
        raise ValueError(f"no worklist key: {', '.join(sorted(unknown))}")
    identifier, step = Dataset(), Dataset()
    for target, table in ((identifier, BY_KEYWORD), (step, STEP_BY_KEYWORD)):
        for key in table.values():
            target.add_new(key.keyword, key.vr, [] if key.vr == "SQ" else keys.get(key.keyword))
    identifier.add_new(STEP_SEQUENCE, "SQ", [step])
    return identifier


def begun(ae_title: str, modality: str, *entries: Dataset) -> Dataset:
    """The attributes of an N-CREATE for worklist entries (PS3.4 Table F.7.2-1, column N-CREATE)."""
    now, first = to_site(datetime.now().astimezone()), entries[0]
    attributes = Dataset()
    if "SpecificCharacterSet" in first:
        attributes.SpecificCharacterSet = first.SpecificCharacterSet
    attributes.ScheduledStepAttributesSequence = [_scheduled(entry) for entry in entries]
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"):
        setattr(attributes, keyword, first.get(keyword) or "")
    attributes.ReferencedPatientSequence = []
    attributes.PerformedProcedureStepID = f"PPS{now:%H%M%S%f}"
    attributes.PerformedStationAETitle, attributes.Modality = ae_title, modality
    attributes.PerformedProcedureStepStartDate = f"{now:%Y%m%d}"
    attributes.PerformedProcedureStepStartTime = f"{now:%H%M%S}"
    attributes.PerformedProcedureStepStatus = PerformedStatus.IN_PROGRESS.value
    for keyword in _EMPTY_AT_CREATE:
        setattr(attributes, keyword, [] if keyword.endswith("Sequence") else "")
    attributes.PerformedProcedureStepDescription = (
        first[STEP_SEQUENCE].value[0].get("ScheduledProcedureStepDescription", "")
    )
    return attributes


#: Type 2 at N-CREATE: present and, as the scanner does not know yet, empty.
_EMPTY_AT_CREATE = (
    "PerformedStationName",
    "PerformedLocation",
    "StudyID",
    "PerformedProcedureTypeDescription",
    "ProcedureCodeSequence",
    "PerformedProtocolCodeSequence",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "PerformedSeriesSequence",
    "PerformedProcedureStepDiscontinuationReasonCodeSequence",
)


def _scheduled(entry: Dataset) -> Dataset:
    step, item = entry[STEP_SEQUENCE].value[0], Dataset()
    for keyword in ("StudyInstanceUID", "AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription"):
        setattr(item, keyword, entry.get(keyword) or "")
    for keyword in ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription"):
        setattr(item, keyword, step.get(keyword) or "")
    item.ScheduledProtocolCodeSequence = list(step.get("ScheduledProtocolCodeSequence") or [])
    item.ReferencedStudySequence = []
    return item


def ended(exam: PerformedExam, status: str) -> Dataset:
    """The attributes of a final N-SET (column "final state"). A step that is discontinued before any image was made
    lists its series without images."""
    now, attributes = to_site(datetime.now().astimezone()), Dataset()
    attributes.PerformedProcedureStepStatus = str(status)
    attributes.PerformedProcedureStepEndDate = f"{now:%Y%m%d}"
    attributes.PerformedProcedureStepEndTime = f"{now:%H%M%S}"
    has_series = exam.images or status == PerformedStatus.DISCONTINUED
    attributes.PerformedSeriesSequence = [_series(exam)] if has_series else []
    return attributes


def _series(exam: PerformedExam) -> Dataset:
    series = Dataset()
    series.ProtocolName = f"{exam.modality} standard"
    series.SeriesInstanceUID = exam.series_instance_uid
    for keyword in ("PerformingPhysicianName", "OperatorsName", "SeriesDescription", "RetrieveAETitle"):
        setattr(series, keyword, "")
    series.ReferencedImageSequence = [_referenced(image) for image in exam.images]
    series.ReferencedNonImageCompositeSOPInstanceSequence = []
    return series


def _referenced(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item
