"""A lossless reader of ER7, HL7 v2's vertical bar encoding (HL7 v2.5.1 2.6, 2.7).

Nothing is moved, dropped or repaired: ``str(message)`` is the text as it was decoded. Fields are split when they are
asked for. It reads what is sent in the wild (``standards/hl7.md``): any line ends, short MSH-2, odd names of character
sets; what it had to guess is in ``message.warnings``. It raises only Er7Error.
"""

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache

from hl7.header import NULL, Decoded, Er7Error, Header, Separators, decode, split

MAX_SEGMENTS = 2000
MAX_REPETITIONS = 500

_LINE_END = re.compile(r"(\r\n|\r|\n)")
_SEGMENT_ID = re.compile(r"[A-Z][A-Z0-9]{2}\Z")
_PATH = re.compile(r"([A-Z][A-Z0-9]{2})-(\d+)(?:\((\d+)\))?(?:\.(\d+))?(?:\.(\d+))?\Z")


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
        return split(text, self.separators.repetition) if text else []

    def part(self, repetition: str, component: int, subcomponent: int = 0) -> str | None:
        """A component (whole, or one of its subcomponents) of a repetition, unescaped and trimmed; None: not said."""
        parts = split(repetition, self.separators.component)
        text = parts[component - 1] if component <= len(parts) else ""
        if subcomponent:
            subs = split(text, self.separators.subcomponent)
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
        # NUL is in no repertoire of HL7, and PostgreSQL takes none.
        text = unescape(text, self.separators, self.codec).replace("\x00", "").strip()
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

    def __init__(self, header: Header, decoded: Decoded) -> None:
        self.header, (self.text, self.codec, self.warnings, self.is_replaced) = header, decoded
        self.separators = header.separators
        self.segments = list(self._read_segments())

    @classmethod
    def parse(cls, raw: bytes, default_character_set: str = "UTF-8") -> "Message":
        """Read one message; Er7Error if there is no usable MSH in front, or more than one, or it is too large."""
        header = Header.find(raw)
        if header is None:
            raise Er7Error("There is no MSH segment that can be read")
        message = cls(header, decode(raw, header, default_character_set))
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
