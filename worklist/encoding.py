"""The gate between the network and pydicom: bytes become a Dataset that is whole, or MalformedDataset.

pydicom reads most truncated data sets without an error and takes an element that claims more bytes than there are
(reliability.md, fact 5), so structure, size and text are checked here first.
"""

import logging
import re
import warnings
from io import BytesIO
from mmap import mmap
from typing import NamedTuple

import pydicom.config
from pydicom.charset import python_encoding
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

# Values are checked here and in mpps.py; pydicom's own warnings would echo them, and they are patient data.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # pydicom sets its own level when it is imported


class Bounds(NamedTuple):
    """How deep and how long a data set may be."""

    depth: int
    elements: int
    items: int


#: Of a query or an MPPS: ten thousand references, and some.
MESSAGE = Bounds(depth=8, elements=200_000, items=20_000)
#: Of an object to store: structured reports are deep; enhanced images and segmentations have a dozen items for each of
#: thousands of frames.
OBJECT = Bounds(depth=64, elements=20_000_000, items=5_000_000)

UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SPECIFIC_CHARACTER_SET = 0x00080005
#: PS3.5 7.1.2: these have two reserved bytes and a length of four bytes in explicit VR.
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
#: PS3.5 6.1.2.3: the VRs that Specific Character Set (0008,0005) governs.
TEXT_VRS = frozenset({b"SH", b"LO", b"ST", b"LT", b"UC", b"UT", b"PN"})
_VR_OF_TAG = {tag: entry[0][:2].encode() for tag, entry in DicomDictionary.items()}


class MalformedDataset(Exception):
    """The bytes are no data set in the negotiated transfer syntax; ``str(error)`` says where, without any value."""


class TooLarge(MalformedDataset):
    """It may be whole, but is more than its ``Bounds`` allow."""


def decode(data: bytes, implicit_vr: bool, character_set: str = "ISO_IR 192") -> Dataset:
    """The data set in ``data`` (little endian), every text in it decoded.

    ``character_set`` is used where the peer sent other than ASCII without saying in which character set: real scanners
    echo the names of their worklist so. MalformedDataset if anything is left over, missing or undecodable.
    """
    walk = _Walk(data, implicit_vr)
    walk.whole()
    try:
        dataset = read_dataset(BytesIO(data), implicit_vr, True)
        if said := settle(_terms(dataset), walk.texts, character_set):
            dataset.SpecificCharacterSet = said if len(said) > 1 else said[0]
        dataset.decode()
    except (MalformedDataset, MemoryError):
        raise
    except Exception as error:  # whatever pydicom stumbles on is the sender's fault
        raise MalformedDataset(f"an element cannot be decoded ({type(error).__name__})") from error
    return dataset


def check_structure(data: bytes | mmap, implicit_vr: bool, start: int = 0) -> None:
    """MalformedDataset unless the elements of an object fill ``data`` from ``start`` on; no value is looked at."""
    _Walk(data, implicit_vr, OBJECT, keeps_texts=False).whole(start)


def texts(data: bytes, implicit_vr: bool) -> list[bytes]:
    """The raw values that Specific Character Set governs; MalformedDataset as ``decode``."""
    walk = _Walk(data, implicit_vr)
    walk.whole()
    return walk.texts


def settle(terms: list[str], texts: list[bytes], default: str) -> list[str]:
    """The defined terms by which ``texts`` are to be read, none for ASCII; MalformedDataset if they cannot be."""
    said = [_spelling(term) for term in terms]
    if unknown := [term for term in said if term and term not in python_encoding]:
        raise MalformedDataset(f"the Specific Character Set is not known ({len(unknown)} of {len(said)} terms)")
    if not any(term and term != "ISO_IR 6" for term in said):
        said = default.split("\\") if any(not text.isascii() for text in texts) else []
    # ISO 2022 switches sets inside a value: pydicom follows the escapes, only stand-alone sets are checked here.
    if len(said) <= 1 and not any(b"\x1b" in text for text in texts):
        codec = python_encoding[said[0] if said else ""]
        for text in texts:
            _check_text(text, codec)
    return said


def _terms(dataset: Dataset) -> list[str]:
    """The terms of Specific Character Set as they were sent: pydicom would decode them by themselves."""
    element = dataset.get_item(SPECIFIC_CHARACTER_SET) if SPECIFIC_CHARACTER_SET in dataset else None
    value = element.value if element is not None else None
    return value.decode("ascii", "replace").strip(" \0").split("\\") if isinstance(value, bytes) else []


def _spelling(term: str) -> str:
    """``ISO-IR 100`` and ``ISO_IR100`` are met in the field and mean ``ISO_IR 100``."""
    return re.sub(r"^ISO[ _-]?IR[ _-]?(\d+)$", r"ISO_IR \1", term.strip())


def _check_text(text: bytes, codec: str) -> None:
    try:
        text.decode(codec)
    except UnicodeDecodeError as error:
        raise MalformedDataset("a text is not in the Specific Character Set") from error


class _Walk:
    """Walks the encoded elements by their lengths, decoding nothing, and collects the raw texts."""

    def __init__(
        self, data: bytes | mmap, implicit_vr: bool, bounds: Bounds = MESSAGE, keeps_texts: bool = True
    ) -> None:
        self.data, self.implicit_vr, self._bounds, self._keeps_texts = data, implicit_vr, bounds, keeps_texts
        self.elements = self.items = 0
        self.texts: list[bytes] = []

    def whole(self, start: int = 0) -> None:
        self._elements(start, len(self.data), self.implicit_vr, 0, False)

    def _elements(self, at: int, end: int, implicit: bool, depth: int, delimited: bool) -> int:
        """Walk elements up to ``end``, or up to an item delimiter if ``delimited``; where they end."""
        if depth > self._bounds.depth:
            raise TooLarge(f"sequences are nested deeper than {self._bounds.depth}")
        before = -1
        while at < end:
            tag = self._tag(at, end)
            if delimited and tag == _ITEM_END:
                return at + 8
            if tag <= before:
                raise MalformedDataset(f"an element at byte {at} is out of order")
            before = tag
            at = self._element(tag, at, end, implicit, depth)
        if delimited:
            raise MalformedDataset("an item has no end")
        return at

    def _element(self, tag: int, at: int, end: int, implicit: bool, depth: int) -> int:
        self.elements += 1
        if self.elements > self._bounds.elements:
            raise TooLarge(f"there are more than {self._bounds.elements} elements")
        vr, length, at = self._head(tag, at, end, implicit)
        if length == UNDEFINED:
            if vr in (b"OB", b"OW"):
                return self._fragments(at, end)
            # PS3.5 6.2.2 note 3: a UN of undefined length holds a sequence in implicit VR.
            return self._items(at, end, implicit or vr == b"UN", depth, True)
        if length > end - at:
            raise MalformedDataset(f"an element at byte {at} claims more bytes than there are")
        if vr == b"SQ":
            return self._items(at, at + length, implicit, depth, False)
        if vr in TEXT_VRS and self._keeps_texts:
            self.texts.append(self.data[at : at + length])
        return at + length

    def _head(self, tag: int, at: int, end: int, implicit: bool) -> tuple[bytes, int, int]:
        """VR, length and the position of the value."""
        if implicit:
            return _VR_OF_TAG.get(tag, b"UN"), self._number(at + 4, 4, end), at + 8
        vr = self.data[at + 4 : at + 6]
        if vr in LONG_VRS:
            return vr, self._number(at + 8, 4, end), at + 12
        if vr in _SHORT_VRS:
            return vr, self._number(at + 6, 2, end), at + 8
        raise MalformedDataset(f"the element at byte {at} has no known VR")

    def _items(self, at: int, end: int, implicit: bool, depth: int, delimited: bool) -> int:
        """Walk a sequence's items, up to its delimiter if it has no length."""
        while at < end:
            tag, length = self._tag(at, end), self._number(at + 4, 4, end)
            at += 8
            if delimited and tag == _SEQUENCE_END:
                return at
            self.items += 1
            if tag != _ITEM:
                raise MalformedDataset(f"a sequence is broken at byte {at}")
            if self.items > self._bounds.items:
                raise TooLarge(f"there are more than {self._bounds.items} items")
            at = self._item(at, end, length, implicit, depth)
        if delimited:
            raise MalformedDataset("a sequence has no end")
        return at

    def _item(self, at: int, end: int, length: int, implicit: bool, depth: int) -> int:
        if length == UNDEFINED:
            return self._elements(at, end, implicit, depth + 1, True)
        if length > end - at:
            raise MalformedDataset(f"an item at byte {at} claims more bytes than there are")
        return self._elements(at, at + length, implicit, depth + 1, False)

    def _fragments(self, at: int, end: int) -> int:
        """Step over the fragments of encapsulated pixels (PS3.5 A.4) up to their delimiter."""
        while (tag := self._tag(at, end)) == _ITEM:
            at += 8 + self._number(at + 4, 4, end)
        if tag != _SEQUENCE_END:
            raise MalformedDataset(f"the fragments are broken at byte {at}")
        return at + 8

    def _tag(self, at: int, end: int) -> int:
        return self._number(at, 2, end) << 16 | self._number(at + 2, 2, end)

    def _number(self, at: int, size: int, end: int) -> int:
        if at + size > end:
            raise MalformedDataset(f"an element at byte {at} is cut off")
        return int.from_bytes(self.data[at : at + size], "little")
