"""Specific Character Set (0008,0005): texts as bytes of the set that a station reads (PS3.5 6.1, PS3.3 C.12.1.1.2).

pydicom reads every set, but writes some values as if the default repertoire were Latin-1; what is written here is read
back by pydicom and DCMTK in the tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from pydicom.charset import python_encoding

ESCAPE = b"\x1b"


@dataclass(frozen=True)
class CodeSet:
    """A set of graphic characters of ISO 2022: its escape sequence, where it is invoked, and a character's bytes."""

    escape: bytes
    in_g0: bool
    code: Callable[[str], bytes]


def _single_byte(codec: str) -> Callable[[str], bytes]:
    return lambda char: char.encode(codec)


def _jis_x_0208(char: str) -> bytes:
    code = char.encode("euc_jp")
    if len(code) != 2 or code[0] < 0xA1:
        raise UnicodeEncodeError("jis_x_0208", char, 0, 1, "not in the set")
    return bytes(byte & 0x7F for byte in code)


def _jis_x_0212(char: str) -> bytes:
    code = char.encode("euc_jp")
    if len(code) != 3:
        raise UnicodeEncodeError("jis_x_0212", char, 0, 1, "not in the set")
    return bytes(byte & 0x7F for byte in code[1:])


def _katakana(char: str) -> bytes:
    code = char.encode("shift_jis")
    if len(code) != 1 or code[0] < 0xA1:
        raise UnicodeEncodeError("jis_x_0201", char, 0, 1, "not in the set")
    return code


#: Defined term of a set with code extensions -> the set beside ASCII that it brings (PS3.3 tables C.12-3 and C.12-4).
CODE_SETS: dict[str, CodeSet] = {
    **{
        f"ISO 2022 IR {number}": CodeSet(ESCAPE + final, False, _single_byte(codec))
        for number, final, codec in (
            (100, b"-A", "iso8859_1"),
            (101, b"-B", "iso8859_2"),
            (109, b"-C", "iso8859_3"),
            (110, b"-D", "iso8859_4"),
            (144, b"-L", "iso8859_5"),
            (127, b"-G", "iso8859_6"),
            (126, b"-F", "iso8859_7"),
            (138, b"-H", "iso8859_8"),
            (148, b"-M", "iso8859_9"),
            (166, b"-T", "iso8859_11"),
        )
    },
    "ISO 2022 IR 13": CodeSet(ESCAPE + b")I", False, _katakana),
    "ISO 2022 IR 87": CodeSet(ESCAPE + b"$B", True, _jis_x_0208),
    "ISO 2022 IR 159": CodeSet(ESCAPE + b"$(D", True, _jis_x_0212),
    "ISO 2022 IR 149": CodeSet(ESCAPE + b"$)C", False, _single_byte("euc_kr")),
    "ISO 2022 IR 58": CodeSet(ESCAPE + b"$)A", False, _single_byte("gb2312")),
}
_ASCII, _ROMAJI = ESCAPE + b"(B", ESCAPE + b"(J"
#: What stands between the parts of a value, after which the first set is active again (PS3.5 6.1.2.5.3).
_DELIMITERS = frozenset("^=\\\r\n\t\f")


class Repertoire:
    """One value, or several with backslashes, of Specific Character Set; ``ISO_IR 6`` is the default repertoire."""

    def __init__(self, character_set: str) -> None:
        self.terms = tuple(term.strip() for term in character_set.split("\\"))
        self._extends = len(self.terms) > 1 or self.terms[0].startswith("ISO 2022")
        self._codec = "ascii" if self.terms[0] in ("", "ISO_IR 6") else python_encoding.get(self.terms[0], "utf8")
        first = self.terms[0].replace("ISO_IR", "ISO 2022 IR")
        self._first = CODE_SETS.get(first)
        self._sets = [CODE_SETS[term] for term in dict.fromkeys((first, *self.terms[1:])) if term in CODE_SETS]
        self._g0 = _ROMAJI if first == "ISO 2022 IR 13" else _ASCII

    @property
    def is_default(self) -> bool:
        """Whether it is the default repertoire, of which Specific Character Set says nothing (PS3.3 C.12.1.1.2)."""
        return self.terms in (("",), ("ISO_IR 6",))

    @property
    def value(self) -> bytes:
        """As it stands in an answer."""
        return "\\".join(self.terms).encode("ascii")

    def encode(self, text: str) -> bytes | None:
        """The bytes of a text; None if it holds a character that none of the sets has."""
        if text.isascii():
            return text.encode("ascii")
        try:
            return self._switching(text) if self._extends else self._plain(text)
        except UnicodeEncodeError:
            return None

    def _plain(self, text: str) -> bytes:
        if self.terms[0] == "ISO_IR 13":
            return b"".join(char.encode("ascii") if char.isascii() else _katakana(char) for char in text)
        return text.encode(self._codec)

    def _switching(self, text: str) -> bytes:
        """Each run in the first set that has it; back in the first set before each delimiter and the end."""
        out = bytearray()
        g0, g1 = self._g0, self._first
        for char in text:
            if char.isascii():
                if g0 != self._g0:
                    g0 = self._g0
                    out += g0
                if char in _DELIMITERS and g1 is not self._first:
                    out += self._first.escape if self._first else b""
                    g1 = self._first
                out += char.encode("ascii")
                continue
            chosen, code = self._find(char, g1)
            if chosen.in_g0 and g0 != chosen.escape:
                g0 = chosen.escape
                out += g0
            elif not chosen.in_g0 and chosen is not g1:
                g1 = chosen
                out += chosen.escape
            out += code
        out += self._g0 if g0 != self._g0 else b""
        return bytes(out)

    def _find(self, char: str, active: CodeSet | None) -> tuple[CodeSet, bytes]:
        for code_set in (active, *self._sets) if active else self._sets:
            try:
                return code_set, code_set.code(char)
            except UnicodeEncodeError:
                continue
        raise UnicodeEncodeError("dicom", char, 0, 1, "in none of the sets")


@lru_cache(maxsize=256)
def repertoire(character_set: str) -> Repertoire:
    return Repertoire(character_set)
