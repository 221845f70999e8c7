"""Identifiers as they are read for a query: what pydicom would have read, or MalformedDataset."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from tests.worklist.test_encoding import encoded
from worklist import encoding, identifier
from worklist.encoding import MalformedDataset

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12).map(
    lambda text: text.replace("\\", "").replace("=", "").strip().rstrip("^ ")
)
WORD = st.text("ABC*?0123456789-", max_size=8)


@st.composite
def datasets(draw, depth: int = 0) -> Dataset:
    """Keys of many VRs, empty or not, nested."""
    found = Dataset()
    for keyword, values in (
        ("AccessionNumber", WORD),
        ("Modality", st.one_of(WORD, st.lists(st.sampled_from(["CT", "MR"]), min_size=2, max_size=3))),
        ("PatientName", TEXT),
        ("RequestedProcedureDescription", TEXT),
        ("PatientComments", TEXT),
        ("StudyInstanceUID", st.sampled_from(["", "1.2.3", ["1.2", "1.2.3"]])),
        ("ScheduledProcedureStepStartDate", WORD),
        ("PregnancyStatus", st.one_of(st.none(), st.integers(0, 9))),
        ("PatientWeight", st.sampled_from(["", "71.50", "0"])),
    ):
        if draw(st.booleans()):
            setattr(found, keyword, draw(values))
    if depth < 3 and draw(st.booleans()):
        items = draw(st.lists(datasets(depth + 1), max_size=2))
        found.ScheduledProcedureStepSequence = items
        found["ScheduledProcedureStepSequence"].is_undefined_length = draw(st.booleans())
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
    return found


def plain(dataset: Dataset) -> dict:
    """A Dataset as texts: a reference."""
    found = {}
    for element in dataset:
        if element.VR == "SQ":
            found[element.keyword] = [plain(item) for item in element.value]
        else:
            values = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
            found[element.keyword] = [text for one in values if one is not None and (text := str(one).strip(" \0"))]
    return found


def plain_of(elements: identifier.Identifier) -> dict:
    return {
        element.keyword: [plain_of(item) for item in element.items] if element.vr == "SQ" else list(element.values)
        for element in elements
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dataset=datasets(), implicit=st.booleans(), character_set=st.sampled_from(["ISO_IR 192", "GB18030"]))
def test_it_is_read_as_pydicom_reads_it(dataset, implicit, character_set):
    """Every VR that a query has, in both transfer syntaxes, sequences with and without length."""
    dataset.SpecificCharacterSet = character_set
    data = encoded(dataset, implicit)
    assert plain_of(identifier.read(data, implicit)) == plain(encoding.decode(data, implicit))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dataset=datasets(), implicit=st.booleans(), at=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_bytes_are_malformed_or_read(dataset, implicit, at, byte):
    """Nothing else is raised, however the bytes are damaged."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    data = bytearray(encoded(dataset, implicit))
    data[at % len(data)] = byte
    for damaged in (bytes(data), bytes(data[: at % len(data)])):
        try:
            identifier.read(damaged, implicit)
        except MalformedDataset:
            continue


def test_every_truncation_is_malformed():
    """A900H for what is cut off inside an element; what is cut between two is a shorter identifier."""
    dataset = Dataset()
    dataset.SpecificCharacterSet, dataset.PatientName, dataset.PatientID = "ISO_IR 192", "Müller^Jürgen", "P1"
    data = encoded(dataset, False)
    whole = 0
    for length in range(len(data)):
        try:
            identifier.read(data[:length], False)
            whole += 1
        except MalformedDataset:
            continue
    assert whole == 3  # nothing, and after each of two elements


@pytest.mark.parametrize(
    ("character_set", "raw"), [("ISO_IR 192", b"M\xfcller"), ("ISO_IR 6", b"M\xff"), ("ISO_IR 999", b"M")]
)
def test_a_text_in_another_set_is_malformed(character_set, raw):
    """Bytes that are none of the declared set, and a set that nobody knows."""
    head = b"\x08\x00\x05\x00CS\x0a\x00" + character_set.encode().ljust(10)
    data = head + b"\x10\x00\x10\x00PN" + (len(raw) + len(raw) % 2).to_bytes(2, "little") + raw + b" " * (len(raw) % 2)
    with pytest.raises(MalformedDataset):
        identifier.read(data, False, "ISO_IR 192")


def test_an_undeclared_set_is_the_stations(db):
    """Scanners echo names without saying in which set."""
    data = b"\x10\x00\x10\x00PN\x06\x00M\xfcller"
    assert identifier.read(data, False, "ISO_IR 100")[0].values == ("Müller",)
