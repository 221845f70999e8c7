"""What the HL7 tests share: a site with its feed, messages made of parts, a listener, a HIS."""

import socket
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from hl7.emulator import His
from hl7.er7 import Message
from hl7.exchange import receive
from hl7.framing import Frame
from hl7.header import Header
from hl7.mllp import Limits, Server
from hl7.models import Destination, Feed

_control_ids = count(1)


def message(
    *segments: str, kind: str = "ORM^O01", version: str = "2.5.1", control_id: str | None = None, **msh: str
) -> bytes:
    """A message of these segments; ``msh`` may set charset and sender."""
    control_id = f"T{next(_control_ids)}" if control_id is None else control_id
    sender = msh.get("sender", "HIS|WARD")
    head = f"MSH|^~\\&|{sender}|SUNVIEW|SUNVIEW|{msh.get('at', '20261122080000')}||{kind}|{control_id}|P|{version}"
    head += f"||||||{msh['charset']}" if "charset" in msh else ""
    return "".join(segment + "\r" for segment in (head, *segments)).encode(msh.get("codec", "utf-8"))


def order(
    control: str = "NW",
    placer: str = "P100",
    *,
    patient: str = "GRACE1",
    orc: str = "",
    obr: str = "XWRIST^X-ray wrist^L",
    modality: str = "DX",
    start: str = "20261122093000",
    accession: str = "",
    **msh: str,
) -> bytes:
    """An ORM^O01 for an invented patient with a start and a modality, so that it is on a worklist."""
    return message(
        f"PID|||{patient}^^^ADT^MR||Sample^Grace||19800229|F",
        f"ORC|{control}|{placer}{orc}",
        f"TQ1|1||||||{start}",
        f"OBR|1|{placer}||{obr}||||||||||||||{accession}||||||{modality}",
        **msh,
    )


def answer_to(raw: bytes, peer: str = "127.0.0.1") -> Message:
    """What a message is answered, without a socket."""
    answer = receive(Frame(raw), peer)
    assert answer is not None, "no answer"
    return Message.parse(answer)


def verdict(answer: Message) -> tuple[str | None, str | None, str | None]:
    """MSA-1, the condition of ERR-3 and ERR-2 of an answer of v2.5 or later."""
    return answer.value("MSA-1"), answer.value("ERR-3.1"), answer.value("ERR-2")


@pytest.fixture
def feed(site) -> Feed:
    """The feed that takes every sender from loopback."""
    Destination.objects.all().delete()
    return Feed.objects.get()


@pytest.fixture
def listener(transactional_db, feed) -> Iterator[Callable[..., Server]]:
    """Start the listener on a free port; ended with the test."""
    open_servers = []

    def start(**limits: float) -> Server:
        server = Server(("127.0.0.1", 0), receive, Limits(**limits)).in_thread()
        open_servers.append(server)
        return server.__enter__()

    yield start
    for server in open_servers:
        server.__exit__(None, None, None)


@pytest.fixture
def his(listener) -> His:
    """A HIS that sends to a listener."""
    return His(listener().address)


@pytest.fixture
def wire(listener) -> Iterator[Callable[..., socket.socket]]:
    """Open raw sockets to a listener."""
    sockets: list[socket.socket] = []
    address: list[tuple[str, int]] = []

    def connect(**limits: float) -> socket.socket:
        if not address:
            address.append(listener(**limits).address)
        sockets.append(socket.create_connection(address[0], 10))
        return sockets[-1]

    yield connect
    for open_socket in sockets:
        open_socket.close()


def header(raw: bytes) -> Header:
    found = Header.find(raw)
    assert found is not None
    return found
