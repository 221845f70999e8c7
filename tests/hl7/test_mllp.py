"""The listener on real sockets: framing on the wire, order, limits, garbage, slow peers, a clean end."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest
from django.db import OperationalError

from hl7 import exchange
from hl7.er7 import Message
from hl7.framing import Deframer, Event, Frame, frame
from hl7.mllp import Client, Server
from hl7.models import InboundMessage
from ris.models import Order
from tests.hl7.conftest import message, order
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def answers(connection: socket.socket, number: int) -> list[Message]:
    """The next ``number`` answers of a connection."""
    deframer, found = Deframer(), []
    while len(found) < number:
        data = connection.recv(65536)
        assert data, "closed"
        found += [Message.parse(event.payload) for event in deframer.feed(data) if isinstance(event, Frame)]
    return found


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(10)
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_messages_of_a_connection_are_answered_in_their_order(wire):
    """Twenty in one segment: twenty answers, in order, on the same connection."""
    connection = wire()
    connection.sendall(b"".join(frame(order(placer=f"P{n}", control_id=f"N{n}")) for n in range(20)))
    assert [answer.value("MSA-2") for answer in answers(connection, 20)] == [f"N{n}" for n in range(20)]
    assert Order.objects.count() == 20


def test_a_message_in_one_byte_packets_is_one_message(wire):
    """However TCP cuts it."""
    connection = wire()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in frame(order(control_id="SLOW")):
        connection.sendall(bytes([byte]))
    assert answers(connection, 1)[0].value("MSA-2") == "SLOW"


def test_garbage_leaves_the_listener_serving(wire):
    """Random bytes, HTTP, an empty frame, a frame without MSH, half a message: others are served at once."""
    for garbage in (
        b"\xff" * 5000,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x0b\x1c\r",
        b"\x0bhello\x1c\r",
        b"\x0bMSH|^~\\&|half",
    ):
        bad = wire()
        bad.sendall(garbage)
    connection = wire()
    connection.sendall(frame(order()))
    assert answers(connection, 1)[0].value("MSA-1") == "AA"


def test_noise_before_and_between_frames_is_borne(wire):
    """A log line, NULs, and an end block without carriage return (#053)."""
    connection = wire()
    connection.sendall(b"[14:40 Thread-89]\r" + frame(order("", control_id="1"))[:-1])
    connection.sendall(b"\x00\x00\r\n" + frame(order(control_id="2")))
    assert [answer.value("MSA-1") for answer in answers(connection, 2)] == ["AE", "AA"]


def test_a_message_that_cannot_be_answered_ends_the_connection(wire):
    """No MSH: there is no MSA-2 to give; it is kept."""
    connection = wire()
    connection.sendall(frame(b"no message"))
    assert is_closed(connection)
    assert InboundMessage.objects.get().outcome == InboundMessage.Outcome.UNREADABLE


def test_a_frame_that_does_not_end_ends_the_connection(wire):
    """After the limit (30 s; here less), while an idle connection may stay."""
    idle, stuck = wire(frame_seconds=0.3), wire()
    stuck.sendall(b"\x0bMSH|^~\\&|HIS")
    assert is_closed(stuck)
    idle.sendall(frame(order()))
    assert answers(idle, 1)[0].value("MSA-1") == "AA"


def test_noise_without_a_frame_ends_the_connection(wire):
    """A peer that does not speak MLLP is not waited for."""
    connection = wire(frame_seconds=0.3)
    connection.sendall(b"MSH|^~\\&|no start block\r\x1c\r")
    assert is_closed(connection)


def test_a_message_that_is_too_large_is_rejected_and_the_next_is_read(wire):
    """AR with its own control ID, on a connection that goes on."""
    connection = wire(size=5000)
    connection.sendall(frame(message("NTE|1||" + "x" * 9000, control_id="BIG")) + frame(order(control_id="NEXT")))
    big, following = answers(connection, 2)
    assert (big.value("MSA-1"), big.value("MSA-2")) == ("AR", "BIG")
    assert (following.value("MSA-1"), following.value("MSA-2")) == ("AA", "NEXT")


def test_idle_and_slow_peers_do_not_hold_up_others(wire):
    """A hundred connections, idle or in the middle of a message."""
    for number in range(100):
        connection = wire()
        if number % 2:
            connection.sendall(b"\x0bMSH|")
    connection = wire()
    connection.sendall(frame(order()))
    assert answers(connection, 1)[0].value("MSA-1") == "AA"


@pytest.mark.parametrize("limit", ["connections", "connections_per_peer"])
def test_too_many_connections_are_closed_at_once(wire, limit):
    """In all and per peer; those that are there go on, and a place that becomes free is given."""
    first, second = wire(**{limit: 2}), wire()
    for connection in (first, second):
        connection.sendall(frame(order()))
        assert answers(connection, 1)[0].value("MSA-1")
    assert is_closed(wire())
    second.close()

    def served() -> bool:
        connection = wire()
        try:
            connection.sendall(frame(order(control_id="AGAIN")))
            return bool(answers(connection, 1))
        except (OSError, AssertionError):
            return False

    assert wait_until(served)


def test_without_database_the_connection_is_closed_and_a_repeat_is_taken(wire, monkeypatch):
    """No answer at all, so that the sender sends again."""
    raw = order()
    with monkeypatch.context() as patch:

        def away(*_args: object) -> None:
            raise OperationalError("database is away")

        patch.setattr(exchange, "process_all", away)
        connection = wire()
        connection.sendall(frame(raw))
        assert is_closed(connection)
    connection = wire()
    connection.sendall(frame(raw))
    assert answers(connection, 1)[0].value("MSA-1") == "AA"


def test_a_lost_answer_is_given_again(his):
    """The sender went away before the answer: on a new connection it gets that very answer."""
    raw = order(control_id="LOST")
    client = Client(his.address)
    client._socket.sendall(frame(raw))
    client.close()
    assert wait_until(lambda: InboundMessage.objects.filter(outcome="ACCEPTED").exists())
    assert his.send(raw).code == "AA"
    assert InboundMessage.objects.count() == 1


def test_what_was_sent_at_once_is_done_together(runs):
    """Some at a time, in order; each answered in its place."""
    done, server = runs(lambda payload: b"" if payload == b"7" else b"to " + payload)
    with server.in_thread(), socket.create_connection(server.address, 10) as peer:
        peer.sendall(b"".join(frame(b"%d" % number) for number in range(20)))
        deframer, found = Deframer(), []
        while len(found) < 19:
            found += [event.payload for event in deframer.feed(peer.recv(65536)) if isinstance(event, Frame)]
    assert found == [b"to %d" % number for number in range(20) if number != 7]
    assert [payload for run in done for payload in run] == [b"%d" % number for number in range(20)]
    assert max(map(len, done)) == 8


def test_behind_what_cannot_be_answered_nothing_is(runs):
    """The answers before it, and the end of the connection: what was done behind it is answered when it comes again."""
    _done, server = runs(lambda payload: None if payload == b"3" else payload)
    with server.in_thread(), socket.create_connection(server.address, 10) as peer:
        peer.sendall(b"".join(frame(b"%d" % number) for number in range(6)))
        found = b""
        while data := peer.recv(65536):
            found += data
    assert found == frame(b"0") + frame(b"1") + frame(b"2")


def test_what_was_done_together_without_database_is_not_answered(runs):
    """None of it."""

    def away(_payload: bytes) -> bytes:
        raise OperationalError("away")

    _done, server = runs(away)
    with server.in_thread(), socket.create_connection(server.address, 10) as peer:
        peer.sendall(frame(b"1") + frame(b"2"))
        assert is_closed(peer)


@pytest.fixture
def runs():
    """A server that does what comes together: the payloads of each run, and the server itself."""

    def make(answer: Callable[[bytes], bytes | None]) -> tuple[list[list[bytes]], Server]:
        done: list[list[bytes]] = []

        def together(events: Sequence[Event], _peer: str) -> "Future[list[bytes | None]]":
            done.append([event.payload for event in events if isinstance(event, Frame)])
            given: Future[list[bytes | None]] = Future()
            try:
                given.set_result([answer(payload) for payload in done[-1]])
            except OperationalError as error:
                given.set_exception(error)
            return given

        return done, Server(("127.0.0.1", 0), together=together)

    return make


def test_the_end_is_clean():
    """Told to stop, it takes no more, answers the message in hand, and closes."""
    begun, go_on, stop = threading.Event(), threading.Event(), threading.Event()

    def slow(event: object, peer: str) -> bytes:
        begun.set()
        go_on.wait(10)
        return b"answered"

    server = Server(("127.0.0.1", 0), slow)
    thread = threading.Thread(target=lambda: asyncio.run(server.run(stop)))
    thread.start()
    assert server.is_open.wait(10)
    busy, idle = (socket.create_connection(server.address, 10) for _ in range(2))
    busy.sendall(frame(b"1") + frame(b"2"))
    assert begun.wait(10)
    stop.set()
    assert is_closed(idle)
    with pytest.raises(OSError):
        socket.create_connection(server.address, 10)
    go_on.set()
    assert busy.recv(100) == frame(b"answered") and is_closed(busy)
    thread.join(10)
    assert not thread.is_alive()
    for connection in (busy, idle):
        connection.close()
