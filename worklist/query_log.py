"""What may be kept of a question that a station asked: its keys, and never a value that could name a patient."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from django.conf import settings
from pydicom.datadict import dictionary_VR, tag_for_keyword

from worklist.wildcard import name_groups

#: The keys whose values are kept as they were asked, and the shape that they must have: none of them can name anybody.
READABLE: dict[str, re.Pattern[str]] = {
    **dict.fromkeys(
        ("ScheduledStationAETitle", "ScheduledStationName", "ScheduledProcedureStepLocation"),
        re.compile(r"[ -~]{1,16}"),
    ),
    **dict.fromkeys(
        ("Modality", "ScheduledProcedureStepStatus", "RequestedProcedurePriority", "PatientSex"),
        re.compile(r"[A-Z0-9 _*?]{1,16}"),
    ),
    **dict.fromkeys(
        ("ScheduledProcedureStepStartDate", "ScheduledProcedureStepEndDate", "IssueDateOfImagingServiceRequest"),
        re.compile(r"[0-9*? -]{1,24}"),
    ),
    **dict.fromkeys(
        ("ScheduledProcedureStepStartTime", "ScheduledProcedureStepEndTime", "IssueTimeOfImagingServiceRequest"),
        re.compile(r"[0-9.*? -]{1,36}"),
    ),
    "TimezoneOffsetFromUTC": re.compile(r"[+-][0-9]{4}"),
}
#: What stands for a value with wildcards or a range of birth dates: it cannot be compared by its hash.
PATTERN = "pattern"
#: What a hashed value begins with.
HASH = "hash:"
#: Values of one key that are kept.
MOST_VALUES = 20


def hidden(keyword: str, value: str) -> str:
    """A value as it may be kept: itself if it is harmless, else ``pattern`` or ``hash:...``; each of several."""
    parts = value.split("\\")
    kept = [_hidden(keyword, part) for part in parts[:MOST_VALUES]]
    return "\\".join(kept)


def _hidden(keyword: str, value: str) -> str:
    readable = READABLE.get(keyword)
    if not value.strip("*") or (readable and readable.fullmatch(value)):
        return value  # a lone asterisk asks for everybody
    if "*" in value or "?" in value or (keyword == "PatientBirthDate" and "-" in value):
        return PATTERN
    return hashed(keyword, value)


def hashed(keyword: str, value: str) -> str:
    """The keyed hash of a value: the same for the same value, and of no use to who has not the site's key."""
    text = f"{keyword}={normal(keyword, value)}".encode("utf-8", "surrogatepass")
    return HASH + hmac.digest(settings.SECRET_KEY.encode(), text, "sha256").hex()[:32]


def normal(keyword: str, value: str) -> str:
    """A value as it is compared: names without case, accents and empty ends (PS3.5 6.2.1.2), numbers as such, others
    without padding."""
    tag = tag_for_keyword(keyword.rpartition(".")[2])
    vr = dictionary_VR(tag) if tag else ""
    if vr == "PN":
        return "=".join(name_groups(value)).rstrip("=")
    return _number(value) if vr in ("DS", "US") else value.strip(" \0")


def _number(value: str) -> str:
    try:
        return str(Decimal(value).normalize())
    except InvalidOperation:
        return value


def digest(keys: Iterable[Iterable[str]], asked: Iterable[str]) -> str:
    """What one question is known by."""
    said = json.dumps([[list(key) for key in keys], list(asked)], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()
