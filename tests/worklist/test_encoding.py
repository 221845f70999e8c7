"""The gate: what is no whole data set never gets in."""

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from worklist import encoding
from worklist.encoding import MalformedDataset


def encoded(dataset: Dataset, implicit: bool) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def sample() -> Dataset:
    item, nested = Dataset(), Dataset()
    nested.CodeValue, nested.CodeMeaning = "1", "Röntgen"
    item.ScheduledProcedureStepID, item.ScheduledProtocolCodeSequence = "S1", [nested, nested]
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientWeight = "Müller^Jürgen", "71.5"
    dataset.ScheduledProcedureStepSequence = [item]
    dataset.PregnancyStatus = 4
    return dataset


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_a_good_data_set_is_read(implicit, undefined):
    """Both transfer syntaxes, sequences with and without a length, text in its character set."""
    dataset = sample()
    dataset["ScheduledProcedureStepSequence"].is_undefined_length = undefined
    read = encoding.decode(encoded(dataset, implicit), implicit)
    assert read.PatientName == "Müller^Jürgen"
    assert read.ScheduledProcedureStepSequence[0].ScheduledProtocolCodeSequence[1].CodeMeaning == "Röntgen"


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_no_truncation_gets_in(implicit, undefined):
    """Every prefix is refused, or is a whole smaller data set (reliability.md, fact 5)."""
    dataset = sample()
    dataset["ScheduledProcedureStepSequence"].is_undefined_length = undefined
    whole = encoded(dataset, implicit)
    taken = 0
    for length in range(1, len(whole)):
        try:
            part = encoding.decode(whole[:length], implicit)
        except MalformedDataset:
            continue
        assert encoded(part, implicit) == whole[:length]
        taken += 1
    assert taken < len(list(sample()))


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_refused_and_never_crashes(data, implicit):
    """Any bytes are a data set or MalformedDataset."""
    with contextlib.suppress(MalformedDataset):
        encoding.decode(data, implicit)


def element(tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH", *tag) + vr + struct.pack("<H", len(value)) + value


@pytest.mark.parametrize(
    "data",
    [
        element((0x0010, 0x0010), b"ZZ", b"ab"),
        struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", 5000) + b"ab",
        element((0x0010, 0x0020), b"LO", b"ab") + element((0x0010, 0x0010), b"PN", b"ab"),
        element((0x0008, 0x0005), b"CS", b"ISO_IR 999 "),
        element((0x0008, 0x0005), b"CS", b"ISO_IR 192") + element((0x0010, 0x0010), b"PN", b"M\xfcller"),
        element((0x0010, 0x0010), b"PN", b"M\xfcller"),
    ],
    ids=["unknown VR", "length beyond the end", "order", "character set", "not that character set", "not UTF-8"],
)
def test_malformed_elements_are_refused(data):
    """Structure and text are checked before pydicom sees them."""
    with pytest.raises(MalformedDataset):
        encoding.decode(data, implicit_vr=False)


def test_undeclared_text_is_read_as_the_station_is_set():
    """A scanner that echoes its worklist's names without saying the character set is understood."""
    data = element((0x0010, 0x0010), b"PN", b"M\xfcller")
    assert encoding.decode(data, False, "ISO_IR 100").PatientName == "Müller"


@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
def test_a_misspelled_character_set_is_understood():
    """ISO-IR 100 is met in the field."""
    data = element((0x0008, 0x0005), b"CS", b"ISO-IR 100") + element((0x0010, 0x0010), b"PN", b"M\xfcller")
    assert encoding.decode(data, False).PatientName == "Müller"


def test_japanese_code_extensions_are_read():
    """ISO 2022 switches character sets inside a value (PS3.5 H.3)."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎"
    assert encoding.decode(encoded(dataset, True), True).PatientName == "Yamada^Tarou=山田^太郎"


def test_depth_and_items_are_bounded():
    """Nesting beyond eight, or twenty thousand items, ends the reading."""
    deep = Dataset()
    for _ in range(10):
        outer = Dataset()
        outer.ScheduledProtocolCodeSequence = [deep]
        deep = outer
    with pytest.raises(MalformedDataset, match="nested"):
        encoding.decode(encoded(deep, True), True)
    items = struct.pack("<HHL", 0x0040, 0x0100, 8 * 20_001) + struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 20_001
    with pytest.raises(MalformedDataset, match="items"):
        encoding.decode(items, True)


def test_encapsulated_pixels_are_stepped_over():
    """Fragments are not data sets (PS3.5 A.4)."""
    head = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    fragment = struct.pack("<HHL", 0xFFFE, 0xE000, 4) + b"\xff\xd8\xff\xd9"
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    encoding.check_structure(head + fragment + fragment + end, implicit_vr=False)
    with pytest.raises(MalformedDataset):
        encoding.check_structure(head + fragment + fragment[:-1], implicit_vr=False)
