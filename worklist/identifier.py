"""A worklist identifier as its elements: a fraction of the time that a Dataset takes, which is made for every query."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword

from worklist import encoding
from worklist.encoding import MalformedDataset
from worklist.keys import STEP_BY_KEYWORD, STEP_SEQUENCE

#: ISO 2022 IR 58 in G1 (PS3.3 table C.12-4).
GB2312_ESCAPE = b"\x1b$)A"
_LINES = frozenset({"ST", "LT", "UT", "UR"})
#: VRs of binary numbers -> their format.
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_PERSON_DELIMITERS, _TEXT_DELIMITERS = {0x5E, 0x3D, 0x5C}, {0x0D, 0x0A, 0x09, 0x0C, 0x5C}


@dataclass(frozen=True, slots=True)
class Element:
    """One attribute of an identifier: its values as texts without their padding, none where all match; ``items`` of a
    sequence. ``keyword`` is empty for what is not in the data dictionary."""

    tag: int
    keyword: str
    vr: str
    values: tuple[str, ...] = ()
    items: tuple["Identifier", ...] = ()

    @property
    def sought(self) -> tuple[str, ...]:
        """The values that are asked for; none for universal matching.

        A stack that cannot write an empty US sends 0 (dcmjs does, unasked), and 0 is no Pregnancy Status (PS3.3 C.3.4).
        """
        return tuple(value for value in self.values if (self.vr, value) != ("US", "0"))

    @property
    def is_private(self) -> bool:
        return bool(self.tag >> 16 & 1)

    @property
    def is_group_length(self) -> bool:
        return not self.tag & 0xFFFF


Identifier = tuple[Element, ...]


def read(data: bytes, implicit_vr: bool, character_set: str = "ISO_IR 192") -> Identifier:
    """The elements in ``data`` (little endian); ``character_set`` and MalformedDataset as in ``encoding.decode``."""
    texts = encoding.texts(data, implicit_vr)
    try:
        terms = encoding.settle(_Reader(data).terms(implicit_vr), texts, character_set)
        return _Reader(data, terms).elements(0, len(data), implicit_vr)[0]
    except (struct.error, ValueError, LookupError) as error:
        raise MalformedDataset(f"an element cannot be decoded ({type(error).__name__})") from error


def keys(identifier: Identifier) -> Iterator[tuple[str, str]]:
    """What an identifier asks to match: (keyword, value) of each key with a value, as ``asking`` takes them.

    Timezone Offset From UTC (0008,0201) is among them: it says what the dates and times mean.
    """
    for element in identifier:
        nested = [key for item in element.items for key in keys(item)]
        if element.keyword == STEP_SEQUENCE:
            yield from nested
        elif element.items:
            yield from ((f"{element.keyword}.{keyword}", value) for keyword, value in nested)
        elif element.sought and not element.is_group_length and element.keyword != "SpecificCharacterSet":
            yield element.keyword or f"{element.tag:08X}", "\\".join(element.sought)


def asking(keys: Mapping[str, str]) -> Identifier:
    """An identifier with these keys, as ``Keyword`` or ``Sequence.Keyword``, each where Table K.6-1 has it; several
    values with backslashes. Keys of one sequence are in one item."""
    beside: list[Element] = []
    inside: list[Element] = []
    items: dict[str, list[Element]] = {}
    for path, value in keys.items():
        sequence, _dot, keyword = path.rpartition(".")
        element = _element(keyword, values=tuple(part for part in value.split("\\") if part))
        if sequence:
            items.setdefault(sequence, []).append(element)
        else:
            (inside if keyword in STEP_BY_KEYWORD else beside).append(element)
    for sequence, nested in items.items():
        (inside if sequence in STEP_BY_KEYWORD else beside).append(_element(sequence, items=(tuple(nested),)))
    return (*beside, *([_element(STEP_SEQUENCE, items=(tuple(inside),))] if inside else ()))


def _element(keyword: str, values: tuple[str, ...] = (), items: tuple[Identifier, ...] = ()) -> Element:
    tag = tag_for_keyword(keyword) or 0
    return Element(tag, keyword, dictionary_VR(tag), values, items)


@lru_cache(maxsize=4096)
def _known(tag: int) -> tuple[str, str]:
    """Keyword and VR of the data dictionary; of two VRs the first, which is all that matching needs."""
    entry = DicomDictionary.get(tag)
    return (entry[4], entry[0][:2]) if entry else ("", "UN")


class _Reader:
    """Reads elements whose structure has been checked, so that lengths are taken as they stand."""

    def __init__(self, data: bytes, terms: Sequence[str] = ()) -> None:
        self._data = data
        self._codec = python_encoding[terms[0] if terms else ""]
        self._encodings = convert_encodings(list(terms)) if len(terms) > 1 else [self._codec]

    def terms(self, implicit: bool) -> list[str]:
        """The terms of Specific Character Set (0008,0005), which is among the first elements."""
        at = 0
        while at < len(self._data):
            group, number = struct.unpack_from("<HH", self._data, at)
            _vr, length, value = self._head(at, implicit)
            if group << 16 | number == encoding.SPECIFIC_CHARACTER_SET:
                return self._data[value : value + length].decode("ascii", "replace").strip(" \0").split("\\")
            if group > 8 or length == encoding.UNDEFINED:
                break
            at = value + length
        return []

    def elements(self, at: int, end: int, implicit: bool) -> tuple[Identifier, int]:
        """The elements up to ``end`` or to an item delimiter, and where they end."""
        found: list[Element] = []
        while at < end:
            group, number = struct.unpack_from("<HH", self._data, at)
            if group == 0xFFFE:
                return tuple(found), at + 8
            element, at = self._element(group << 16 | number, at, end, implicit)
            found.append(element)
        return tuple(found), at

    def _element(self, tag: int, at: int, end: int, implicit: bool) -> tuple[Element, int]:
        said, length, at = self._head(at, implicit)
        keyword, vr = _known(tag)
        if said not in ("", "UN"):
            vr = said
        if length == encoding.UNDEFINED or vr == "SQ":
            # PS3.5 6.2.2 note 3: a UN of undefined length holds a sequence in implicit VR.
            last = end if length == encoding.UNDEFINED else at + length
            items, at = self._items(at, last, implicit or said == "UN")
            return Element(tag, keyword, "SQ", items=items), at
        return Element(tag, keyword, vr, self._values(self._data[at : at + length], vr)), at + length

    def _head(self, at: int, implicit: bool) -> tuple[str, int, int]:
        """VR as it is said, none in implicit VR, length and where the value begins."""
        if implicit:
            return "", struct.unpack_from("<L", self._data, at + 4)[0], at + 8
        vr = self._data[at + 4 : at + 6]
        form, size = ("<L", 12) if vr in encoding.LONG_VRS else ("<H", 8)
        return vr.decode("ascii"), struct.unpack_from(form, self._data, at + (8 if size == 12 else 6))[0], at + size

    def _items(self, at: int, end: int, implicit: bool) -> tuple[tuple[Identifier, ...], int]:
        found: list[Identifier] = []
        while at < end:
            _group, number, length = struct.unpack_from("<HHL", self._data, at)
            at += 8
            if number != 0xE000:
                return tuple(found), at
            item, at = self.elements(at, end if length == encoding.UNDEFINED else at + length, implicit)
            found.append(item)
        return tuple(found), at

    def _values(self, raw: bytes, vr: str) -> tuple[str, ...]:
        if not raw:
            return ()
        if vr in _NUMBERS:
            return tuple(str(number) for (number,) in struct.iter_unpack("<" + _NUMBERS[vr], raw))
        text = self._text(raw, vr)
        parts = [text] if vr in _LINES else text.split("\\")
        return tuple(value for part in parts if (value := part.strip(" \0")))

    def _text(self, raw: bytes, vr: str) -> str:
        if vr.encode() not in encoding.TEXT_VRS:
            return raw.decode("latin-1")
        if len(self._encodings) == 1 and b"\x1b" not in raw:
            return raw.decode(self._codec)
        if GB2312_ESCAPE in raw:  # pydicom leaves the escape sequence in the text
            return raw.replace(GB2312_ESCAPE, b"").decode("gb2312")
        return decode_bytes(raw, self._encodings, _PERSON_DELIMITERS if vr == "PN" else _TEXT_DELIMITERS)
