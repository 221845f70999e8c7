"""A scheduled step as the answer to a worklist query: pure, only what was asked for, in the scanner's character set."""

import unicodedata
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from ris.models import ScheduledProcedureStep
from worklist.keys import BY_KEYWORD, STEP_BY_KEYWORD, STEP_SEQUENCE, Key

#: PS3.5 6.2: the most characters of a value, for a person name of each component group.
_LENGTH = {"SH": 16, "CS": 16, "AE": 16, "DS": 16, "LO": 64, "PN": 64, "ST": 1024, "LT": 10240}
_TEXTS = frozenset({"SH", "LO", "PN", "ST", "LT", "UC", "UT"})
#: A Type 1 name may not be empty, and a patient brought in unconscious has none.
_NO_NAME = "UNKNOWN"


def answer(step: ScheduledProcedureStep, identifier: Dataset, character_set: str) -> Dataset:
    """The worklist entry of ``step`` with the attributes that ``identifier`` names.

    Specific Character Set (0008,0005) stands in it where a text needs more than ASCII, or where it was asked for. What
    is not in Table K.6-1 comes back empty.
    """
    result = Dataset()
    codec = "ascii" if character_set == "ISO_IR 6" else python_encoding.get(character_set, "utf8")
    for element in identifier:
        if element.keyword == STEP_SEQUENCE:
            result.add_new(element.tag, "SQ", [_step_item(step, element, codec)])
        elif element.keyword != "SpecificCharacterSet":
            _add(result, element, BY_KEYWORD, step, codec)
    if "SpecificCharacterSet" in identifier or not _is_ascii(result):
        result.SpecificCharacterSet = character_set
    return result


def _step_item(step: ScheduledProcedureStep, asked: DataElement, codec: str) -> Dataset:
    item = Dataset()
    if not asked.value or not asked.value[0]:  # asked for as a whole
        for key in STEP_BY_KEYWORD.values():
            _put(item, key, step, None, codec)
        return item
    for element in asked.value[0]:
        _add(item, element, STEP_BY_KEYWORD, step, codec)
    return item


def _add(
    target: Dataset, asked: DataElement, table: Mapping[str, Key], step: ScheduledProcedureStep, codec: str
) -> None:
    key = table.get(asked.keyword)
    if key:
        _put(target, key, step, asked, codec)
    elif asked.tag.element:  # a group length is no attribute
        target.add_new(asked.tag, asked.VR, [] if asked.VR == "SQ" else None)


def _put(target: Dataset, key: Key, step: ScheduledProcedureStep, asked: DataElement | None, codec: str) -> None:
    value = key.value(step)
    if key.keyword == "PatientName":
        value = value or _NO_NAME
    if key.vr == "SQ":
        value = _items(value, asked, codec)
    elif value is not None:
        value = _shaped(value, key.vr, codec)
    # Type 1C and 3 without a value are left out, Type 2 is sent empty (PS3.5 7.4).
    if value in (None, "", []) and key.return_type in ("1C", "3") and not (asked and key.return_type == "3"):
        return
    target.add_new(key.keyword, key.vr, value)


def _items(rows: list[dict[str, Any]], asked: DataElement | None, codec: str) -> list[Dataset]:
    """A sequence's items, with the nested keys that were asked for, or whole if none was named."""
    nested = {element.keyword for element in asked.value[0]} if asked is not None and asked.value else set()
    items = []
    for row in rows:
        item = Dataset()
        for keyword, value in row.items():
            if not nested or keyword in nested:
                setattr(item, keyword, _text(value, "LO", codec))
        items.append(item)
    return items


def _shaped(value: Any, vr: str, codec: str) -> Any:
    """A value of the domain as pydicom takes it, within what its VR can carry."""
    if isinstance(value, list):
        return [_text(text, vr, codec) for text in value]
    if isinstance(value, date):
        return f"{value:%Y%m%d}"
    if isinstance(value, Decimal):
        return str(value.normalize())[:16] if abs(value) < 1 else f"{value:f}"[:16]
    return value if isinstance(value, int) else _text(str(value), vr, codec)


def _text(text: str, vr: str, codec: str) -> str:
    if vr == "PN":
        groups = (_encodable(group[: _LENGTH["PN"]], codec, lose=index > 0) for index, group in _groups(text))
        return "=".join(groups).rstrip("=")
    if vr not in ("ST", "LT", "UT"):  # one line, and the backslash parts values (PS3.5 6.2)
        text = " ".join(text.replace("\\", "/").split())
    return _encodable(text, codec)[: _LENGTH.get(vr)] if vr in _TEXTS else text[: _LENGTH.get(vr)]


def _groups(name: str) -> list[tuple[int, str]]:
    return list(enumerate(name.replace("\\", "/").split("=")[:3]))


def _encodable(text: str, codec: str, lose: bool = False) -> str:
    """The text as the scanner's character set can say it: without accents, then with ``?``, where it cannot.

    ``lose``: an ideographic or phonetic group that cannot be said is left out; question marks help nobody.
    """
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        if lose:
            return ""
        plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
        return plain.encode("ascii", "replace").decode("ascii")
    return text


def _is_ascii(dataset: Dataset) -> bool:
    for element in dataset:
        if element.VR == "SQ":
            if not all(_is_ascii(item) for item in element.value):
                return False
        elif element.VR in _TEXTS and not str(element.value or "").isascii():
            return False
    return True
