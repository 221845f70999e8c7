"""What a message of an MPPS does not keep of PS3.4 Table F.7.2-1 (``mpps_table.RULES``), and what it is refused for.

Everything that is wrong with a message is found. A strict station (``Station.mpps_strictness``) is refused for
any of it. A lenient one is refused only for what leaves nothing to keep; the rest is taken and counted:

====================================================  =======  ===============================================
a message of a lenient station with                   answer   and of a strict one
====================================================  =======  ===============================================
a SOP Instance UID that is no UID                     0117H    the same
a data set that is cut off or cannot be decoded       0106H    the same
one nested deeper or longer than ``encoding.MESSAGE``  0110H    the same
N-SET or N-GET of an instance that is not here        0112H    the same
N-CREATE of an instance that is here                  0111H    the same
N-SET of one that is COMPLETED or DISCONTINUED        0110H    the same, Error ID A710H
a status other than IN PROGRESS at N-CREATE           0106H    the same
a UID, date, time or status that is none, or a text   0106H    the same
longer than what identifies may be
``needed`` in ``RULES``: missing, empty         0120H,   the same
                                                      0121H
any other Type 1: missing, empty                      0000H    0120H, 0121H
Type 2 or 1C: missing                                 0000H    0120H
a number that is none, such as a weight: left out     0000H    0106H
DISCONTINUED without series                           0000H    0120H, 0121H
N-SET of what may not be set: left out                0000H    0105H
N-SET of what was not created (Note 5)                0000H    0105H
====================================================  =======  ===============================================
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from ris.identifiers import is_uid
from ris.states import PerformedStatus
from worklist import clock
from worklist.mpps_table import BY_KEYWORD, NOT_ALLOWED, RULES, Rule
from worklist.status import (
    INVALID_ATTRIBUTE_VALUE,
    INVALID_SOP_INSTANCE,
    MISSING_ATTRIBUTE,
    MISSING_ATTRIBUTE_VALUE,
    NO_SUCH_ATTRIBUTE,
    PROCESSING_FAILURE,
    Failure,
)

#: So many things may be wrong in one message, each item counted.
MOST_DEFECTS = 10_000
_NUMBERS = frozenset({"DS", "IS", "FL", "FD"})
_FINAL = (PerformedStatus.COMPLETED, PerformedStatus.DISCONTINUED)
#: The longest value of what the domain keeps in columns (PS3.5 6.2); a longer one would be cut, and so be another.
_LONGEST = {
    "PerformedProcedureStepID": 16,
    "PerformedStationAETitle": 16,
    "Modality": 16,
    "AccessionNumber": 16,
    "ScheduledProcedureStepID": 16,
    "RequestedProcedureID": 16,
    "PatientID": 64,
    "IssuerOfPatientID": 64,
    "PatientName": 3 * 64 + 2,
}


class Kind(Enum):
    """What can be wrong with an attribute, the gravest first: the word, and the status it is refused with."""

    MISSING = ("missing", MISSING_ATTRIBUTE)
    EMPTY = ("empty", MISSING_ATTRIBUTE_VALUE)
    NOT_ALLOWED = (NOT_ALLOWED, NO_SUCH_ATTRIBUTE)
    NOT_CREATED = ("not created before it is set", NO_SUCH_ATTRIBUTE)
    INVALID = ("invalid", INVALID_ATTRIBUTE_VALUE)

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def status(self) -> int:
        return self.value[1]


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong. ``why`` is the attribute's Type, or what is wrong with its value; never the value."""

    keyword: str
    kind: Kind
    why: str
    needed: bool = False

    def __str__(self) -> str:
        return f"{self.keyword} {self.kind.word} ({self.why})"


def check_instance_uid(uid: str) -> None:
    """0117H unless it is a UID (PS3.7 C.5.12)."""
    if not is_uid(uid):
        raise Failure(INVALID_SOP_INSTANCE, "The SOP Instance UID is no UID")


def create_defects(attributes: Dataset) -> list[Defect]:
    """What an N-CREATE does not keep of the table. The status must be IN PROGRESS (F.7.2.1.2)."""
    found = dict.fromkeys([*_bounded(_checked(attributes, RULES, "create")), *_moments(attributes)])
    status = text_of(attributes, "PerformedProcedureStepStatus")
    if status and status != PerformedStatus.IN_PROGRESS:
        found[_invalid("PerformedProcedureStepStatus", "must be IN PROGRESS")] = None
    return list(found)


def set_defects(modification: Dataset, stored: Mapping[str, Any]) -> list[Defect]:
    """What an N-SET does not keep of the table; ``stored`` is the object so far as DICOM JSON."""
    found = dict.fromkeys([*_bounded(_checked(modification, RULES, "set")), *_moments(modification)])
    for element in modification:
        rule = BY_KEYWORD.get(element.keyword)
        if rule and rule.set == NOT_ALLOWED:
            found[Defect(rule.keyword, Kind.NOT_ALLOWED, "N-SET")] = None
        elif f"{element.tag:08X}" not in stored and element.keyword != "SpecificCharacterSet":
            name = element.keyword or f"{element.tag:08X}"
            found[Defect(name, Kind.NOT_CREATED, "Note 5")] = None
    return [*found, *_status_defects(modification), *_final_defects(modification, stored)]


def drop_not_settable(modification: Dataset) -> None:
    """Take out what an N-SET may not change."""
    for rule in RULES:
        if rule.set == NOT_ALLOWED and rule.tag in modification:
            del modification[rule.tag]


def drop_no_numbers(dataset: Dataset) -> list[Defect]:
    """Take out numbers that are none, such as a weight of "75 kg": nobody can read them, and they end no exam."""
    found = []
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value or []:
                found += drop_no_numbers(item)
        elif element.VR in _NUMBERS and not _is_empty(element) and not _is_finite(element):
            found.append(Defect(element.keyword or f"{element.tag:08X}", Kind.INVALID, "is no number"))
            del dataset[element.tag]
    return found


def _is_finite(element: DataElement) -> bool:
    values = element.value if element.VM > 1 else [element.value]
    try:
        return all(math.isfinite(float(value)) for value in values)
    except (TypeError, ValueError):
        return False


def failure(defects: list[Defect]) -> Failure:
    """The refusal that these mean: of the gravest kind, with every attribute of that kind."""
    kind = next(kind for kind in Kind if any(defect.kind is kind for defect in defects))
    same = [defect for defect in defects if defect.kind is kind]
    keywords = list(dict.fromkeys(defect.keyword for defect in same))
    told = f"{same[0].keyword}: {same[0].why}" if kind is Kind.INVALID else f"{kind.word}: {', '.join(keywords)}"
    return Failure(kind.status, told[0].upper() + told[1:], *keywords)


def _bounded(defects: Iterable[Defect]) -> Iterator[Defect]:
    """Thousands of items that are all wrong are no MPPS, and need not be looked at to the end."""
    for count, defect in enumerate(defects):
        if count == MOST_DEFECTS:
            raise Failure(PROCESSING_FAILURE, "More is wrong than can be told")
        yield defect


def _checked(dataset: Dataset, rules: tuple[Rule, ...], column: str) -> Iterator[Defect]:
    """What the Types of the column ask, and values that cannot be kept, in the data set and in each item."""
    for rule in rules:
        element, type_ = dataset.get(rule.tag), getattr(rule, column)[:2].rstrip("/")
        if element is None:
            if type_ in ("1", "2"):
                yield Defect(rule.keyword, Kind.MISSING, f"Type {type_}", rule.needed and type_ == "1")
            continue
        if type_ == "1" and _is_empty(element):
            yield Defect(rule.keyword, Kind.EMPTY, "Type 1", rule.needed)
        elif why := _wrong_value(element, rule):
            yield _invalid(rule.keyword, why)
        elif rule.items:
            for item in element.value or []:
                yield from _checked(item, rule.items, column)


def _is_empty(element: DataElement) -> bool:
    value = element.value
    return not (value if element.VR == "SQ" else str("" if value is None else value).strip())


def _wrong_value(element: DataElement, rule: Rule) -> str:
    if (element.VR == "SQ") != (rule.vr == "SQ"):
        return "is a sequence" if rule.vr != "SQ" else "is no sequence"
    longest = _LONGEST.get(rule.keyword)
    if longest and len(_text(element)) > longest:
        return f"is longer than {longest} characters"
    if rule.vr == "UI" and (uid := _text(element)) and not is_uid(uid):
        return "is no UID"
    return ""


def _status_defects(modification: Dataset) -> Iterator[Defect]:
    keyword = "PerformedProcedureStepStatus"
    if keyword not in modification:
        return
    status = text_of(modification, keyword)
    if not status:
        yield Defect(keyword, Kind.EMPTY, "Type 1", True)
    elif status not in list(PerformedStatus):
        yield _invalid(keyword, "is none of the defined terms")


def _final_defects(modification: Dataset, stored: Mapping[str, Any]) -> Iterator[Defect]:
    """Column "final state", of this and all earlier messages together."""
    status = text_of(modification, "PerformedProcedureStepStatus")
    for rule in RULES if status in _FINAL else ():
        if rule.final != "1":
            continue
        # Nothing may have been acquired yet when a step is abandoned.
        needed = rule.keyword != "PerformedSeriesSequence" or status == PerformedStatus.COMPLETED
        if rule.tag in modification:
            if _is_empty(modification[rule.tag]):
                yield Defect(rule.keyword, Kind.EMPTY, "final state, Type 1", needed)
        elif not stored.get(f"{rule.tag:08X}", {}).get("Value"):
            yield Defect(rule.keyword, Kind.MISSING, "final state, Type 1", needed)


def _moments(dataset: Dataset) -> Iterator[Defect]:
    named = "PerformedProcedureStep"
    checks: tuple[tuple[str, Any], ...] = (
        (f"{named}StartDate", clock.parse_date),
        (f"{named}StartTime", clock.parse_time),
        (f"{named}EndDate", clock.parse_date),
        (f"{named}EndTime", clock.parse_time),
        ("TimezoneOffsetFromUTC", clock.parse_offset),
    )
    for keyword, parse in checks:
        try:
            if text := text_of(dataset, keyword):
                parse(text)
        except ValueError as error:
            yield _invalid(keyword, str(error))


def _invalid(keyword: str, why: str) -> Defect:
    return Defect(keyword, Kind.INVALID, why, True)


def text_of(dataset: Dataset, keyword: str) -> str:
    """An attribute's value as text without padding; empty if it is not there."""
    element = dataset.get(tag_for_keyword(keyword) or 0)
    return "" if element is None else _text(element)


def _text(element: DataElement) -> str:
    value = element.value
    return "" if value is None else str(value).strip()
