"""DICOM's upper layer and messages by hand: what a peer of any maker, or an attacker, puts on a socket.

Nothing of pynetdicom or pydicom is used, so that a fault of theirs is no fault here. PDUs are PS3.8 section 9.3,
commands PS3.7 annex E, data sets PS3.5 section 7.1.
"""

import socket
import ssl
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType

VERIFICATION = "1.2.840.10008.1.1"
WORKLIST = "1.2.840.10008.5.1.4.31"
MPPS = "1.2.840.10008.3.1.2.3.3"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"

RELEASE = struct.pack(">BBLL", 5, 0, 4, 0)
ABORT = struct.pack(">BBLL", 7, 0, 4, 0)
ACCEPTED, REJECTED, DATA, RELEASED, ABORTED = 2, 3, 4, 6, 7
LAST_COMMAND, LAST_DATA, MORE_COMMAND, MORE_DATA = 3, 2, 1, 0

#: An element: tag, VR, value; the value of an SQ is a list of items.
Element = tuple[int, str, "str | int | list[list[Element]]"]
_LONG_FORM = {"SQ", "OB", "UN", "UT", "OW"}
_BINARY = {"US": "<H", "UL": "<L"}


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_request(
    *contexts: tuple[str, Sequence[str]],
    calling: str = "CT1",
    called: str = "SUNVIEW",
    longest_pdu: int = 16384,
) -> bytes:
    """An A-ASSOCIATE-RQ; the presentation contexts get the ids 1, 3, 5, ..."""
    body = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
    body += _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, transfers) in enumerate(contexts):
        syntaxes = _item(0x30, abstract.encode()) + b"".join(_item(0x40, uid.encode()) for uid in transfers)
        body += _item(0x20, bytes([2 * number + 1, 0, 0, 0]) + syntaxes)
    who = _item(0x51, struct.pack(">L", longest_pdu)) + _item(0x52, b"1.2.826.0.1.3680043.10.9999.9")
    body += _item(0x50, who + _item(0x55, b"BY_HAND"))
    return struct.pack(">BBL", 1, 0, len(body)) + body


def p_data(flags: int, body: bytes, context: int = 1) -> bytes:
    """A P-DATA-TF with one fragment."""
    return struct.pack(">BBLLBB", 4, 0, len(body) + 6, len(body) + 2, context, flags) + body


def fragments(flags: int, body: bytes, context: int = 1, longest: int = 16384) -> bytes:
    """A command or data set in as many P-DATA-TF as the peer's longest PDU asks for; ``flags`` are the last one's."""
    step = longest - 6
    parts = [body[at : at + step] for at in range(0, len(body), step)] or [b""]
    return b"".join(
        p_data(flags if number == len(parts) else flags & 1, part, context) for number, part in enumerate(parts, 1)
    )


def data_set(elements: Iterable[Element], *, implicit: bool = True) -> bytes:
    """Elements, in the order of their tags, in little endian; texts in UTF-8."""
    return b"".join(_element(tag, vr, value, implicit) for tag, vr, value in elements)


def _element(tag: int, vr: str, value: "str | int | list[list[Element]]", implicit: bool) -> bytes:
    body = _value(vr, value, implicit)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<L", len(body)) + body
    if vr in _LONG_FORM:
        return head + vr.encode() + struct.pack("<HL", 0, len(body)) + body
    return head + vr.encode() + struct.pack("<H", len(body)) + body


def _value(vr: str, value: "str | int | list[list[Element]]", implicit: bool) -> bytes:
    if isinstance(value, list):
        items = (data_set(item, implicit=implicit) for item in value)
        return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    if isinstance(value, int):
        return struct.pack(_BINARY[vr], value)
    body = value.encode()
    return body + (b"\0" if vr == "UI" else b" ") * (len(body) % 2)


def command(field: int, sop_class: str, message_id: int = 1, *, with_data: bool, more: Sequence[Element] = ()) -> bytes:
    """A DIMSE request's command set; ``field`` is its Command Field (0000,0100)."""
    elements: list[Element] = [
        (0x00000002, "UI", sop_class),
        (0x00000100, "US", field),
        (0x00000110, "US", message_id),
        (0x00000800, "US", 1 if with_data else 0x0101),
        *more,
    ]
    body = data_set(sorted(elements, key=lambda element: element[0]))
    return data_set([(0x00000000, "UL", len(body))]) + body


ECHO_REQUEST = p_data(LAST_COMMAND, command(0x0030, VERIFICATION, with_data=False))


def find_request(identifier: bytes, message_id: int = 1, context: int = 1, longest: int = 16384) -> bytes:
    """A worklist C-FIND-RQ with its identifier."""
    asked = command(0x0020, WORKLIST, message_id, with_data=True, more=[(0x00000700, "US", 0)])
    return p_data(LAST_COMMAND, asked, context) + fragments(LAST_DATA, identifier, context, longest)


def store_command(instance: str, sop_class: str = CT_IMAGE) -> bytes:
    more: list[Element] = [(0x00000700, "US", 0), (0x00001000, "UI", instance)]
    return command(0x0001, sop_class, with_data=True, more=more)


def status_of(answer: bytes) -> int:
    """Status (0000,0900) of a response's command set."""
    at = 0
    while at + 8 <= len(answer):
        group, element, length = struct.unpack_from("<HHL", answer, at)
        if (group, element) == (0, 0x0900):
            return int(struct.unpack_from("<H", answer, at + 8)[0])
        at += 8 + length
    raise ValueError("a response without a status")


class Peer:
    """One connection, spoken on PDU by PDU. As a context manager it is closed at the end, whatever its state."""

    def __init__(
        self,
        port: int,
        source: str = "127.0.0.1",
        seconds: float = 10.0,
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(seconds)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, sent: bytes) -> "Peer":
        self.socket.sendall(sent)
        return self

    def receive(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; ConnectionError if the peer ended instead."""
        kind, _reserved, length = struct.unpack(">BBL", self._exactly(6))
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            part = self.socket.recv(count - len(received))
            if not part:
                raise ConnectionResetError("closed by the peer")
            received += part
        return bytes(received)

    def associate(self, request: bytes) -> "Peer":
        """ConnectionRefusedError unless it is accepted."""
        kind, body = self.send(request).receive()
        if kind != ACCEPTED:
            raise ConnectionRefusedError(f"PDU type {kind}: {body[:4].hex()}")
        return self

    def answer(self) -> int:
        """The status of the next response that is not pending; data sets and pending responses are read over."""
        while True:
            kind, body = self.receive()
            if kind != DATA:
                raise ConnectionAbortedError(f"PDU type {kind}")
            for flags, part in _fragments_of(body):
                if flags & 1 and (status := status_of(part)) not in (0xFF00, 0xFF01):
                    return status

    def release(self) -> None:
        kind, _body = self.send(RELEASE).receive()
        if kind != RELEASED:
            raise ConnectionAbortedError(f"PDU type {kind}")


def _fragments_of(body: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at < len(body):
        length, _context, flags = struct.unpack_from(">LBB", body, at)
        yield flags, body[at + 6 : at + 4 + length]
        at += 4 + length


def echo(port: int, source: str = "127.0.0.1", seconds: float = 5.0, tls: ssl.SSLContext | None = None) -> int:
    """A whole C-ECHO association; its status."""
    with Peer(port, source, seconds, tls=tls) as peer:
        peer.associate(associate_request((VERIFICATION, [IMPLICIT])))
        status = peer.send(ECHO_REQUEST).answer()
        peer.release()
    return status
