"""A worklist entry as the bytes of an answer: only what was asked for, in the scanner's character set.

pydicom takes about a millisecond for one answer, so the few VRs of a worklist are written here; the tests read what is
written with pydicom, and write it again.
"""

import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

from ris.models import Station, plain_letters
from worklist.entry import Entry
from worklist.identifier import Identifier
from worklist.keys import BY_KEYWORD, Key
from worklist.repertoire import repertoire

#: PS3.5 6.2: the most characters of a value, for a person name of each component group.
_LENGTH = {"SH": 16, "CS": 16, "AE": 16, "DS": 16, "LO": 64, "PN": 64, "ST": 1024, "LT": 10240}
#: The VRs that Specific Character Set (0008,0005) governs (PS3.5 6.1.2.3), and those of them with several lines.
_TEXTS = frozenset({"SH", "LO", "PN", "ST", "LT", "UC", "UT"})
_LINES = frozenset({"ST", "LT", "UT"})
#: A length of two bytes holds no more in explicit VR (PS3.5 7.1.2).
_MOST_BYTES = 0xFFFE
_LONG_VRS = frozenset({"SQ", "UC", "UT", "UR"})
_SPECIFIC_CHARACTER_SET, _ITEM = 0x00080005, struct.pack("<HH", 0xFFFE, 0xE000)


#: The keywords that a query names, each with those inside it, if it is a sequence and names any.
Names = tuple[tuple[str, "Names | None"], ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """The attributes that a query names, in the order of their tags: (key, what is asked of its items or None).

    ``character_set``: Specific Character Set (0008,0005) itself is among them. The same names are one object.
    """

    keys: tuple[tuple[Key, "Asked | None"], ...]
    character_set: bool = False

    @cached_property
    def keywords(self) -> tuple[str, ...]:
        """All of them by name, those inside a sequence after it."""
        return tuple(name for key, inside in self.keys for name in (key.keyword, *(inside.keywords if inside else ())))


def asked(identifier: Identifier) -> Asked:
    """What an identifier names of Table K.6-1; an empty sequence asks for all that its items have (PS3.4 C.2.2.2.6)."""
    return _asked(_names(identifier, BY_KEYWORD), any(one.keyword == "SpecificCharacterSet" for one in identifier))


def _names(identifier: Identifier, table: Mapping[str, Key]) -> Names:
    return tuple(
        (key.keyword, _names(one.items[0], key.by_keyword) if one.items and _says(one.items[0]) else None)
        for one in identifier
        if (key := table.get(one.keyword))
    )


def _says(item: Identifier) -> bool:
    """Whether an item names anything, known or not; a group length is nothing (PS3.5 7.2)."""
    return any(not element.is_group_length for element in item)


@lru_cache(maxsize=256)
def _asked(names: Names, character_set: bool = False) -> Asked:
    return _keys(names, BY_KEYWORD, character_set)


def _keys(names: Names, table: Mapping[str, Key], character_set: bool = False) -> Asked:
    found = []
    for keyword, inside in names:
        key = table[keyword]
        found.append((key, (whole(key) if inside is None else _keys(inside, key.by_keyword)) if key.items else None))
    return Asked(tuple(found), character_set)


def whole(key: Key) -> Asked:
    """All that the items of a sequence have."""
    keys = sorted(key.items, key=lambda inside: inside.tag)
    return Asked(tuple((inside, whole(inside) if inside.items else None) for inside in keys))


def everything() -> Asked:
    """Every attribute of Table K.6-1."""
    keys = sorted(BY_KEYWORD.values(), key=lambda key: key.tag)
    return Asked(tuple((key, whole(key) if key.items else None) for key in keys))


@dataclass(frozen=True)
class Form:
    """How an answer is written: for one set of asked keys, transfer syntax, character set and policy."""

    asked: Asked
    implicit_vr: bool
    character_set: str
    overlong: str = Station.Overlong.CUT


class Writer:
    """Writes entries in one form, each once: an entry is replaced when anything in it changes."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._repertoire = repertoire(form.character_set)
        self._cuts = form.overlong == Station.Overlong.CUT
        self._written: dict[int, tuple[Entry, bytes, tuple[str, ...]]] = {}
        self._lock = threading.Lock()
        self._lost: list[str] = []
        self._extended = False

    def write(self, entry: Entry) -> tuple[bytes, tuple[str, ...]]:
        """The encoded answer, and the keywords of the texts that the character set could not carry."""
        kept = self._written.get(entry.pk)
        if kept is None or kept[0] is not entry:
            with self._lock:
                kept = self._written[entry.pk] = (entry, *self._encode(entry))
        return kept[1], kept[2]

    def __len__(self) -> int:
        return len(self._written)

    def forget(self, pk: int) -> None:
        self._written.pop(pk, None)

    def _encode(self, entry: Entry) -> tuple[bytes, tuple[str, ...]]:
        self._lost, self._extended = [], False
        body = self._elements(entry, self._form.asked)
        if (self._form.asked.character_set or self._extended) and not self._repertoire.is_default:
            body = self._element(_SPECIFIC_CHARACTER_SET, "CS", self._repertoire.value) + body
        return body, tuple(dict.fromkeys(self._lost))

    def _elements(self, row: Any, wanted: Asked) -> bytes:
        return b"".join(self._attribute(row, key, nested) for key, nested in wanted.keys)

    def _attribute(self, row: Any, key: Key, nested: Asked | None) -> bytes:
        """Type 1C and 3 without a value are left out, Type 2 is sent empty (PS3.5 7.4)."""
        value = key.value(row)
        if value in (None, "", [], ()):
            return b"" if key.return_type in ("1C", "3") else self._element(key.tag, key.vr, b"")
        if nested is not None:
            items = (self._elements(item, nested) for item in value)
            return self._element(key.tag, "SQ", b"".join(_ITEM + _size(item) + item for item in items))
        return self._element(key.tag, key.vr, self._value(value, key))

    def _element(self, tag: int, vr: str, value: bytes) -> bytes:
        if len(value) % 2:
            value += b"\0" if vr == "UI" else b" "
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if self._form.implicit_vr:
            return head + _size(value) + value
        if vr in _LONG_VRS:
            return head + vr.encode() + b"\0\0" + _size(value) + value
        return head + vr.encode() + struct.pack("<H", len(value)) + value

    def _value(self, value: Any, key: Key) -> bytes:
        if isinstance(value, str):
            return self._person(value, key) if key.vr == "PN" else self._text(value, key)
        return _OTHERS[type(value)](value)

    def _person(self, name: str, key: Key) -> bytes:
        """At most three component groups; what stands in the second and third is left out if it cannot be written."""
        groups = name.replace("\\", "/").split("=")[:3]
        if self._cuts:
            groups = [group[: _LENGTH["PN"]].rstrip("^ ") for group in groups]
        said = [self._sayable(group, key, leave_out=index > 0) for index, group in enumerate(groups)]
        return self._bytes("=".join(said).rstrip("= "))

    def _text(self, text: str, key: Key) -> bytes:
        vr = key.vr
        if vr not in _LINES:  # one line, and the backslash parts values (PS3.5 6.2)
            text = " ".join(text.replace("\\", "/").split())
        if self._cuts and not key.is_identifier:
            text = text[: _LENGTH.get(vr)]
        said = self._bytes(self._sayable(text, key).rstrip(" ")) if vr in _TEXTS else text.encode("ascii", "replace")
        return said if len(said) <= _MOST_BYTES else self._bytes(self._sayable(text[: _LENGTH.get(vr)], key))

    def _sayable(self, text: str, key: Key, leave_out: bool = False) -> str:
        """The text as the character set can carry it: without accents, then with ``?``, where it cannot."""
        if text.isascii() or self._repertoire.encode(text) is not None:
            return text
        self._lost.append(key.keyword)
        if leave_out:
            return ""
        return plain_letters(text).encode("ascii", "replace").decode("ascii")

    def _bytes(self, text: str) -> bytes:
        self._extended = self._extended or not text.isascii()
        return self._repertoire.encode(text) or b""


def _size(value: bytes) -> bytes:
    return struct.pack("<L", len(value))


def _decimal(value: Decimal) -> bytes:
    """DS: at most 16 characters."""
    text = str(value.normalize()) if abs(value) < 1 else f"{value:f}"
    return text[:16].encode("ascii")


#: Values that are no text -> their bytes (DA, TM, DS, US, AE with several values).
_OTHERS: dict[type, Callable[[Any], bytes]] = {
    date: lambda value: f"{value:%Y%m%d}".encode(),
    time: lambda value: f"{value:%H%M%S}".encode(),
    Decimal: _decimal,
    int: lambda value: struct.pack("<H", value),
    list: lambda value: "\\".join(value).encode("ascii", "replace"),
}
