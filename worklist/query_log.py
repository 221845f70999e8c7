"""What may be kept of a question that a station asked: its keys, and never a value that could name a patient."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable

from django.conf import settings

from ris.models import name_key

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
    "ScheduledProcedureStepStartDate": re.compile(r"[0-9*? -]{1,18}"),
    "ScheduledProcedureStepStartTime": re.compile(r"[0-9.*? -]{1,28}"),
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
    if not value or (readable and readable.fullmatch(value)):
        return value
    if "*" in value or "?" in value or (keyword == "PatientBirthDate" and "-" in value):
        return PATTERN
    return hashed(keyword, value)


def hashed(keyword: str, value: str) -> str:
    """The keyed hash of a value: the same for the same value, and of no use to who has not the site's key."""
    text = f"{keyword}={normal(keyword, value)}".encode("utf-8", "surrogatepass")
    return HASH + hmac.digest(settings.SECRET_KEY.encode(), text, "sha256").hex()[:32]


def normal(keyword: str, value: str) -> str:
    """A value as it is compared: names without case, accents and empty ends (PS3.5 6.2.1.2), others without padding."""
    return name_key(value).rstrip("^ ") if keyword.endswith("Name") or "Physician" in keyword else value.strip(" \0")


def digest(keys: Iterable[Iterable[str]], asked: Iterable[str]) -> str:
    """What one question is known by."""
    said = json.dumps([[list(key) for key in keys], list(asked)], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()
