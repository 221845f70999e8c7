"""Protocol data units on the wire (PS3.8 9.3): cut out of a stream, none longer than its kind may be, and made."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from worklist.limits import LONGEST_PDU, LONGEST_REQUEST
from worklist.upper_layer import Event

#: PDU type -> its event, and how long it may be. An A-ASSOCIATE-AC is never for us, whatever it holds.
EVENTS = {
    0x01: Event.EVT6,
    0x02: Event.EVT3,
    0x03: Event.EVT4,
    0x04: Event.EVT10,
    0x05: Event.EVT12,
    0x06: Event.EVT13,
    0x07: Event.EVT16,
}
_LONGEST = {0x01: LONGEST_REQUEST, 0x02: LONGEST_REQUEST, 0x04: LONGEST_PDU}
_LONGEST_OTHER = 10
_SHORTEST = {0x01: 68, 0x02: 0}
_SHORTEST_OTHER = 4

RELEASE_RP = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"
#: Sources and reasons of an A-ABORT (PS3.8 Table 9-26).
BY_USER, BY_PROVIDER = 0, 2
NO_REASON, UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PDU = 0, 1, 2, 6

_head = struct.Struct(">BxL")
#: Most values in one P-DATA-TF: more are noise, and each costs as much as one that holds something.
MOST_VALUES = 1024
_pdv = struct.Struct(">LBB")
_p_data = struct.Struct(">BxLLBB")


class InvalidPdu(Exception):
    """What came is no PDU that can be understood; ``reason`` is for the A-ABORT."""

    def __init__(self, why: str, reason: int = INVALID_PDU) -> None:
        self.reason = reason
        super().__init__(why)


class Pdv(NamedTuple):
    """A presentation data value: a fragment of a command set or data set (PS3.8 9.3.5.1, annex E.2)."""

    context_id: int
    is_command: bool
    is_last: bool
    fragment: bytes


class Framing:
    """The PDUs in a stream. A PDU's head is judged before its body is waited for."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def is_between(self) -> bool:
        """Whether no PDU has begun."""
        return not self._buffer

    def next(self) -> tuple[int, bytes] | None:
        """Type and body of the next whole PDU; None if it is not there yet. InvalidPdu."""
        if len(self._buffer) < _head.size:
            return None
        kind, length = _head.unpack_from(self._buffer)
        if kind not in EVENTS:
            raise InvalidPdu("type of PDU", UNRECOGNIZED_PDU)
        if not _SHORTEST.get(kind, _SHORTEST_OTHER) <= length <= _LONGEST.get(kind, _LONGEST_OTHER):
            raise InvalidPdu("length of PDU")
        end = _head.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(memoryview(self._buffer)[_head.size : end])
        del self._buffer[:end]
        return kind, body


def pdvs(body: bytes) -> Iterator[Pdv]:
    """The values in a P-DATA-TF. InvalidPdu: one has no room for its head or reaches over the end, or too many."""
    at = 0
    if not body:
        raise InvalidPdu("P-DATA without a value")
    for _ in range(MOST_VALUES):
        if at == len(body):
            return
        if len(body) - at < _pdv.size:
            raise InvalidPdu("head of a value")
        length, context_id, control = _pdv.unpack_from(body, at)
        at += _pdv.size
        end = at + length - 2
        if length < 2 or end > len(body):
            raise InvalidPdu("length of a value")
        yield Pdv(context_id, bool(control & 1), bool(control & 2), body[at:end])
        at = end
    if at < len(body):
        raise InvalidPdu("number of values")


def p_data(context_id: int, data: bytes, is_command: bool, longest: int) -> bytes:
    """A whole command set or data set as P-DATA-TF PDUs whose bodies have at most ``longest`` bytes.

    Each fragment is even (PS3.7 annex F): DCMTK gives up on an odd one.
    """
    size, kind = len(data), int(is_command)
    room = (longest - _pdv.size) & ~1
    if size <= room:
        return _p_data.pack(0x04, size + 6, size + 2, context_id, kind | 2) + data
    parts: list[bytes] = []
    for at in range(0, size, room):
        fragment = data[at : at + room]
        last = 2 if at + room >= size else 0
        parts += (_p_data.pack(0x04, len(fragment) + 6, len(fragment) + 2, context_id, kind | last), fragment)
    return b"".join(parts)


def reject(result: int, source: int, diagnostic: int) -> bytes:
    """A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    return bytes((0x03, 0, 0, 0, 0, 4, 0, result, source, diagnostic))


def abort(source: int, reason: int = NO_REASON) -> bytes:
    """A-ABORT."""
    return bytes((0x07, 0, 0, 0, 0, 4, 0, 0, source, reason))
