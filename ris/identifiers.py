"""Identifiers: what we make ourselves and what we let in from outside.

Numbers of ours are made from the row's own key, which the database hands out once: they cannot collide under
concurrent callers on SQLite or PostgreSQL, and no second counter has to be locked.
"""

import re
import uuid

from ris.errors import InvalidIdentifier

#: PS3.5 6.2 SH: at most 16 characters, no backslash, no control characters.
_SHORT_STRING = re.compile(r"[^\\\x00-\x1f\x7f]{1,16}")
#: PS3.5 9.1: components of digits without leading zeros, at most 64 characters in all.
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_STUDY_NAMESPACE = uuid.UUID("7d6f6d3c-7d34-4a87-9a55-6f2f9c1a5b0e")


def accession_number(order_pk: int) -> str:
    """An accession number (0008,0050) of at most 16 characters."""
    return f"SV{order_pk:08d}"


def requested_procedure_id(order_pk: int, position: int) -> str:
    """A Requested Procedure ID (0040,1001) of at most 16 characters: of the order's procedure at ``position``."""
    return f"RP{order_pk:08d}" + _behind_the_first(position)


def scheduled_procedure_step_id(procedure_pk: int, position: int) -> str:
    """A Scheduled Procedure Step ID (0040,0009) of at most 16 characters: of the procedure's step at ``position``."""
    return f"SPS{procedure_pk:08d}" + _behind_the_first(position)


def _behind_the_first(position: int) -> str:
    return "" if position == 1 else f"-{position}"


def is_ours(step_id: str) -> bool:
    """Whether the Scheduled Procedure Step ID is one that we made."""
    return bool(re.fullmatch(r"SPS\d{8,}(-\d+)?", step_id))


def study_instance_uid(issuer: str, order_number: str, position: int) -> str:
    """The Study Instance UID of an order's procedure: the same whenever the order is sent, another per sender.

    A name-based UUID as a UID (PS3.5 B.2), so that it is the same even after the database was set up anew.
    """
    name = "\x1f".join((issuer, order_number, str(position)))
    return f"2.25.{uuid.uuid5(_STUDY_NAMESPACE, name).int}"


def is_short_string(text: str) -> bool:
    """Whether ``text`` can be an SH value: accession number, requested procedure ID, SPS ID."""
    return bool(_SHORT_STRING.fullmatch(text))


def is_uid(text: str) -> bool:
    """Whether ``text`` is a DICOM UID."""
    return len(text) <= 64 and bool(_UID.fullmatch(text))


def check_short_string(field: str, text: str) -> None:
    """InvalidIdentifier unless ``text`` is empty or fits SH; ``field`` names it in the refusal."""
    if text and not is_short_string(text):
        raise InvalidIdentifier(f"{field} must have at most 16 characters and no backslash; it has {len(text)}")


def check_uid(field: str, text: str) -> None:
    """InvalidIdentifier unless ``text`` is empty or a UID; ``field`` names it in the refusal."""
    if text and not is_uid(text):
        raise InvalidIdentifier(f"{field} is not a DICOM UID")
