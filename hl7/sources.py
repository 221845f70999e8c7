r"""One place of a mapping, as a HIS engineer writes it: ``OBR-18.1 if not modality or refuse ~ ^(?:U-ID)?(.+)$``.

``PATH [if CONDITION]... [or refuse] [~ REGEX]``. The regex takes a part of the text (its first group, else all of it),
and the conditions ask about that part:

    if modality, if not modality      a modality of DICOM or of the table ``modality``
    if uid                            a DICOM UID
    if time                           a time stamp with hours and minutes
    if at most 16 characters
    if OBR-24 = RAD|IOP*              another field has one of these values; where that is a field of the same segment,
                                      as in OBX-5 if OBX-3.1 = 113014, the first such segment that fits is meant
    if type MR|PI                     an identifier of this type (CX.5)
    if authority HOSP|1.2.3           an identifier of this authority
    if own authority                  an identifier of the feed's own authority

``or refuse``: a text that cannot be used refuses the message (102); else it is told and the next place is tried.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Protocol

from hl7 import datatypes
from hl7.er7 import Segment

#: What a regex or a comparison looks at, and how long it may be: with ``_check_regex`` no text can make it slow.
TEXT_LENGTH, REGEX_LENGTH = 200, 200
_MOST_OPEN, _MOST_OPTIONAL = 3, 6

_PATH = r"[A-Z][A-Z0-9]{2}-\d{1,3}(?:\(\d{1,3}\))?(?:\.\d{1,2}){0,2}"
_NEXT = re.compile(rf"\s*,\s*(?={_PATH})")
_SOURCE = re.compile(rf"({_PATH})((?: if (?:(?! if | or refuse| ~ ).)+)*)( or refuse)?(?: ~ (.+))?\Z")
_COMPARISON = re.compile(rf"({_PATH}) = (\S.*)\Z")
_WORDS = re.compile(r"(type|authority) (\S.*)\Z")
_AT_MOST = re.compile(r"at most (\d{1,3}) characters\Z")
_OPEN = re.compile(r"(?:[*+]|\{\d*,\d*\})[?+]?")


class Scope(Protocol):
    """The segments of a message that speak of one thing."""

    def first(self, name: str) -> Segment | None: ...

    def value(self, path: str) -> str | None: ...

    def location(self, path: str) -> str: ...


Table = Mapping[str, str]


@dataclass(frozen=True)
class Condition:
    """``kind`` is a word of the list above, ``path`` of a comparison, ``words`` what is compared with."""

    kind: str
    words: tuple[str, ...] = ()
    path: str = ""

    def holds(self, text: str, scope: Scope, modalities: Table) -> bool:
        """Whether it holds for a text; those of identifiers are asked by ``fits``."""
        if self.kind == "field":
            return any_fits(scope.value(self.path), self.words)
        if not text:  # the explicit null has no kind
            return True
        if self.kind == "length":
            return len(text) <= int(self.words[0])
        return _QUESTIONS[self.kind](text, modalities) if self.kind in _QUESTIONS else True

    def fits(self, kind: str, authorities: set[str], own: str) -> bool:
        """Whether an identifier of this type and authority (as sent: namespace or universal ID) is meant."""
        if self.kind == "type":
            return kind in self.words
        if self.kind == "authority":
            return not authorities.isdisjoint(self.words)
        return self.kind != "own" or bool(own) and own in authorities


_QUESTIONS: dict[str, Callable[[str, Table], bool]] = {
    "modality": lambda text, table: datatypes.modality(text, table) is not None,
    "not modality": lambda text, table: datatypes.modality(text, table) is None,
    "uid": lambda text, _table: datatypes.is_long_uid(text),
    "time": lambda text, _table: bool(re.match(r"\d{12}", text)),
}


@dataclass(frozen=True)
class Source:
    """One place, compiled. ``text`` is as it was written."""

    path: str
    conditions: tuple[Condition, ...] = ()
    refuse: bool = False
    regex: re.Pattern[str] | None = None

    @cached_property
    def segment(self) -> str:
        return self.path[:3]

    @cached_property
    def is_sought(self) -> bool:
        """Whether it is looked for in every segment of its name, for its conditions ask about that very segment."""
        return any(condition.path[:3] == self.segment for condition in self.conditions)

    def taken(self, scope: Scope, modalities: Table, *, whole: bool = False) -> str | None:
        """The text there: None if nothing is said or the conditions do not hold, "" for the explicit null.

        With ``whole`` that of the field: its reader begins at the component that the path names.
        """
        text = scope.value(self.path.split(".")[0] if whole else self.path)
        if text and self.regex:
            found = self.regex.search(text[:TEXT_LENGTH])
            text = (found.group(1 if self.regex.groups else 0) or None) if found else None
        if text is None or not all(condition.holds(text, scope, modalities) for condition in self.conditions):
            return None
        return text


def any_fits(text: str | None, patterns: tuple[str, ...]) -> bool:
    """Whether a text is one of the values, without regard to case; * in a value stands for any text."""
    return bool(text) and any(fnmatchcase((text or "")[:TEXT_LENGTH].upper(), word.upper()) for word in patterns)


def sources(text: str) -> tuple[Source, ...]:
    """The places of one attribute, best first; ValueError with a sentence that names the bad one."""
    return tuple(_source(part) for part in _NEXT.split(text.strip()) if part)


def _source(text: str) -> Source:
    found = _SOURCE.match(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a place such as OBR-24.1 if modality or refuse ~ REGEX")
    path, conditions, refuse, regex = found.groups()
    words = [word.strip() for word in conditions.split(" if ") if word.strip()]
    return Source(path, tuple(condition(word) for word in words), bool(refuse), _regex(regex) if regex else None)


def condition(text: str) -> Condition:
    """What stands behind ``if``; ValueError with a sentence if it is none."""
    if text in _QUESTIONS:
        return Condition(text)
    if text == "own authority":
        return Condition("own")
    if found := _AT_MOST.match(text):
        return Condition("length", (found[1],))
    if found := _WORDS.match(text):
        return Condition(found[1], words(found[2]))
    if found := _COMPARISON.match(text):
        return Condition("field", words(found[2]), found[1])
    raise ValueError(f"{text!r} is not a condition; known are modality, not modality, uid, time, ...")


def words(text: str) -> tuple[str, ...]:
    """The values of ``RAD|IOP*``."""
    return tuple(word.strip() for word in text.split("|") if word.strip())


def _regex(text: str) -> re.Pattern[str]:
    _check_regex(text)
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error


def _check_regex(text: str) -> None:
    """Refuse what could take long on some text: a repeated group, or many open quantifiers."""
    if len(text) > REGEX_LENGTH:
        raise ValueError(f"a regular expression has more than {REGEX_LENGTH} characters")
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\.", "x", text))
    if re.search(r"\)(?:[*+{])", bare):
        raise ValueError(f"{text!r}: a group may not be repeated (it could take for ever on some text)")
    bare = re.sub(r"\(\?", "(", bare)
    found, rest = len(_OPEN.findall(bare)), _OPEN.sub("", bare)
    if found + (not text.startswith("^")) > _MOST_OPEN or rest.count("?") > _MOST_OPTIONAL:
        raise ValueError(
            f"{text!r} has too many of * + {{m,n}} ?: at most {_MOST_OPEN} of the first three, one less without ^"
        )
