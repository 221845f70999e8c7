"""Several listeners: whom each lets in, which feeds it has, its limits, and MLLP Release 2."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection

from hl7.exchange import receive
from hl7.framing import COMMITTED, NOT_COMMITTED, Deframer, Frame, frame
from hl7.listeners import Doors, Listening, listening
from hl7.mllp import Limits, Server
from hl7.models import Feed, InboundMessage, Listener
from ris.models import Order
from tests.hl7.conftest import order
from tests.hl7.test_mllp import answers, is_closed
from tests.postgres import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def second(feed) -> Listener:
    """A further listener with a feed of its own."""
    row = Listener.objects.create(name="second", host="127.0.0.1", port=free_port())
    Feed.objects.create(name="LAB", listener=row)
    return row


@pytest.fixture(autouse=True)
def default_address(settings) -> None:
    settings.MLLP_ADDRESS = ("127.0.0.1", free_port())


@contextlib.contextmanager
def serving() -> Iterator[Listening]:
    """What is configured now, served in a thread."""
    found, stop = listening(receive, 2), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(found.run(stop)), daemon=True)
    thread.start()
    try:
        assert all(server.is_open.wait(10) for server in found.servers)
        yield found
    finally:
        stop.set()
        thread.join(20)


def connected(server: Server) -> socket.socket:
    return socket.create_connection(server.address, 10)


def send(address: tuple[str, int], raw: bytes) -> str | None:
    with socket.create_connection(address, 10) as peer:
        peer.sendall(frame(raw))
        return answers(peer, 1)[0].value("MSA-1")


def test_each_listener_has_its_feeds(second, settings):
    """The same sender at two ports is two feeds; the feed without a listener is the one at SUNVIEW_MLLP."""
    with serving():
        assert send(settings.MLLP_ADDRESS, order(placer="P1", control_id="1")) == "AA"
        assert send((second.host, second.port), order(placer="P2", control_id="1")) == "AA"
    assert sorted(InboundMessage.objects.values_list("feed__name", flat=True)) == ["HIS", "LAB"]


def test_a_feed_of_another_listener_does_not_take_it(second, settings):
    """AR 103, as of any unknown sender."""
    Feed.objects.filter(listener=None).update(sending_application="OTHER")
    with serving():
        assert send(settings.MLLP_ADDRESS, order()) == "AR"
        assert send((second.host, second.port), order()) == "AA"


def test_who_is_not_allowed_is_closed_before_a_byte_is_read(second, settings):
    """The networks of the listener's own feeds decide; nothing is kept, because nothing was read."""
    Feed.objects.filter(listener=second).update(allowed_networks="192.0.2.0/24")
    with serving():
        with socket.create_connection((second.host, second.port), 10) as peer:
            assert is_closed(peer)
        assert send(settings.MLLP_ADDRESS, order()) == "AA"
    assert InboundMessage.objects.count() == 1


def test_a_changed_network_holds_without_a_restart(feed, caplog):
    """And the first refusal of an address is told, once."""
    doors = Doors()
    doors.refresh()
    assert doors.admit(0, "127.0.0.1") and not doors.admit(0, "192.0.2.7") and not doors.admit(0, "192.0.2.7")
    assert caplog.text.count("192.0.2.7 may not connect") == 1
    Feed.objects.update(allowed_networks="192.0.2.0/24")
    doors.refresh()
    assert doors.admit(0, "192.0.2.7") and not doors.admit(0, "127.0.0.1")
    Feed.objects.update(is_active=False)
    doors.refresh()
    assert not doors.admit(0, "192.0.2.7")


def test_release_2_commits_before_it_answers(second):
    """The commit acknowledgment block, then the acknowledgment; our answer's own commit block is passed over."""
    Listener.objects.update(release=Listener.Release.TWO)
    with serving(), socket.create_connection((second.host, second.port), 10) as peer:
        for number in range(2):
            peer.sendall(frame(order(placer=f"P{number}", control_id=f"R{number}")))
            deframer, blocks = Deframer(), []
            while len(blocks) < 2:
                blocks += deframer.feed(peer.recv(65536))
            assert blocks[0] == Frame(COMMITTED) and f"MSA|AA|R{number}".encode() in blocks[1].payload
            peer.sendall(frame(COMMITTED))
    assert Order.objects.count() == 2


def test_release_2_says_what_was_not_committed():
    """Without a database: the negative commit block, never an AA, and the connection ends."""

    def away(event: object, peer: str) -> bytes:
        raise OperationalError("away")

    with Server(("127.0.0.1", 0), away, release=2).in_thread() as server, connected(server) as peer:
        peer.sendall(frame(b"MSH|"))
        assert peer.recv(100) == frame(NOT_COMMITTED) and is_closed(peer)


def test_an_idle_connection_is_closed_in_the_end():
    """After the listener's own limit."""
    with (
        Server(("127.0.0.1", 0), lambda event, peer: b"1", Limits(idle_seconds=0.2)).in_thread() as server,
        connected(server) as peer,
    ):
        assert is_closed(peer)


@pytest.mark.parametrize(("kind", "taken"), [("ORU^R01", True), ("MDM^T02", True), ("ORM^O01", False)])
def test_only_messages_that_bear_documents_may_be_large(kind, taken):
    """5 MB: taken whole as ORU or MDM, else refused when 1 MB of it is there, and the next message is read."""
    events: list[object] = []

    def handle(event: object, peer: str) -> bytes:
        events.append(event)
        return b"answered"

    raw = order(kind=kind) + b"OBX|1|ED|PDF||" + b"A" * 5_000_000
    with Server(("127.0.0.1", 0), handle).in_thread() as server, connected(server) as peer:
        peer.sendall(frame(raw) + frame(b"next"))
        wait_until(lambda: len(events) == 2)
    assert isinstance(events[0], Frame) is taken and events[1] == Frame(b"next")
    connection.close()
