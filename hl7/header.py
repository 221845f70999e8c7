"""The beginning of reading a message: its delimiters, its MSH segment and its character set (HL7 v2.5.1 2.14.9).

MSH is looked for in bytes, so that even a message that cannot be read further is answered with the right MSA-2.
"""

import codecs
import re
from dataclasses import dataclass
from typing import NamedTuple

NULL = '""'

#: ISO registration number -> part of ISO 8859 (PS3.3 C.12.1.1.2).
_DICOM_REPERTOIRES = ((100, 1), (101, 2), (109, 3), (110, 4), (144, 5), (127, 6), (126, 7), (138, 8), (148, 9))

#: MSH-18 as it is written in the wild (table 0211 and beyond) -> Python codec. Compared without case, blanks and signs.
CHARACTER_SETS = {
    "ASCII": "utf-8",
    "UNICODE": "utf-8",
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    **{
        f"88591{n}" if n else "88591": f"iso8859-1{n}" if n else "iso8859-1" for n in ("", "0", "1", "3", "4", "5", "6")
    },
    **{f"8859{n}": f"iso8859-{n}" for n in range(2, 10)},
    **{f"{prefix}125{n}": f"cp125{n}" for n in range(9) for prefix in ("CP", "WINDOWS", "ANSI")},
    "ISOIR6": "utf-8",
    # DICOM's terms, and others' names of the same
    **{f"ISOIR{ir}": f"iso8859-{n}" for ir, n in _DICOM_REPERTOIRES},
    "ISOIR192": "utf-8",
    "USASCII": "utf-8",
    "LATIN1": "iso8859-1",
    "LATIN2": "iso8859-2",
    "LATIN9": "iso8859-15",
    **{f"{prefix}{page}": f"cp{page}" for page in (437, 850, 852) for prefix in ("CP", "IBM")},
    "GB2312": "gb18030",
    "GBK": "gb18030",
    "SHIFTJIS": "cp932",
    "SJIS": "cp932",
    "EUCJP": "euc_jp",
    "EUCKR": "euc_kr",
    "ISOIR13": "iso2022_jp_ext",
    "ISOIR14": "iso2022_jp_ext",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "JAS2020": "iso2022_jp_ext",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    "KSX1001": "euc_kr",
    "BIG5": "big5",
}

_HEADER = re.compile(rb"(?:^|[\r\n\x00\x0b])[ \t]*(?:\xef\xbb\xbf)?[ \t]*(MSH[^\r\n]*)")
_C1_CONTROLS = re.compile(r"[\x80-\x9f]")


class Er7Error(Exception):
    """These bytes cannot be read as one HL7 v2 message; the sentence says why, without patient data."""


@dataclass(frozen=True)
class Separators:
    """MSH-1 and MSH-2. An empty one is not used in the message."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @classmethod
    def of(cls, line: str) -> "Separators":
        """As the MSH segment declares them; missing ones are the recommended ones (HL7 v2.5.1 2.14.9.2)."""
        field, declared = line[3:4], ""
        if not field or field.isalnum() or not field.isprintable():
            raise Er7Error("MSH-1 is not a field separator")
        declared = line[4:].split(field, 1)[0][:4]
        if len(set(declared + field)) != len(declared) + 1 or any(c.isalnum() or not c.isprintable() for c in declared):
            raise Er7Error("MSH-2 is not a set of encoding characters")
        rest = ["" if char in declared + field else char for char in "^~\\&"[len(declared) :]]
        return cls(field, *declared, *rest)

    def __str__(self) -> str:
        return self.component + self.repetition + self.escape + self.subcomponent


def split(text: str, separator: str) -> list[str]:
    """``text`` divided at ``separator``, or whole where the message has no such separator."""
    return text.split(separator) if separator else [text]


@dataclass(frozen=True)
class Header:
    """What the MSH segment says, read before the character set is known: bytes as Latin-1, trimmed."""

    separators: Separators
    fields: tuple[str, ...]

    @classmethod
    def find(cls, raw: bytes) -> "Header | None":
        """The first MSH in ``raw``, wherever it begins; None if there is none that can be read."""
        found = _HEADER.search(raw[:65536])
        if not found:
            return None
        line = found.group(1)[:8192].decode("latin-1").replace("\x00", "")
        try:
            separators = Separators.of(line)
        except Er7Error:
            return None
        return cls(separators, ("MSH", separators.field, *(text.strip() for text in line.split(separators.field)[1:])))

    def __getitem__(self, number: int) -> str:
        """MSH-``number`` as it was sent, or empty."""
        text = self.fields[number] if number < len(self.fields) else ""
        return "" if text == NULL else text

    def text(self, number: int, codec: str) -> str:
        """MSH-``number`` in the message's character set, without control characters."""
        text = self[number].encode("latin-1").decode(codec, "replace")
        return "".join(char for char in text if char.isprintable())

    def component(self, number: int, component: int) -> str:
        parts = split(self[number], self.separators.component)
        return parts[component - 1].strip() if component <= len(parts) else ""

    @property
    def version(self) -> tuple[int, ...]:
        """MSH-12.1 as numbers, (2, 3) if it cannot be read."""
        digits = re.match(r"(\d)\.(\d)", self.component(12, 1))
        return tuple(int(digit) for digit in digits.groups()) if digits else (2, 3)

    @property
    def codec(self) -> str:
        """The Python codec that MSH-18 names; empty if it names none, ``unknown`` if we do not know it."""
        names = [_codec(name) for name in split(self[18], self.separators.repetition)]
        return next((name for name in reversed(names) if name), "")


class Decoded(NamedTuple):
    """A text, the codec it was read with, what had to be guessed, and whether bytes outside the codec were replaced."""

    text: str
    codec: str
    warnings: list[str]
    is_replaced: bool = False


def decode(raw: bytes, header: Header, default: str) -> Decoded:
    """The text of a message: a byte outside its character set is replaced; the caller may refuse it."""
    declared, warnings = header.codec, []
    if declared == "unknown":
        warnings.append("MSH-18 names a character set that is not known; read with the feed's default")
    codec = declared if declared not in ("", "unknown") else _known_codec(default)
    if raw.startswith(codecs.BOM_UTF8):
        codec = "utf-8"
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        warnings.append(f"Bytes outside the character set {header[18] or default} were replaced")
        return Decoded(raw.decode(codec, "replace"), codec, warnings, is_replaced=True)
    if codec.startswith("iso8859") and _C1_CONTROLS.search(text):
        # Control characters are not in names: such bytes are Windows' or, as in most cases, UTF-8.
        warnings.append(f"MSH-18 {header[18] or default} does not fit the bytes")
        return Decoded(_reread(raw, text, codec), codec, warnings)
    return Decoded(text, codec, warnings)


def _codec(name: str) -> str:
    word = re.sub(r"[^A-Z0-9]", "", name.upper())
    known = (CHARACTER_SETS[key] for key in (word, word.removeprefix("ISO")) if key in CHARACTER_SETS)
    return next(known, "unknown" if word else "")


def is_character_set(name: str) -> bool:
    """Whether it is the name of a character set that we can read."""
    return _codec(name) not in ("", "unknown")


def _known_codec(name: str) -> str:
    codec = _codec(name)
    return codec if codec not in ("", "unknown") else "utf-8"


def _reread(raw: bytes, text: str, codec: str) -> str:
    for other in ("utf-8", "cp1252" if codec == "iso8859-1" else codec):
        try:
            return raw.decode(other)
        except UnicodeDecodeError:
            continue
    return text
