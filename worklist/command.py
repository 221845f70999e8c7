"""Command sets (PS3.7 6.3.1, annex E): group 0000, implicit little endian, a few elements, parsed and packed here.

pydicom's codec costs 0.67 ms for each of them (peers.md); this one some microseconds, and it takes no garbage.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

#: Command Field (0000,0100) -> verb, PS3.7 E.1-1.
VERBS = {
    0x0001: "C-STORE",
    0x0010: "C-GET",
    0x0020: "C-FIND",
    0x0021: "C-MOVE",
    0x0030: "C-ECHO",
    0x0100: "N-EVENT-REPORT",
    0x0110: "N-GET",
    0x0120: "N-SET",
    0x0130: "N-ACTION",
    0x0140: "N-CREATE",
    0x0150: "N-DELETE",
    0x0FFF: "C-CANCEL",
}
_RESPONSE = 0x8000
_NO_DATA_SET, _DATA_SET = 0x0101, 0x0001
_head = struct.Struct("<HHL")
_us = struct.Struct("<H")
_LONGEST_COMMENT = 64


class InvalidCommand(Exception):
    """The bytes are no command set that can be answered."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request's command set. ``message_id`` is of the request itself, or of the one that a C-CANCEL ends.

    ``verb`` is empty for a Command Field that PS3.7 does not know; the UIDs are the affected or the requested ones.
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str
    asked_tags: tuple[int, ...]

    @property
    def verb(self) -> str:
        return VERBS.get(self.field, "")


def parse(data: bytes) -> Command:
    """The request in ``data``. InvalidCommand: broken, a response, or without what an answer needs."""
    elements = dict(_elements(data))
    field = _number(elements, 0x0100)
    if field & _RESPONSE:
        raise InvalidCommand("a response to nothing that was asked")
    return Command(
        field=field,
        message_id=_number(elements, 0x0120 if VERBS.get(field) == "C-CANCEL" else 0x0110),
        has_data_set=_number(elements, 0x0800) != _NO_DATA_SET,
        sop_class_uid=_uid(elements, 0x0002) or _uid(elements, 0x0003),
        sop_instance_uid=_uid(elements, 0x1000) or _uid(elements, 0x1001),
        asked_tags=_tags(elements.get(0x1005, b"")),
    )


def response(
    request: Command,
    status: int,
    has_data_set: bool = False,
    comment: str = "",
    error_id: int | None = None,
    tags: tuple[int, ...] = (),
    sop_instance_uid: str | None = None,
) -> bytes:
    """The command set that answers ``request``; an Error Comment (0000,0902) is cut to its 64 characters.

    ``tags`` name the attributes at fault: as Offending Element (0000,0901) of a composite service (PS3.4 tables B.2-1,
    K.4-1), as Attribute Identifier List (0000,1005) of a normalized one (PS3.7 annex C).
    """
    instance = request.sop_instance_uid if sop_instance_uid is None else sop_instance_uid
    parts = []
    if request.sop_class_uid:
        parts.append(_element(0x0002, _text(request.sop_class_uid, b"\0")))
    parts += (
        _element(0x0100, _us.pack(request.field | _RESPONSE)),
        _element(0x0120, _us.pack(request.message_id)),
        _element(0x0800, _us.pack(_DATA_SET if has_data_set else _NO_DATA_SET)),
        _element(0x0900, _us.pack(status)),
    )
    listed = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    is_composite = request.verb.startswith("C-")
    if listed and is_composite:
        parts.append(_element(0x0901, listed))
    if comment:
        parts.append(_element(0x0902, _text(comment[:_LONGEST_COMMENT], b" ")))
    if error_id is not None:
        parts.append(_element(0x0903, _us.pack(error_id)))
    if instance:
        parts.append(_element(0x1000, _text(instance, b"\0")))
    if listed and not is_composite:
        parts.append(_element(0x1005, listed))
    body = b"".join(parts)
    return _element(0x0000, struct.pack("<L", len(body))) + body


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, before = 0, -1
    while at < len(data):
        if len(data) - at < _head.size:
            raise InvalidCommand("an element is cut off")
        group, element, length = _head.unpack_from(data, at)
        at += _head.size
        if group or element <= before or length > len(data) - at:
            raise InvalidCommand("no elements of group 0000 in their order")
        yield element, data[at : at + length]
        at, before = at + length, element


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != _us.size:
        raise InvalidCommand(f"(0000,{element:04X}) is missing or has no 2 bytes")
    return int(_us.unpack(value)[0])


def _uid(elements: dict[int, bytes], element: int) -> str:
    """As it came, padding aside: whether it is a UID is judged by who answers (0117H)."""
    return elements.get(element, b"").decode("latin-1").strip(" \0")


def _tags(value: bytes) -> tuple[int, ...]:
    if len(value) % 4:
        raise InvalidCommand("Attribute Identifier List")
    return tuple(group << 16 | element for group, element in struct.iter_unpack("<HH", value))


def _text(text: str, padding: bytes) -> bytes:
    value = text.encode("latin-1" if padding == b"\0" else "ascii", "replace")
    return value + padding if len(value) % 2 else value


def _element(element: int, value: bytes) -> bytes:
    return _head.pack(0, element, len(value)) + value
