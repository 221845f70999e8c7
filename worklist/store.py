"""C-STORE (PS3.4 annex B): an image is answered with success once its file and its record are both durable.

The bytes are written as they come, under a name of our own; pixels are never decoded, and no object is ever whole in
memory. Preamble and file meta information are made here: nothing a peer put in front of "DICM" reaches the disk.
"""

import hashlib
import logging
import mmap
import os
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from ris.identifiers import is_uid
from ris.inputs import Actor, Identifier, InstanceReport
from ris.services import images
from worklist import encoding
from worklist.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, SUCCESS, Answer, Request
from worklist.encoding import MalformedDataset
from worklist.mpps_rules import text_of
from worklist.status import DOES_NOT_MATCH_SOP_CLASS, INVALID_SOP_INSTANCE, Failure

logger = logging.getLogger(__name__)

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
#: Longest value in bytes of what is needed: a peer may claim more in implicit VR, and it would be read into memory.
_LONGEST_NEEDED = 1024
_LONGEST_UID = 64
_PARTIAL = ".part"
#: A partial file that nobody has written to for so many seconds belongs to nobody.
_QUIET_SECONDS = 3600


def incoming(request: Request) -> BinaryIO:
    """A new file for the object that ``request`` announces, with all that stands in front of its data set.

    It is on the file system of the images, so that it only has to be renamed.
    """
    folder = _incoming()
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{uuid.uuid4()}{_PARTIAL}").open("xb")
    file.write(_head(request))
    return file


def remove_left() -> None:
    """Remove what a process that was killed left behind, at a start and by the worker every hour.

    Other processes may be receiving: only what has been quiet.
    """
    for path in _incoming().glob(f"*{_PARTIAL}"):
        if time.time() - path.stat().st_mtime > _QUIET_SECONDS:
            path.unlink(missing_ok=True)


def store(request: Request) -> Answer:
    """Keep one instance. The same instance again is answered with success and kept once."""
    uid = request.sop_instance_uid or ""
    if not is_uid(uid):
        raise Failure(INVALID_SOP_INSTANCE, "The SOP Instance UID is no UID")
    if request.file is None:
        raise MalformedDataset("the data set is missing")
    dataset, digest = _read(request.file, request)
    _check(dataset, request)
    with _placed(request.file) as path:
        report = _report(dataset, request, path, digest)
        instance, created = images.record(report, Actor(kind="DICOM", name=request.calling_ae_title))
        if not created:
            path.unlink()
    if instance.sha256 != digest:
        logger.warning("%s sent %s again with other content: the first is kept", request.calling_ae_title, uid)
    return Answer(status=SUCCESS)


def _read(path: Path, request: Request) -> tuple[Dataset, str]:
    """The few attributes that are needed, and the SHA-256 of the data set. The file is mapped, not read into memory."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        encoding.check_structure(data, request.implicit_vr, request.file_offset)
        with memoryview(data) as whole, whole[request.file_offset :] as encoded:
            digest = hashlib.sha256(encoded).hexdigest()
        file.seek(request.file_offset)
        try:
            dataset = read_dataset(
                file, request.implicit_vr, is_little_endian=True, stop_when=_is_enough, specific_tags=_NEEDED
            )
            dataset.decode()
        except MalformedDataset:
            raise
        except Exception as error:
            raise MalformedDataset(f"an element cannot be decoded ({type(error).__name__})") from error
    return dataset, digest


def _is_enough(tag: BaseTag, _vr: str | None, length: int) -> bool:
    if tag in _NEEDED and length > _LONGEST_NEEDED:
        raise MalformedDataset(f"{tag} is too long")
    return tag >= _PIXELS


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


def _head(request: Request) -> bytes:
    """Preamble, prefix and file meta information (PS3.10 7.1), in explicit VR little endian."""
    elements = b"".join(
        (
            struct.pack("<HH2sxxL", 2, 0x0001, b"OB", 2) + b"\x00\x01",
            _meta(0x0002, b"UI", request.sop_class_uid),
            _meta(0x0003, b"UI", request.sop_instance_uid or ""),
            _meta(0x0010, b"UI", request.transfer_syntax_uid),
            _meta(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _meta(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    return bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(elements)) + elements


def _meta(element: int, vr: bytes, text: str) -> bytes:
    value = text[:_LONGEST_UID].encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


@contextmanager
def _placed(partial: Path) -> Iterator[Path]:
    """The durable file at its place under today's folder; it is gone again if the block fails."""
    folder = _folder()
    path = folder / f"{uuid.uuid4()}.dcm"
    _sync(partial)
    try:
        partial.rename(path)
        _sync(folder)
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _incoming() -> Path:
    return Path(settings.DATA_DIR) / "images" / "incoming"


def _folder() -> Path:
    """Today's folder below the data folder, made durable when it is new."""
    root = Path(settings.DATA_DIR)
    folder = root / "images" / f"{timezone.localdate():%Y/%m/%d}"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for parent in folder.relative_to(root).parents:
            _sync(root / parent)
    return folder


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
