"""C-STORE: durable before 0000H, nothing left behind after a failure."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit
from pynetdicom import AE

from ris.models import Instance, Study
from ris.services import images as image_service
from tests import making
from tests.worklist.test_encoding import encoded
from worklist import handling, store
from worklist.dimse import Request
from worklist.emulator import Modality, PerformedExam, Refused
from worklist.synthetic import image

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def exam(scanner: Modality) -> PerformedExam:
    making.placed()
    return PerformedExam("1.2.3", scanner.find()[0], "CT")


def files() -> list[Path]:
    return [path for path in (Path(settings.DATA_DIR) / "images").rglob("*") if path.is_file()]


def refused(scanner: Modality, sent: Dataset) -> int | None:
    with pytest.raises(Refused) as info:
        scanner.send([sent])
    assert not Instance.objects.exists() and not files()
    return info.value.status


def test_an_image_is_kept_as_it_came(scanner, exam):
    """The file is a DICOM file with our meta information and the sender's bytes."""
    (sent,) = scanner.store(exam, 1)
    instance = Instance.objects.get()
    path = Path(settings.DATA_DIR) / instance.path
    assert files() == [path]
    assert instance.path.startswith("images/20") and instance.size == path.stat().st_size
    kept = dcmread(path)
    assert kept.PixelData == sent.PixelData
    assert (kept.SOPInstanceUID, kept.file_meta.MediaStorageSOPInstanceUID) == (sent.SOPInstanceUID,) * 2
    assert kept.file_meta.ImplementationVersionName == "SUNVIEW"
    assert path.read_bytes()[:128] == b"\0" * 128
    assert Study.objects.get().mismatch == ""


def nested(depth: int) -> Dataset:
    item = Dataset()
    item.ContentSequence = [nested(depth - 1)] if depth else []
    return item


def test_deep_and_long_objects_are_kept(scanner, exam):
    """A report nested thirty deep, and an image with more items than any message may have."""
    (sent,) = scanner.store(exam, 1)
    sent.SOPInstanceUID, sent.ContentSequence = "1.2.3.1", [nested(30)]
    sent.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(25_000)]
    scanner.send([sent])
    assert Instance.objects.count() == 2


def test_the_same_image_again_changes_nothing(scanner, exam, caplog):
    """0000H, one file, one row; other content under the same UID is logged and not kept."""
    (sent,) = scanner.store(exam, 1)
    scanner.send([sent])
    assert (Instance.objects.count(), len(files())) == (1, 1)
    assert "other content" not in caplog.text
    sent.PixelData = bytes(4096)
    scanner.send([sent])
    assert (Instance.objects.count(), len(files())) == (1, 1)
    assert "other content" in caplog.text


def test_compressed_images_are_not_touched(scanner, exam):
    """JPEG travels and is kept in its own transfer syntax."""
    sent = image(exam, 1)
    sent.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    sent.PixelData = encapsulate([b"\xff\xd8 not really \xff\xd9"])
    sent["PixelData"].VR, sent["PixelData"].is_undefined_length = "OB", True
    caller = AE(ae_title="CT1")
    caller.add_requested_context(sent.SOPClassUID, JPEGBaseline8Bit)
    association = caller.associate(*scanner.store_address, ae_title="SUNVIEW")
    assert association.send_c_store(sent).Status == 0x0000
    association.release()
    assert Instance.objects.get().transfer_syntax_uid == JPEGBaseline8Bit


def test_uids_that_are_none(scanner, exam):
    """0117H for the instance's, A900H for study and series, and no file."""
    for uid in ("../../etc/passwd", "1.2.03", "abc"):
        sent = image(exam, 1)
        sent.SOPInstanceUID = uid
        assert refused(scanner, sent) == 0x0117, uid
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        sent = image(exam, 1)
        setattr(sent, keyword, "")
        assert refused(scanner, sent) == 0xA900, keyword


def answered(sent: Dataset, length: int | None = None, **parts) -> int:
    """The status for an object that came in with so many bytes of its data set."""
    facts = {
        "verb": "C-STORE",
        "calling_ae_title": "CT1",
        "sop_class_uid": str(sent.SOPClassUID),
        "sop_instance_uid": str(sent.SOPInstanceUID),
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
    }
    request = Request(**{**facts, **parts})
    with store.incoming(request) as file:
        offset = file.tell()
        file.write(encoded(sent, implicit=False)[:length])
    status = handling.answer(store.store, replace(request, file=Path(file.name), file_offset=offset)).status
    Path(file.name).unlink(missing_ok=True)
    return status


def test_the_command_must_name_the_object(scanner, exam):
    """A900H if the command announces another instance or class than the data set is."""
    sent = image(exam, 1)
    assert answered(sent, sop_instance_uid="1.2.3") == 0xA900
    assert answered(sent, sop_class_uid="1.2.840.10008.5.1.4.1.1.4") == 0xA900
    assert not files()


def test_a_truncated_image_is_refused(scanner, exam):
    """C000H, no file."""
    for length in (10, 200, -1):
        assert answered(image(exam, 1), length) == 0xC000
    assert not files()


def test_a_full_disk_is_told(scanner, exam, monkeypatch):
    """A700H, no file, no row; the next image is taken."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store.os, "fsync", full)
        assert refused(scanner, image(exam, 1)) == 0xA700
    scanner.store(exam, 1)


def test_without_the_database_no_file_stays(scanner, exam, monkeypatch):
    """A700H and nothing on the disk when the record cannot be made."""

    def gone(*_args: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(image_service, "record", gone)
    assert refused(scanner, image(exam, 1)) == 0xA700


def test_an_image_of_no_order_is_kept(scanner, exam):
    """Reality is never refused: the study waits for reconciliation."""
    sent = image(exam, 1)
    sent.StudyInstanceUID, sent.AccessionNumber = "1.2.3.4.5", "NOBODY"
    scanner.send([sent])
    assert Study.objects.get().mismatch == "UNSCHEDULED"
