"""A peer over a raw socket, that says whatever a test wants it to say."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from worklist.command import VERBS

VERIFICATION = "1.2.840.10008.1.1"
WORKLIST = "1.2.840.10008.5.1.4.31"
MPPS = "1.2.840.10008.3.1.2.3.3"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
FIELDS = {verb: field for field, verb in VERBS.items()}
RELEASE_RQ = bytes.fromhex("05000000000400000000")
RELEASE_RP = bytes.fromhex("06000000000400000000")
ABORT = bytes.fromhex("07000000000400000000")
#: id -> abstract syntax, transfer syntaxes
CONTEXTS = {1: (VERIFICATION, [IMPLICIT]), 3: (WORKLIST, [IMPLICIT]), 5: (MPPS, [EXPLICIT]), 7: (CT, [EXPLICIT])}


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def context_item(number: int, abstract: str, transfer: list[str]) -> bytes:
    syntaxes = item(0x30, abstract.encode()) + b"".join(item(0x40, uid.encode()) for uid in transfer)
    return item(0x20, bytes((number, 0, 0, 0)) + syntaxes)


def user_item(longest: int = 16384, more: bytes = b"") -> bytes:
    return item(0x50, item(0x51, struct.pack(">L", longest)) + item(0x52, b"1.2.3.4") + more)


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def request(
    calling: bytes = b"CT1",
    called: bytes = b"SUNVIEW",
    version: int = 1,
    application_context: str = APPLICATION_CONTEXT,
    contexts: bytes | None = None,
    user: bytes | None = None,
) -> bytes:
    """An A-ASSOCIATE-RQ, good unless told otherwise."""
    items = item(0x10, application_context.encode())
    items += b"".join(context_item(n, *syntaxes) for n, syntaxes in CONTEXTS.items()) if contexts is None else contexts
    items += user_item() if user is None else user
    titles = called.ljust(16)[:16] + calling.ljust(16)[:16]
    return pdu(0x01, struct.pack(">HH", version, 0) + titles + bytes(32) + items)


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def command(
    verb: str, sop_class: str = "", message_id: int | None = 1, data_set: bool = False, **more: bytes | int | None
) -> bytes:
    """A command set; elements by number as ``e1000=b"1.2.3 "``, None leaves one out."""
    field = FIELDS[verb] if isinstance(verb, str) else verb
    elements: dict[int, bytes | None] = {
        0x0002: even(sop_class) if sop_class else None,
        0x0100: us(field),
        0x0120 if verb == "C-CANCEL" else 0x0110: None if message_id is None else us(message_id),
        0x0800: us(1 if data_set else 0x0101),
    }
    elements |= {int(name[1:], 16): value for name, value in more.items()}
    body = b"".join(element(number, value) for number, value in sorted(elements.items()) if value is not None)
    return element(0, struct.pack("<L", len(body))) + body


def even(text: str) -> bytes:
    value = text.encode("latin-1")
    return value + b"\0" if len(value) % 2 else value


def pdv(context: int, control: int, fragment: bytes) -> bytes:
    return struct.pack(">LBB", len(fragment) + 2, context, control) + fragment


def p_data(*pdvs: bytes) -> bytes:
    return pdu(0x04, b"".join(pdvs))


def message(context: int, command_set: bytes, data: bytes | None = None) -> bytes:
    """A whole message, each of its parts in a P-DATA-TF of its own."""
    parts = p_data(pdv(context, 3, command_set))
    return parts if data is None else parts + p_data(pdv(context, 2, data))


class Received(NamedTuple):
    """A DIMSE response."""

    status: int
    responded: int
    field: int
    elements: dict[int, bytes]
    data: bytes | None


class RawPeer:
    """Reads PDUs; ``b""`` stands for a closed connection."""

    def __init__(self, port: int, *sent: bytes, timeout: float = 10.0, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(*sent)

    def send(self, *parts: bytes) -> "RawPeer":
        for part in parts:
            self.socket.sendall(part)
        return self

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            try:
                chunk = self.socket.recv(length - len(data))
            except ConnectionError:
                return b""
            if not chunk:
                return b""
            data += chunk
        return data

    def pdu(self) -> bytes:
        head = self._exactly(6)
        return head and head + self._exactly(struct.unpack(">L", head[2:])[0])

    def associated(self, **parts) -> "RawPeer":
        self.send(request(**parts))
        answer = self.pdu()
        assert answer[:1] == b"\x02", answer
        self.accepted = answer
        return self

    def results(self) -> dict[int, int]:
        """Presentation context ID -> result, from the A-ASSOCIATE-AC."""
        found, at = {}, 74
        while at < len(self.accepted):
            kind, length = struct.unpack_from(">BxH", self.accepted, at)
            if kind == 0x21:
                found[self.accepted[at + 4]] = self.accepted[at + 6]
            at += 4 + length
        return found

    def response(self) -> Received | None:
        """The next DIMSE response; None if the connection ended or was aborted."""
        command_set = self._part()
        if command_set is None:
            return None
        elements = dict(self._elements(command_set))
        number = {key: struct.unpack("<H", elements[key])[0] for key in (0x0100, 0x0120, 0x0800, 0x0900)}
        data = self._part() if number[0x0800] != 0x0101 else None
        return Received(number[0x0900], number[0x0120], number[0x0100], elements, data)

    def responses(self) -> Iterator[Received]:
        """Up to the one that is not pending."""
        while (received := self.response()) is not None:
            yield received
            if received.status not in (0xFF00, 0xFF01):
                return

    def _part(self) -> bytes | None:
        part = b""
        while True:
            received = self.pdu()
            if received[:1] != b"\x04":
                return None
            at = 6
            while at < len(received):
                length, _context, control = struct.unpack_from(">LBB", received, at)
                part += received[at + 6 : at + 4 + length]
                at += 4 + length
            if control & 2:
                return part

    @staticmethod
    def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at < len(data):
            _group, number, length = struct.unpack_from("<HHL", data, at)
            yield number, data[at + 8 : at + 8 + length]
            at += 8 + length

    def is_closed(self) -> bool:
        """Whether the door ends the connection, whatever it says before."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True

    def ends(self) -> str:
        """How the connection ends: ABORT, REJECT, RELEASE, or CLOSED without a word."""
        kinds = {b"\x07": "ABORT", b"\x03": "REJECT", b"\x06": "RELEASE"}
        while received := self.pdu():
            if received[:1] in kinds:
                return kinds[received[:1]]
        return "CLOSED"

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
