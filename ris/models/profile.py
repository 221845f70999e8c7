"""What a station's profile may say: its defined terms, and the keys that may be filled in for a scanner."""

import re
from collections.abc import Mapping
from typing import Any

_NUMBERS = (100, 101, 109, 110, 144, 127, 126, 138, 148, 166, 13)
#: Defined terms of Specific Character Set (0008,0005) without and with code extensions (PS3.3 C.12.1.1.2), all but
#: those of Latin 9, which pydicom does not know.
ALONE = frozenset({"ISO_IR 6", "ISO_IR 192", "GB18030", "GBK", *(f"ISO_IR {number}" for number in _NUMBERS)})
EXTENDING = frozenset(f"ISO 2022 IR {number}" for number in (6, 87, 159, 149, 58, *_NUMBERS))

#: Sets of several bytes, which only follow another (PS3.3 table C.12-4).
_FOLLOWING = frozenset(f"ISO 2022 IR {number}" for number in (87, 159, 149, 58))

_AE_TITLES = re.compile(r"[ -\[\]-~]{1,16}(\\[ -\[\]-~]{1,16})*")
_CODES = re.compile(r"[A-Z0-9 _]{1,16}(\\[A-Z0-9 _]{1,16})*")
_DATES = re.compile(r"TODAY|\d{8}(-(\d{8})?)?|-\d{8}")
_TIMES = re.compile(r"\d{2}(\d{2}){0,2}(-(\d{2}(\d{2}){0,2})?)?|-\d{2}(\d{2}){0,2}")
#: Keys that may be filled in where a scanner leaves them empty, and what they may hold. None of them names a patient.
FILLABLE: Mapping[str, re.Pattern[str]] = {
    "ScheduledStationAETitle": _AE_TITLES,
    "Modality": _CODES,
    "ScheduledProcedureStepStatus": _CODES,
    "RequestedProcedurePriority": _CODES,
    "ScheduledProcedureStepStartDate": _DATES,
    "ScheduledProcedureStepStartTime": _TIMES,
}


def character_set_fault(value: str) -> str:
    """What is wrong with a Specific Character Set, as a sentence; empty if it is in order.

    Several values are with code extensions each, of which the first may be empty (PS3.5 6.1.2.3).
    """
    terms = value.split("\\")
    if terms[0] in _FOLLOWING:
        return f"{terms[0]} cannot be the first: leave the first empty, as in \\{terms[0]}."
    if len(terms) == 1:
        return "" if value in ALONE | EXTENDING else f"{value} is no defined term, such as ISO_IR 192 or ISO_IR 100."
    if wrong := [term for number, term in enumerate(terms) if term not in EXTENDING and (term or number)]:
        return f"{wrong[0] or 'An empty value'} cannot stand beside others: those are ISO 2022 terms."
    return "" if len(set(terms)) == len(terms) else "A term stands twice."


def default_keys_fault(keys: Any) -> str:
    """What is wrong with the keys that are filled in for a scanner, as a sentence; empty if they are in order."""
    if not isinstance(keys, dict):
        return 'Keys are written as {"Keyword": "value"}.'
    for keyword, value in keys.items():
        pattern = FILLABLE.get(keyword)
        if pattern is None:
            return f"{keyword} cannot be filled in; these can: {', '.join(FILLABLE)}."
        if not isinstance(value, str) or not pattern.fullmatch(value):
            return f"{keyword} cannot be {value}."
    return ""
