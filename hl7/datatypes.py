"""HL7 v2 data types as values of ours. Pure. A reader returns None for *not what is looked for*, and raises ValueError,
with what is wrong in words that follow the field's name, for *meant as it, but unusable*."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

from hl7.er7 import Segment
from ris.identifiers import is_short_string, is_uid
from ris.inputs import Code, Identifier

#: Defined terms of Modality (PS3.3 C.7.3.1.1.1) that a worklist can hold.
_MODALITY = re.compile(
    "AR|AU|BI|BMD|CR|CT|DG|DX|ECG|EPS|ES|GM|HD|IO|IVUS|KER|LEN|LS|MG|MR|NM|OAM|OCT|OP|OPM|OPT|OPV|OT|PT|PX|RF|RG"
    "|SM|TG|US|VA|XA|XC"
)
_PRIORITIES = frozenset({"STAT", "HIGH", "ROUTINE", "MEDIUM", "LOW"})
_SEXES = frozenset({"M", "F", "O", ""})
#: HL7 table 0203 types that stand in CX.5, where some senders put the authority.
_ID_TYPE = re.compile(
    "AN|BR|DL|DN|EI|EN|FN|MA|MC|MI|MR|MRN|NH|NI|NPI|PI|PN|PPN|PPSN|PRN|PT|RI|SS|SSN|U|VN|VS|XX", re.IGNORECASE
)
_TIME = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]?(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.\d+|\d*))?)?)?\s*(Z|[+-]\d\d:?\d\d)?\Z"
)
_KILOGRAMS = {
    **dict.fromkeys(("", "KG", "KGS", "KILOGRAM", "KILOGRAMS"), Decimal(1)),
    **dict.fromkeys(("G", "GM", "GRAMS"), Decimal("0.001")),
    **dict.fromkeys(("LB", "LBS", "[LB_AV]", "POUNDS"), Decimal("0.45359237")),
}
_METRES = {
    "M": Decimal(1),
    "CM": Decimal("0.01"),
    "MM": Decimal("0.001"),
    **dict.fromkeys(("IN", "[IN_I]", "INCHES"), Decimal("0.0254")),
}
_MINUTES = {
    **dict.fromkeys(("M", "MIN", "MINS", "MINUTE", "MINUTES"), Decimal(1)),
    **dict.fromkeys(("S", "SEC", "SECOND", "SECONDS"), 1 / Decimal(60)),
    **dict.fromkeys(("H", "HR", "HOUR", "HOURS"), Decimal(60)),
}
_NO_WORDS: Mapping[str, str] = {}
_PLACEHOLDER = re.compile(r"set[A-Z][A-Za-z]+\Z")


def line(text: str) -> str:
    """On one line, without control characters."""
    clean = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    return " ".join(clean.split())


def lines(text: str) -> str:
    """Several lines, without other control characters."""
    return "\n".join(line(row) for row in text.splitlines()).strip()


def modality(text: str, words: Mapping[str, str] = _NO_WORDS) -> str | None:
    """A defined term, or what a table has for a word; None for a department or anything else."""
    word = text.strip().upper()
    word = words.get(word, word)
    return word if _MODALITY.fullmatch(word) else None


def priority(text: str) -> str | None:
    """Requested Procedure Priority (0040,1003), DICOM's own words."""
    word = text.strip().upper()
    return word if word in _PRIORITIES else None


def sex(text: str) -> str:
    """Patient's Sex (0010,0040)."""
    word = text.strip().upper()
    if word not in _SEXES:
        raise ValueError("is not an administrative sex of table 0001")
    return word


def pregnancy(text: str) -> int | None:
    """Pregnancy Status (0010,21C0): 1 to 4."""
    return int(text) if re.fullmatch("[1-4]", text) else None


def moment(text: str) -> datetime:
    """A TS with at least a date, also with ISO 8601's dashes; aware if it has a zone offset, else naive."""
    found = _TIME.match(text.strip())
    if not found:
        raise ValueError("is not a date and time (YYYYMMDDHHMM)")
    *numbers, offset = found.groups()
    try:
        year, month, date_, hour, minute, second = (int(number or 0) for number in numbers)
        at = datetime(year, month, date_, hour, minute, second, tzinfo=_zone(offset))
    except ValueError as error:
        raise ValueError("is not a date and time that exists") from error
    if not 1900 <= at.year <= 2200:
        raise ValueError("is not a date and time of our days")
    return at


def start(text: str) -> datetime | None:
    """A TS that says when something begins; None for the zeros that some systems send where nothing is said."""
    return moment(text) if text.strip("0 ") else None


def has_time(text: str) -> bool:
    """Whether a TS says a time of day."""
    found = _TIME.match(text.strip())
    return bool(found and found.group(4))


def _zone(offset: str | None) -> timezone | None:
    if not offset:
        return None
    if offset == "Z":
        return UTC
    sign, digits = offset[0], offset[1:].replace(":", "")
    delta = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-delta if sign == "-" else delta)


def birth_date(text: str) -> date:
    """The date of a TS."""
    try:
        return moment(text).date()
    except ValueError as error:
        raise ValueError("is not a date of birth") from error


def short_string(text: str) -> str | None:
    """An identifier that DICOM holds as SH; None for a placeholder that a sender's template left behind."""
    if label(text) is None:
        return None
    if not is_short_string(text):
        raise ValueError("has more than 16 characters or a backslash")
    return text


def label(text: str) -> str | None:
    """A short text; None for a placeholder that a sender's template left behind."""
    return None if _PLACEHOLDER.match(text) else line(text)


def uid(text: str) -> str:
    """A DICOM UID."""
    if not is_uid(text):
        raise ValueError("is not a DICOM UID")
    return text


def is_long_uid(text: str) -> bool:
    """Whether a text in a field that is not meant for one is a DICOM UID, not just a number with dots."""
    return is_uid(text) and text.count(".") > 3


def decimal(text: str) -> Decimal | None:
    """A plain number, also with a decimal comma."""
    return Decimal(text.replace(",", ".")) if re.fullmatch(r"\d{1,6}(?:[.,]\d{1,6})?", text) else None


def kilograms(text: str, unit: str) -> Decimal:
    """A weight of a person in kg; ``unit`` is empty or one of UCUM's or of the street's."""
    return _measure(text, _KILOGRAMS.get(unit), Decimal(1000), "weight")


def metres(text: str, unit: str) -> Decimal:
    """A height of a person in m. Without a unit it is in m below 3, else in cm."""
    number = decimal(text) or Decimal(0)
    return _measure(text, _METRES.get(unit or ("M" if number < 3 else "CM")), Decimal(3), "height")


def _measure(text: str, factor: Decimal | None, limit: Decimal, what: str) -> Decimal:
    number = decimal(text)
    found = round(number * factor, 2) if number is not None and factor else Decimal(0)
    if not 0 < found < limit:
        raise ValueError(f"is not a {what} that can be used")
    return found


def minutes(text: str, unit: str = "") -> int | None:
    """A duration of at most a day; ``M30`` says its unit itself, as in TQ.3. None if it is no such thing."""
    if not unit and text[:1].isalpha():
        unit, text = text[:1], text[1:]
    factor, number = _MINUTES.get(unit.upper()), decimal(text)
    found = int(number * factor) if number and factor else 0
    return found if 0 < found <= 24 * 60 else None


def entity(segment: Segment, number: int) -> Identifier:
    """EI: the entity identifier, with the namespace or universal ID as its issuer. Without an entity it is none."""
    value = segment.value(number, 1, 1)
    if not value:
        return Identifier()
    return Identifier(line(value), line(segment.value(number, 1, 2) or segment.value(number, 1, 3) or ""))


def code(segment: Segment, number: int, repetition: int = 1, first: int = 1) -> Code:
    """CE/CWE: identifier, coding scheme and text, beginning at component ``first``."""
    parts = (segment.value(number, repetition, first + offset) or "" for offset in range(3))
    value, meaning, scheme = (line(part) for part in parts)
    return Code(value, scheme, meaning)


def extended_id(segment: Segment, repetition: str) -> Identifier:
    """CX: the identifier with its assigning authority, which is found in component 4, 6 or 5 in the wild."""
    value = segment.part(repetition, 1)
    places = ((4, 1), (4, 2), (6, 1), (6, 2))
    authority = next((found for place in places if (found := segment.part(repetition, *place))), None)
    kind = segment.part(repetition, 5) or ""
    if not authority and not _ID_TYPE.fullmatch(kind):
        authority = kind
    return Identifier(line(value or ""), line(authority or ""))


def person_name(segment: Segment, repetition: str, first: int = 1) -> str:
    """XPN (``first`` 1) or XCN (``first`` 2) as one group of a DICOM PN: family^given^middle^prefix^suffix.

    HL7's order is family, given, middle, suffix, prefix, degree. Where the whole name stands in the subcomponents of
    the family name, as in v2.2 (#019), it is taken from there.
    """
    parts = [segment.part(repetition, first + offset) or "" for offset in range(6)]
    within = [segment.part(repetition, first, number) or "" for number in range(1, 7)]
    if any(within[1:]) and not any(parts[1:]):
        parts = within
    elif any(within[1:]):
        parts[0] = within[0] or within[1]
    family, given, middle, suffix, prefix, degree = (_name_part(part) for part in parts)
    return "^".join((family, given, middle, prefix, " ".join(filter(None, (suffix, degree))))).rstrip("^")


def _name_part(text: str) -> str:
    """PS3.5 6.2.1: carets, equal signs and backslashes divide a PN, so they cannot be in its parts."""
    return line(re.sub(r"[\^=\\]", " ", text))
