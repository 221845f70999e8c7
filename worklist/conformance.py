"""The DICOM conformance statement (PS3.2): its prose is a template, its tables are made from the tables that the code
works by. ``manage.py conformance_statement`` writes docs/conformance.md; a test holds the two together."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from django.template.loader import render_to_string
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_description
from pydicom.uid import UID

from worklist import limits, mpps_rules, mpps_send, negotiation, scp, status
from worklist.dimse import (
    CANCEL,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MODALITY_WORKLIST,
    MPPS,
    MPPS_RETRIEVE,
    PENDING,
    PENDING_UNSUPPORTED,
    SUCCESS,
    VERIFICATION,
)
from worklist.keys import KEYS, Key, Match
from worklist.mpps import NOT_SUPPORTED
from worklist.mpps_table import RULES, Rule
from worklist.repertoire import CODE_SETS

Row = tuple[Any, ...]

_WORKLIST_CLASSES = (VERIFICATION, MODALITY_WORKLIST, MPPS, MPPS_RETRIEVE)
#: Service -> its statuses and when they are given.
STATUSES: dict[str, tuple[tuple[int, str], ...]] = {
    "echo": (
        (SUCCESS, "the work can be done: the database answered"),
        (status.PROCESSING_FAILURE, "the database is away"),
    ),
    "find": (
        (SUCCESS, "all matches were sent"),
        (PENDING, "a match; every key with a value was matched"),
        (PENDING_UNSUPPORTED, "a match; a key with a value could not be matched and was taken as a return key"),
        (CANCEL, "ended by C-CANCEL-RQ"),
        (
            status.OUT_OF_RESOURCES,
            "the database is away or too slow; or more entries match than the station may get, after as many as it may",
        ),
        (
            status.DOES_NOT_MATCH_SOP_CLASS,
            "empty, cut off or undecodable identifier; a key that cannot be matched as "
            "it stands, such as a date that is none",
        ),
        (status.CANNOT_UNDERSTAND, "an error nobody foresaw"),
    ),
    "mpps": (
        (SUCCESS, "the message and what follows from it are durable"),
        (
            status.NO_SUCH_ATTRIBUTE,
            "strict stations: an N-SET of what may not be set or was not created; with Attribute Identifier List",
        ),
        (
            status.INVALID_ATTRIBUTE_VALUE,
            "a value that cannot be kept, a status other than IN PROGRESS at N-CREATE, a "
            "data set that is cut off or undecodable",
        ),
        (
            status.PROCESSING_FAILURE,
            "the step is COMPLETED or DISCONTINUED, with Error ID A710H and the comment "
            '"Performed Procedure Step Object may no longer be updated"; or the database is away',
        ),
        (status.DUPLICATE_SOP_INSTANCE, "N-CREATE of an instance that is here; nothing changes"),
        (
            status.NO_SUCH_SOP_INSTANCE,
            "N-SET of an instance that is not here; its content is kept ten minutes for a "
            "person to see, and changes nothing",
        ),
        (status.INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID"),
        (status.MISSING_ATTRIBUTE, "an attribute is missing; with Attribute Identifier List"),
        (status.MISSING_ATTRIBUTE_VALUE, "an attribute is empty; with Attribute Identifier List"),
    ),
    "retrieve": (
        (SUCCESS, "the attributes asked for, or all"),
        (NOT_SUPPORTED, "an attribute was asked for that is neither in Table F.7.2-1 nor in the object"),
        (status.NO_SUCH_SOP_INSTANCE, "the instance is not here"),
        (status.INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID"),
    ),
    "store": (
        (SUCCESS, "file and record are durable; an instance that is here already is kept as it was"),
        (status.OUT_OF_RESOURCES, "the disk is full or the database away"),
        (
            status.DOES_NOT_MATCH_SOP_CLASS,
            "class or instance differ between command and data set, or study or series has no UID",
        ),
        (status.INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID"),
        (status.CANNOT_UNDERSTAND, "the data set is cut off or undecodable"),
    ),
    "any": (
        (status.NO_SUCH_SOP_CLASS, "the command names no SOP class"),
        (status.SOP_CLASS_NOT_SUPPORTED, "the command's SOP class is not the presentation context's"),
        (status.UNRECOGNIZED_OPERATION, "the SOP class has no such operation"),
    ),
}
#: What the MPPS sender makes of an answer.
SENT_ANSWERS: tuple[tuple[str, str], ...] = (
    ("0000H, 0001H, 0107H, 0116H", "taken"),
    ("0111H to N-CREATE", "taken: it was created before"),
    ("0110H with Error ID A710H to an N-SET that was on the wire before", "taken: it had been ended by it"),
    ("0110H, 0213H", "offered again after a pause, as often as the destination says, then parked"),
    ("any other", "parked until a person sends it again or gives it up; the same MPPS waits behind it, others go on"),
    (
        "no answer, no association",
        f"offered again after a pause of at most {mpps_send.Policy.longest_retry:.0f} s, for ever",
    ),
)
_REJECTIONS: tuple[tuple[negotiation.Rejection, str], ...] = (
    (negotiation.CALLED_AE_TITLE_NOT_RECOGNIZED, "called AE title not recognized"),
    (
        negotiation.CALLING_AE_TITLE_NOT_RECOGNIZED,
        "calling AE title not recognized: no active station has it, or it is bound to another network or certificate",
    ),
    (negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED, "application context name not supported"),
    (negotiation.PROTOCOL_VERSION_NOT_SUPPORTED, "protocol version not supported"),
    (negotiation.NO_REASON, f"the peer takes P-DATA-TF of less than {limits.SHORTEST_PDU} bytes only"),
    (negotiation.NO_REASON, "the station's passcode is missing or wrong, or it is locked out after wrong ones"),
    (negotiation.TEMPORARY_CONGESTION, "the list of stations cannot be read"),
)


def statement() -> str:
    """The whole statement as Markdown."""
    text = render_to_string("worklist/conformance.md", _tables())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _tables() -> dict[str, Any]:
    storage = [uid for uid in scp.STORE_CONTEXTS if uid != VERIFICATION]
    stand_alone = [term for term in python_encoding if term and not term.startswith("ISO 2022") and "2022-" not in term]
    return {
        "class_uid": IMPLEMENTATION_CLASS_UID,
        "version_name": IMPLEMENTATION_VERSION_NAME,
        "overview": _table(("SOP class", "UID", "SCU", "SCP"), _overview(len(storage))),
        "worklist_contexts": _contexts({uid: scp.WORKLIST_CONTEXTS[uid] for uid in _WORKLIST_CLASSES}),
        "store_contexts": _contexts({VERIFICATION: scp.STORE_CONTEXTS[VERIFICATION]}),
        "sender_contexts": _contexts({MPPS: mpps_send.TRANSFER_SYNTAXES}, "SCU"),
        "plain": _table(("Transfer syntax", "UID"), _named(scp.PLAIN)),
        "compressed": _table(("Transfer syntax", "UID"), _named(scp.COMPRESSED)),
        "storage": _table(("SOP class", "UID"), _named(storage)),
        "statuses": {service: _statuses(rows) for service, rows in STATUSES.items()},
        "sent_answers": _table(("Answer", "What becomes of the message"), SENT_ANSWERS),
        "rejections": _table(
            ("Result", "Source", "Diagnostic", "When"), ((*rejection, when) for rejection, when in _REJECTIONS)
        ),
        "longest_pdu": limits.LONGEST_PDU,
        "longest_request": limits.LONGEST_REQUEST,
        "limits": _table(
            ("Limit", "Value"),
            ((f.name.replace("_", " "), getattr(limits.USUAL, f.name)) for f in fields(limits.USUAL)),
        ),
        "sender_limits": _table(
            ("Seconds", "Value"),
            ((f.name.replace("_", " "), getattr(mpps_send.Policy(), f.name)) for f in fields(mpps_send.Policy)),
        ),
        "keys": _table(("Attribute", "Tag", "VR", "Key", "Return", "Matching"), _keys(KEYS, "")),
        "optional": ", ".join(_optional(KEYS)),
        "mpps": _table(("Attribute", "Tag", "N-CREATE", "N-SET", "Final", "Lenient stations"), _rules(RULES, "")),
        "mpps_refusals": (mpps_rules.__doc__ or "").split("\n\n", 2)[2].strip(),
        "stand_alone": ", ".join(f"`{term}`" for term in sorted(stand_alone)),
        "extended": ", ".join(f"`{term}`" for term in sorted(CODE_SETS)),
    }


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, tuple("---" for _cell in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _overview(storage: int) -> Iterator[Row]:
    for uid in _WORKLIST_CLASSES:
        yield UID(uid).name, uid, "yes" if uid == MPPS else "no", "yes"
    yield f"Storage: {storage} SOP classes, section 8.4", "", "no", "yes"


def _contexts(offered: dict[str, list[str]], role: str = "SCP") -> str:
    head = ("Abstract syntax", "UID", "Transfer syntaxes, the preferred first", "Role", "Extended negotiation")
    rows = (
        (UID(uid).name, uid, "; ".join(UID(one).name for one in syntaxes), role, "none")
        for uid, syntaxes in offered.items()
    )
    return _table(head, rows)


def _named(uids: Iterable[str]) -> Iterator[Row]:
    return ((UID(uid).name, uid) for uid in uids)


def _statuses(rows: Iterable[tuple[int, str]]) -> str:
    return _table(("Status", "When"), ((f"{code:04X}H", when) for code, when in rows))


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _keys(keys: Iterable[Key], depth: str) -> Iterator[Row]:
    """The attributes of Table K.6-1, those inside sequences behind ``>``."""
    for key in keys:
        kind = "R" if key.required else "O"
        yield depth + dictionary_description(key.tag), _tag(key.tag), key.vr, kind, key.return_type, key.match.value
        yield from _keys(key.items, f">{depth}")


def _optional(keys: Iterable[Key], inside: str = "") -> Iterator[str]:
    """Optional matching keys that are matched, those inside sequences behind the sequence."""
    for key in keys:
        name = inside + dictionary_description(key.tag)
        if not key.required and key.match not in (Match.NONE, Match.UNSUPPORTED) and not key.items:
            yield name
        yield from _optional(key.items, f"{name} > ")


def _rules(rules: Iterable[Rule], depth: str) -> Iterator[Row]:
    for rule in rules:
        lenient = "refused without it" if rule.needed else ""
        yield depth + dictionary_description(rule.tag), _tag(rule.tag), rule.create, rule.set, rule.final, lenient
        yield from _rules(rule.items, f">{depth}")
