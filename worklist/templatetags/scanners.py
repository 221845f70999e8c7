"""How values of DICOM are read by people."""

from django import template

from worklist.dimse import CANCEL, SUCCESS
from worklist.status import CANNOT_UNDERSTAND, DOES_NOT_MATCH_SOP_CLASS, OUT_OF_RESOURCES

register = template.Library()

_WORDS = {
    SUCCESS: "success",
    CANCEL: "canceled by the scanner",
    OUT_OF_RESOURCES: "refused, or more matched than it may get",
    DOES_NOT_MATCH_SOP_CLASS: "a key cannot be matched",
    CANNOT_UNDERSTAND: "not understood",
}


@register.filter
def status_words(status: int) -> str:
    """A DIMSE status of C-FIND (PS3.4 K.4.1.1.4) such as ``A700H`` with what it means."""
    return f"{status:04X}H {_WORDS.get(status, '')}".rstrip()


@register.filter
def class_name(name: str) -> str:
    """The name of a SOP class (PS3.6 table A-1) without the words that all of them have."""
    return name.removesuffix(" SOP Class").replace(" Information Model - FIND", "")


@register.filter
def shown_value(value: str) -> str:
    """The value of a logged key for people: ``CT``, ``one value``, ``a pattern``; several joined by ``or``."""
    parts = ["one value (hidden)" if part.startswith("hash:") else part for part in value.split("\\")]
    return " or ".join("a pattern (hidden)" if part == "pattern" else part for part in parts)
