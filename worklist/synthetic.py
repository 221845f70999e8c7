"""Small images with invented pixels that carry the attributes of a worklist entry, as a scanner's would."""

from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from worklist.keys import STEP_SEQUENCE

if TYPE_CHECKING:
    from worklist.emulator import PerformedExam

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
#: Modality -> storage SOP class; any other modality sends Secondary Capture.
SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
}
SIDE = 64


def image(exam: "PerformedExam", number: int) -> Dataset:
    """Instance ``number`` of the exam's series: a tilted ramp of 64 x 64 pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    entry = exam.entry
    if "SpecificCharacterSet" in entry:
        dataset.SpecificCharacterSet = entry.SpecificCharacterSet
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, entry.get(keyword) or "")
    dataset.SOPClassUID = SOP_CLASSES.get(exam.modality, SECONDARY_CAPTURE)
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.StudyInstanceUID = entry.StudyInstanceUID
    dataset.SeriesInstanceUID = exam.series_instance_uid
    dataset.AccessionNumber = entry.get("AccessionNumber") or ""
    dataset.Modality, dataset.InstanceNumber, dataset.SeriesNumber = exam.modality, number, 1
    dataset.StudyID, dataset.StudyDate, dataset.StudyTime, dataset.ReferringPhysicianName = "", "", "", ""
    dataset.RequestAttributesSequence = [_request(entry)]
    dataset.ReferencedPerformedProcedureStepSequence = [_performed(exam.uid)]
    _add_pixels(dataset, number)
    return dataset


def _request(entry: Dataset) -> Dataset:
    item = Dataset()
    item.RequestedProcedureID = entry.get("RequestedProcedureID") or ""
    item.ScheduledProcedureStepID = entry[STEP_SEQUENCE].value[0].get("ScheduledProcedureStepID") or ""
    return item


def _performed(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.3", uid
    return item


def _add_pixels(dataset: Dataset, number: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    ramp = bytes((2 * x + y + 8 * number) % 256 for y in range(SIDE) for x in range(SIDE))
    dataset.add_new("PixelData", "OW", ramp)
