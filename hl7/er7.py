"""A lossless reader of ER7, HL7 v2's vertical bar encoding (HL7 v2.5.1 2.6, 2.7, 2.14).

Nothing is moved, dropped or repaired: ``str(message)`` is the text as it was decoded. Fields are split when they are
asked for. It reads what is sent in the wild (``standards/hl7.md``): any line ends, short MSH-2, odd names of character
sets; what it had to guess is in ``message.warnings``. It raises only Er7Error.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

MAX_SEGMENTS = 2000
MAX_REPETITIONS = 500
NULL = '""'

#: MSH-18 as it is written in the wild (table 0211 and beyond) -> Python codec. Compared without case, blanks and signs.
CHARACTER_SETS = {
    "": "",
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
_LINE_END = re.compile(r"(\r\n|\r|\n)")
_SEGMENT_ID = re.compile(r"[A-Z][A-Z0-9]{2}\Z")
_PATH = re.compile(r"([A-Z][A-Z0-9]{2})-(\d+)(?:\((\d+)\))?(?:\.(\d+))?(?:\.(\d+))?\Z")
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


def escape(text: str, separators: Separators) -> str:
    """``text`` as a value in a message: delimiters escaped, control characters made blanks (no segment injection)."""
    signs = {
        separators.escape: "E",
        separators.field: "F",
        separators.component: "S",
        separators.repetition: "R",
        separators.subcomponent: "T",
    }
    mark = separators.escape
    clean = "".join(char if char.isprintable() else " " for char in text)
    if not mark:
        return "".join(" " if char in signs else char for char in clean)
    return "".join(f"{mark}{signs[char]}{mark}" if char in signs else char for char in clean)


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
        line = found.group(1)[:8192].decode("latin-1")
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
        parts = _split(self[number], self.separators.component)
        return parts[component - 1].strip() if component <= len(parts) else ""

    @property
    def version(self) -> tuple[int, ...]:
        """MSH-12.1 as numbers, (2, 3) if it cannot be read."""
        digits = re.match(r"(\d)\.(\d)", self.component(12, 1))
        return tuple(int(digit) for digit in digits.groups()) if digits else (2, 3)

    @property
    def codec(self) -> str:
        """The Python codec that MSH-18 names; empty if it names none, ``unknown`` if we do not know it."""
        names = [self._codec(name) for name in _split(self[18], self.separators.repetition) or [""]]
        return next((name for name in reversed(names) if name), "")

    @staticmethod
    def _codec(name: str) -> str:
        word = re.sub(r"[^A-Z0-9]", "", name.upper())
        return (
            CHARACTER_SETS.get(word)
            if word in CHARACTER_SETS
            else CHARACTER_SETS.get(word.removeprefix("ISO"), "unknown")
        )


def decode(raw: bytes, header: Header, default: str) -> tuple[str, str, list[str]]:
    """The text, the codec it was read with, and warnings: a byte outside the character set is replaced, not refused."""
    declared, warnings = header.codec, []
    if declared == "unknown":
        warnings.append("MSH-18 names a character set that is not known; read with the feed's default")
    codec = declared if declared not in ("", "unknown") else _codec_of(default)
    if raw.startswith(codecs.BOM_UTF8):
        codec = "utf-8"
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        warnings.append(f"Bytes outside the character set {header[18] or default} were replaced")
        return raw.decode(codec, "replace"), codec, warnings
    if codec.startswith("iso8859") and _C1_CONTROLS.search(text):
        # Control characters are not in names: such bytes are Windows' or, as in most cases, UTF-8.
        warnings.append(f"MSH-18 {header[18] or default} does not fit the bytes")
        return _reread(raw, text, codec), codec, warnings
    return text, codec, warnings


def _codec_of(name: str) -> str:
    codec = Header._codec(name)
    return codec if codec not in ("", "unknown") else "utf-8"


def _reread(raw: bytes, text: str, codec: str) -> str:
    for other in ("utf-8", "cp1252" if codec == "iso8859-1" else codec):
        try:
            return raw.decode(other)
        except UnicodeDecodeError:
            continue
    return text


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else [text]


class Segment:
    """One segment. ``ordinal`` counts the segments of its name in the message from 1 (ERR-2.2)."""

    def __init__(self, text: str, separators: Separators, codec: str, ordinal: int = 1) -> None:
        self.text, self.separators, self.codec, self.ordinal = text, separators, codec, ordinal
        self.name = text[:3]

    @cached_property
    def _fields(self) -> list[str]:
        fields = self.text.split(self.separators.field)
        return [fields[0], self.separators.field, *fields[1:]] if self.name == "MSH" else fields

    def field(self, number: int) -> str:
        """Field ``number`` as it was sent; empty if the segment ends before it."""
        return self._fields[number] if number < len(self._fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """The repetitions of field ``number`` as they were sent; none if the field is empty."""
        text = self.field(number)
        return _split(text, self.separators.repetition) if text else []

    def part(self, repetition: str, component: int, subcomponent: int = 0) -> str | None:
        """A component (whole, or one of its subcomponents) of a repetition, unescaped and trimmed; None: not said."""
        parts = _split(repetition, self.separators.component)
        text = parts[component - 1] if component <= len(parts) else ""
        if subcomponent:
            subs = _split(text, self.separators.subcomponent)
            text = subs[subcomponent - 1] if subcomponent <= len(subs) else ""
        return self._value(text)

    def value(self, number: int, repetition: int = 1, component: int = 0, subcomponent: int = 0) -> str | None:
        """A value, unescaped: None if it is not said, empty if it is the explicit null ``""``.

        Without ``component`` the whole repetition is one text, as in FT and ST fields whose delimiters were not
        escaped. A component that was not divided is its own first subcomponent.
        """
        found = self.repetitions(number)
        if repetition > len(found):
            return None
        text = found[repetition - 1]
        return self.part(text, component, subcomponent) if component else self._value(text)

    def _value(self, text: str) -> str | None:
        text = unescape(text, self.separators, self.codec).strip()
        return None if not text else "" if text == NULL else text


def unescape(text: str, separators: Separators, codec: str = "utf-8") -> str:
    r"""``text`` with HL7's escapes read (HL7 v2.5.1 2.7): \F\ \S\ \T\ \R\ \E\ \.br\ \.sp\ \H\ \N\ \Xdd..\.

    Hexadecimal bytes are of the message's character set. What is no escape, such as a lone backslash, is left.
    """
    mark = separators.escape
    if not mark or mark not in text:
        return text
    known = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": mark,
        "H": "",
        "N": "",
    }
    return _escapes(mark).sub(lambda found: _read_escape(found.group(0), mark, known, codec), text)


@lru_cache
def _escapes(mark: str) -> re.Pattern[str]:
    sign = re.escape(mark)
    return re.compile(rf"(?:{sign}X(?:[0-9A-Fa-f]{{2}})+{sign})+|{sign}[FSTREHN]{sign}|{sign}\.(?:br|sp\+?\d*){sign}")


def _read_escape(found: str, mark: str, known: dict[str, str], codec: str) -> str:
    body = found[1:-1]
    if body.startswith("X"):
        return bytes.fromhex(found.replace(mark, "").replace("X", "")).decode(codec, "replace")
    return known.get(body, "\n")


class Message:
    """One message. Paths are written ``PID-3(2).1`` or ``IPC-9(1).4.2``: field, repetition, component, subcomponent."""

    def __init__(self, text: str, header: Header, codec: str, warnings: list[str]) -> None:
        self.text, self.header, self.codec, self.warnings = text, header, codec, warnings
        self.separators = header.separators
        self.segments = list(self._read_segments())

    @classmethod
    def parse(cls, raw: bytes, default_character_set: str = "UTF-8") -> "Message":
        """Read one message; Er7Error if there is no usable MSH in front, or more than one, or it is too large."""
        header = Header.find(raw)
        if header is None:
            raise Er7Error("There is no MSH segment that can be read")
        text, codec, warnings = decode(raw, header, default_character_set)
        message = cls(text, header, codec, warnings)
        message._check()
        return message

    def __str__(self) -> str:
        return self.text

    def __getitem__(self, name: str) -> Segment | None:
        """The first segment of this name, or None."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def value(self, path: str) -> str | None:
        """The value at a path of the first segment of its name; see Segment.value."""
        name, *numbers = read_path(path)
        segment = self[name]
        return segment.value(*numbers) if segment else None

    def _read_segments(self) -> Iterator[Segment]:
        counts: dict[str, int] = {}
        for line in self._lines():
            counts[line[:3]] = counts.get(line[:3], 0) + 1
            yield Segment(line, self.separators, self.codec, counts[line[:3]])

    def _lines(self) -> list[str]:
        """The segments' texts: a line that does not begin like a segment belongs to the one before."""
        lines: list[str] = []
        for line in _LINE_END.split(self.text)[::2]:
            text = line.lstrip("\ufeff\x00 \t")
            if self._begins_segment(text):
                lines.append(text)
            elif text and lines:
                lines[-1] += "\n" + line
            elif text:
                self.warnings.append("Text before the first segment was passed over")
        return lines

    def _begins_segment(self, text: str) -> bool:
        return bool(_SEGMENT_ID.match(text[:3])) and text[3:4] in (self.separators.field, "")

    def _check(self) -> None:
        names = [segment.name for segment in self.segments]
        if "FHS" in names[:1] or "BHS" in names[:1]:
            raise Er7Error("Batches (FHS, BHS) are not taken: send each message in a frame of its own")
        if names[:1] != ["MSH"]:
            raise Er7Error("The message does not begin with MSH")
        if names.count("MSH") > 1:
            raise Er7Error("There is more than one MSH in the frame: send each message in a frame of its own")
        if len(names) > MAX_SEGMENTS:
            raise Er7Error(f"The message has more than {MAX_SEGMENTS} segments")
        if any(self._repeats_too_often(segment) for segment in self.segments):
            raise Er7Error(f"A field has more than {MAX_REPETITIONS} repetitions")

    def _repeats_too_often(self, segment: Segment) -> bool:
        sign = self.separators.repetition
        if not sign or segment.text.count(sign) <= MAX_REPETITIONS:
            return False
        fields = segment.text.split(self.separators.field)
        return any(text.count(sign) > MAX_REPETITIONS for text in fields[2 if segment.name == "MSH" else 1 :])


@lru_cache(maxsize=512)
def read_path(path: str) -> tuple[str, int, int, int, int]:
    """``PID-3(2).1`` as segment, field, repetition, component (0: the whole repetition), subcomponent (0: all)."""
    found = _PATH.match(path)
    if not found:
        raise ValueError(f"{path!r} is not an HL7 path such as PID-3(2).1")
    name, field, repetition, component, subcomponent = found.groups()
    return name, int(field), int(repetition or 1), int(component or 0), int(subcomponent or 0)
