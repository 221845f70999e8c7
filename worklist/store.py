"""C-STORE (PS3.4 annex B): an image is answered with success once its file and its record are both durable.

The bytes are kept as they came, under a name of our own; pixels are never decoded. The preamble and the file meta
information are made here, so that nothing a peer put in front of "DICM" reaches the disk.
"""

import hashlib
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from django.conf import settings
from django.utils import timezone
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from ris.identifiers import is_uid
from ris.inputs import Actor, Identifier, InstanceReport
from ris.services import images
from worklist import encoding
from worklist.dimse import SUCCESS, Answer, Request
from worklist.encoding import MalformedDataset
from worklist.mpps_rules import text_of
from worklist.status import DOES_NOT_MATCH_SOP_CLASS, INVALID_SOP_INSTANCE, Failure

logger = logging.getLogger(__name__)

#: Identifies Sunview as the writer of the file meta information (PS3.10 7.1).
IMPLEMENTATION_CLASS_UID = "2.25.166722226303396393437466613361397416527"
_NEEDED: list[BaseTag | int] = [
    Tag(keyword)
    for keyword in (
        "SpecificCharacterSet",
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "AccessionNumber",
        "Modality",
        "PatientID",
        "IssuerOfPatientID",
    )
]
#: The group of pixel data; nothing that is needed comes after it.
_PIXELS = 0x7FE00000


def store(request: Request) -> Answer:
    """Keep one instance. The same instance again is answered with success and kept once."""
    uid = request.sop_instance_uid or ""
    if not is_uid(uid):
        raise Failure(INVALID_SOP_INSTANCE, "The SOP Instance UID is no UID")
    dataset = _read(request)
    _check(dataset, request)
    digest = hashlib.sha256(request.data).hexdigest()
    with _file(_meta(request), request.data) as path:
        report = _report(dataset, request, path, digest)
        instance, created = images.record(report, Actor(kind="DICOM", name=request.calling_ae_title))
        if not created:
            path.unlink()
    if instance.sha256 != digest:
        logger.warning("%s sent %s again with other content: the first is kept", request.calling_ae_title, uid)
    return Answer(status=SUCCESS)


def _read(request: Request) -> Dataset:
    """The few attributes that are needed, up to the pixels."""
    encoding.check_structure(request.data, request.implicit_vr)
    try:
        dataset = read_dataset(
            BytesIO(request.data),
            request.implicit_vr,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: tag >= _PIXELS,
            specific_tags=_NEEDED,
        )
        dataset.decode()
    except Exception as error:
        raise MalformedDataset(f"an element cannot be decoded ({type(error).__name__})") from error
    return dataset


def _check(dataset: Dataset, request: Request) -> None:
    """A900H unless the data set is the object that the command announced, with study and series (PS3.4 B.2.3)."""
    announced = {"SOPInstanceUID": request.sop_instance_uid, "SOPClassUID": request.sop_class_uid}
    for keyword, value in announced.items():
        if text_of(dataset, keyword) != value:
            raise Failure(DOES_NOT_MATCH_SOP_CLASS, f"{keyword} differs between command and data set", keyword)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        if not is_uid(text_of(dataset, keyword)):
            raise Failure(DOES_NOT_MATCH_SOP_CLASS, f"{keyword} is missing or no UID", keyword)


def _report(dataset: Dataset, request: Request, path: Path, digest: str) -> InstanceReport:
    return InstanceReport(
        study_instance_uid=text_of(dataset, "StudyInstanceUID"),
        series_instance_uid=text_of(dataset, "SeriesInstanceUID"),
        sop_instance_uid=text_of(dataset, "SOPInstanceUID"),
        sop_class_uid=request.sop_class_uid,
        transfer_syntax_uid=request.transfer_syntax_uid,
        path=str(path.relative_to(settings.DATA_DIR)),
        size=path.stat().st_size,
        sha256=digest,
        source_ae_title=request.calling_ae_title,
        patient=Identifier(text_of(dataset, "PatientID")[:64], text_of(dataset, "IssuerOfPatientID")[:64]),
        accession_number=text_of(dataset, "AccessionNumber")[:16],
        modality=text_of(dataset, "Modality")[:16],
    )


def _meta(request: Request) -> bytes:
    """Preamble, prefix and file meta information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(request.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(request.sop_instance_uid or "")
    meta.TransferSyntaxUID = UID(request.transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = "SUNVIEW"
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return b"\0" * 128 + b"DICM" + buffer.getvalue()


@contextmanager
def _file(*parts: bytes) -> Iterator[Path]:
    """A new durable file with these bytes; it is gone again if the block fails."""
    folder = _folder()
    path = folder / f"{uuid.uuid4()}.dcm"
    partial = path.with_suffix(".part")
    try:
        with partial.open("xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        _sync(folder)
        yield path
    except BaseException:
        partial.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise


def _folder() -> Path:
    """Today's folder below the data folder, made durable when it is new."""
    root = Path(settings.DATA_DIR)
    folder = root / "images" / f"{timezone.localdate():%Y/%m/%d}"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for parent in folder.relative_to(root).parents:
            _sync(root / parent)
    return folder


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
