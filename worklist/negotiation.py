"""A-ASSOCIATE: what a peer asks, and the answer to it that depends on nothing but the request (PS3.8 9.3.2, PS3.7 D.3).

Scanners send the same request each time, so decoded requests are kept. Whether a station may come in is never kept.
"""

import functools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

from worklist.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from worklist.limits import LONGEST_PDU, SHORTEST_PDU

# The library would format each PDU for logs that are off, and write identifiers, which are patient data.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False

Rejection = tuple[int, int, int]
#: Result, source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 Table 9-21).
NO_REASON: Rejection = (1, 1, 1)
APPLICATION_CONTEXT_NOT_SUPPORTED: Rejection = (1, 1, 2)
CALLING_AE_TITLE_NOT_RECOGNIZED: Rejection = (1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED: Rejection = (1, 1, 7)
PROTOCOL_VERSION_NOT_SUPPORTED: Rejection = (1, 2, 2)
TEMPORARY_CONGESTION: Rejection = (2, 3, 1)

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
#: Requests that are kept, and up to which length in bytes.
_KEPT, _LONGEST_KEPT = 256, 16 * 1024
_APPLICATION_CONTEXT_ITEM, _CONTEXT_ITEM, _USER_ITEM = 0x10, 0x20, 0x50
_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x30, 0x40
_MAXIMUM_LENGTH, _ASYNCHRONOUS_OPERATIONS, _USER_IDENTITY, _USER_IDENTITY_ANSWER = 0x51, 0x53, 0x58, 0x59
_USERNAME_AND_PASSCODE = 2
_LONGEST_UID = 64
_item = struct.Struct(">BxH")


class InvalidRequest(Exception):
    """The bytes are no A-ASSOCIATE-RQ."""


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A decoded request with the A-ASSOCIATE-AC that answers it if the peer may come in; or why nobody could.

    ``longest`` is the longest P-DATA-TF that the peer takes, at most ours. ``abstract_syntaxes`` is what was asked for.
    ``passcode`` is that of the user identity (PS3.7 D.3.3.7), None without one; ``accept_identified`` is the answer
    that also says that it was looked at.
    """

    calling: str
    called: str
    rejection: Rejection | None = None
    accept: bytes = b""
    contexts: Mapping[int, Context] | None = None
    longest: int = LONGEST_PDU
    abstract_syntaxes: tuple[str, ...] = ()
    passcode: bytes | None = field(default=None, repr=False)
    accept_identified: bytes = b""


class Negotiation:
    """Answers requests for the offered presentation contexts: abstract syntax -> transfer syntaxes by preference."""

    def __init__(self, offered: Mapping[str, list[str]]) -> None:
        self._offered = [build_context(UID(syntax), transfer) for syntax, transfer in offered.items()]
        self._transfer_syntaxes = frozenset(uid for transfer in offered.values() for uid in transfer)
        self._kept = functools.lru_cache(_KEPT)(self._decode)

    def of(self, body: bytes) -> Asked:
        """The request whose PDU has this body (without its head of six bytes). InvalidRequest."""
        return self._kept(body) if len(body) <= _LONGEST_KEPT else self._decode(body)

    def _decode(self, body: bytes) -> Asked:
        called, calling = _ae_title(body[4:20]), _ae_title(body[20:36])
        if not struct.unpack_from(">H", body)[0] & 1:
            return Asked(calling, called, PROTOCOL_VERSION_NOT_SUPPORTED)
        parts = _Parts.of(body[68:])
        proposed = tuple(syntax for _number, syntax, _transfer in parts.contexts)
        if parts.application_context != _APPLICATION_CONTEXT:
            return Asked(calling, called, APPLICATION_CONTEXT_NOT_SUPPORTED, abstract_syntaxes=proposed)
        user_information = dict(_items(parts.user_information))
        longest = _longest(user_information)
        if longest < SHORTEST_PDU:
            return Asked(calling, called, NO_REASON, abstract_syntaxes=proposed)
        results = self._negotiated(parts)
        passcode, wants_answer = _user_identity(user_information.get(_USER_IDENTITY, b""))
        accept = _accept(body, results, _ASYNCHRONOUS_OPERATIONS in user_information)
        return Asked(
            calling,
            called,
            accept=accept,
            passcode=passcode,
            accept_identified=_with_identity(accept) if wants_answer else accept,
            contexts={context.id: context for context in _accepted(results)},
            longest=longest,
            abstract_syntaxes=proposed,
        )

    def _negotiated(self, parts: "_Parts") -> list[PresentationContext]:
        """Roles that a peer proposes are not answered, which means the usual ones (PS3.7 D.3.3.4)."""
        try:
            contexts = [self._context(*context) for context in parts.contexts]
        except Exception as error:  # whatever the library stumbles on is the peer's fault
            raise InvalidRequest(f"a presentation context cannot be decoded ({type(error).__name__})") from error
        results, _roles = negotiate_as_acceptor(contexts, self._offered, None)
        return list(results)

    def _context(self, number: int, abstract_syntax: str, transfer_syntaxes: list[str]) -> PresentationContext:
        """What is proposed, without transfer syntaxes that nobody here knows: some propose thousands."""
        context = PresentationContext()
        context.context_id, context.abstract_syntax = number, UID(abstract_syntax)
        known = [uid for uid in dict.fromkeys(transfer_syntaxes) if uid in self._transfer_syntaxes]
        context.transfer_syntax = [UID(uid) for uid in known or transfer_syntaxes[:1]]
        return context


class _Parts(NamedTuple):
    """The variable items of a request (PS3.8 9.3.2). Taken apart here: pynetdicom takes items that reach over the end,
    and needs most of a second for a request with as many items as fit."""

    application_context: str
    #: ID, abstract syntax, transfer syntaxes
    contexts: list[tuple[int, str, list[str]]]
    user_information: bytes

    @classmethod
    def of(cls, items: bytes) -> "_Parts":
        names, contexts, user = [], [], b""
        for kind, value in _items(items):
            if kind == _APPLICATION_CONTEXT_ITEM:
                names.append(value)
            elif kind == _CONTEXT_ITEM:
                contexts.append(_context(value))
            elif kind == _USER_ITEM:
                user = value
        if len(names) != 1 or not contexts:
            raise InvalidRequest("no application context or no presentation context")
        if len({number for number, _syntax, _transfer in contexts}) < len(contexts):
            raise InvalidRequest("a presentation context ID is used twice")
        return cls(_uid(names[0]), contexts, user)


def _ae_title(value: bytes) -> str:
    """Spaces around it do not count; anything but ASCII is spelled out, and so is no station's title."""
    return value.decode("ascii", "backslashreplace").strip(" ")


def _context(value: bytes) -> tuple[int, str, list[str]]:
    """A proposed presentation context (PS3.8 9.3.2.2)."""
    if len(value) < 4 or not value[0] % 2:
        raise InvalidRequest("a presentation context ID is no odd number")
    parts = list(_items(value[4:]))
    abstract = [_uid(part) for kind, part in parts if kind == _ABSTRACT_SYNTAX]
    transfer = [_uid(part) for kind, part in parts if kind == _TRANSFER_SYNTAX]
    if len(abstract) != 1 or not transfer:
        raise InvalidRequest("a presentation context without abstract or transfer syntax")
    return value[0], abstract[0], transfer


def _uid(value: bytes) -> str:
    """Padding aside. What is no UID, or too long for one, is none that is known, and spoils only its own context."""
    return value.decode("ascii", "backslashreplace").strip(" \0")[:_LONGEST_UID]


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if len(data) - at < _item.size:
            raise InvalidRequest("an item is cut off")
        kind, length = _item.unpack_from(data, at)
        at += _item.size
        if length > len(data) - at:
            raise InvalidRequest("an item reaches over the end")
        yield kind, data[at : at + length]
        at += length


def _longest(user_information: Mapping[int, bytes]) -> int:
    """PS3.8 D.1.1: 0, or nothing said, is no limit."""
    said = user_information.get(_MAXIMUM_LENGTH, bytes(4))
    if len(said) != 4:
        raise InvalidRequest("a maximum length of other than 4 bytes")
    return min(int.from_bytes(said, "big") or LONGEST_PDU, LONGEST_PDU)


def _user_identity(item: bytes) -> tuple[bytes | None, bool]:
    """The passcode of a user identity with one (PS3.7 Table D.3-14, type 2), and whether its answer is awaited."""
    if item[:1] != bytes((_USERNAME_AND_PASSCODE,)):
        return None, False
    username = int.from_bytes(item[2:4], "big")
    passcode = item[6 + username :]
    if len(passcode) != int.from_bytes(item[4 + username : 6 + username], "big"):
        raise InvalidRequest("a user identity of another length than it says")
    return passcode, bool(item[1])


def _with_identity(accept: bytes) -> bytes:
    """The A-ASSOCIATE-AC with an empty user identity answer (PS3.7 Table D.3-15) in its last item, user information."""
    at = 74  # the variable items begin (PS3.8 Table 9-17)
    while accept[at] != _USER_ITEM:
        at += _item.size + _item.unpack_from(accept, at)[1]
    answer = _item.pack(_USER_IDENTITY_ANSWER, 2) + bytes(2)
    length = _item.unpack_from(accept, at)[1] + len(answer)
    body = accept[6:at] + _item.pack(_USER_ITEM, length) + accept[at + _item.size :] + answer
    return accept[:2] + struct.pack(">L", len(body)) + body


def _accepted(results: list[PresentationContext]) -> Iterator[Context]:
    for context in results:
        if context.result == 0x00:
            yield Context(int(context.context_id or 0), str(context.abstract_syntax), str(context.transfer_syntax[0]))


def _accept(body: bytes, results: list[PresentationContext], asks_window: bool) -> bytes:
    """The A-ASSOCIATE-AC. Roles and extended negotiation are not answered: not supported (PS3.7 D.3.3).

    So they are not even read: their faults are nobody's, and what is new in user information is passed over.
    """
    longest, class_uid, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    longest.maximum_length_received = LONGEST_PDU
    class_uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer = A_ASSOCIATE()
    answer.application_context_name = UID(_APPLICATION_CONTEXT)
    answer.calling_ae_title = answer.called_ae_title = "PEER"
    answer.result, answer.result_source = 0x00, 0x01
    answer.presentation_context_definition_results_list = results
    answer.user_information = [longest, class_uid, version, *([_one_at_a_time()] if asks_window else [])]
    encoded = A_ASSOCIATE_AC(answer).encode()
    return encoded[:10] + body[4:68] + encoded[74:]  # PS3.8 Table 9-17: the same as in the request


def _one_at_a_time() -> AsynchronousOperationsWindowNegotiation:
    """PS3.7 D.3.3.3: one operation at a time, for a peer that asked for more."""
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 1
    return window
