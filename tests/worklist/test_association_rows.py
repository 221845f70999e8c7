"""Whatever a peer does below DIMSE has its answer: reliability.md, table A, rows 1 to 37, over raw sockets.

Not here: rows 20, 21 and 28 (test_binding.py), 8 and 142 with TLS (test_tls.py), flood and load (tests/attacks).
"""

import contextlib
import random
import select
import socket
import struct
import threading
from dataclasses import replace

import pytest

from tests.waiting import wait_until
from tests.worklist import peer
from tests.worklist.conftest import Known
from tests.worklist.peer import RawPeer, item, p_data, pdu, pdv, request
from worklist import admission
from worklist.dimse import Answer
from worklist.door import Door
from worklist.limits import LONGEST_PDU, LONGEST_REQUEST, USUAL, Limits

ECHO = peer.message(1, peer.command("C-ECHO", peer.VERIFICATION))


@pytest.fixture
def limits() -> Limits:
    """Deadlines in tenths of a second, and few connections."""
    return replace(
        USUAL,
        request_seconds=0.6,
        pdu_seconds=0.6,
        idle_seconds=0.9,
        closing_seconds=0.5,
        connections=12,
        connections_per_address=8,
    )


@pytest.fixture
def port(constant_door) -> int:
    return constant_door.port


def echoed(port: int, source: str = "127.0.0.1") -> bool:
    """Whether an ordinary scanner is served."""
    with RawPeer(port, source=source).associated() as scanner:
        answer = scanner.send(ECHO).response()
        return answer is not None and answer.status == 0 and scanner.send(peer.RELEASE_RQ).ends() == "RELEASE"


BEFORE = {
    "1 silence": (b"", "CLOSED"),
    "2 one byte": (b"\x01", "CLOSED"),
    "3 half a request": (request()[:90], "CLOSED"),
    "5 random bytes": (random.Random(5).randbytes(300), "ABORT"),
    "6 type 8": (b"\x08\x00\x00\x00\x00\x04abcd", "ABORT"),
    "7 HTTP": (b"GET / HTTP/1.1\r\nHost: \x1b[31m\r\n\r\n", "ABORT"),
    "8 TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "ABORT"),
    "9 length FFFFFFFF": (b"\x01\x00\xff\xff\xff\xff", "ABORT"),
    "10 request of 64 KB + 1": (struct.pack(">BxL", 1, LONGEST_REQUEST + 1), "ABORT"),
    "11 P-DATA first": (ECHO, "ABORT"),
    "13 A-RELEASE-RP first": (peer.RELEASE_RP, "ABORT"),
    "22 no presentation context": (request(contexts=b""), "ABORT"),
    "24 even context ID": (request(contexts=peer.context_item(2, peer.VERIFICATION, [peer.IMPLICIT])), "ABORT"),
    "24 repeated context ID": (request(contexts=peer.context_item(1, peer.MPPS, [peer.IMPLICIT]) * 2), "ABORT"),
    "context without transfer syntax": (request(contexts=peer.context_item(1, peer.MPPS, [])), "ABORT"),
    "item over the end": (pdu(1, request()[6:-3]), "ABORT"),
    "request cut off": (pdu(1, request()[6:60]), "ABORT"),
    "A-ABORT first": (peer.ABORT, "CLOSED"),
}


@pytest.mark.parametrize(("sent", "end"), BEFORE.values(), ids=BEFORE)
def test_before_an_association(sent, end, constant_door):
    """Closed at the deadline, or at once with an A-ABORT; the next scanner is served and nothing stays."""
    assert RawPeer(constant_door.port, sent).ends() == end
    assert echoed(constant_door.port)
    wait_until(lambda: constant_door.connections == 0)


def test_4_a_slow_request_is_cut_off(port):
    """A byte now and then does not move the deadline."""
    slow, whole, sent = RawPeer(port), request(), 0
    while not select.select([slow.socket], [], [], 0.1)[0]:
        slow.send(whole[sent : sent + 1])
        sent += 1
    assert 0 < sent < 20
    assert slow.is_closed()


REJECTED = {
    "14 protocol version": ({"version": 2}, (1, 2, 2)),
    "15 application context": ({"application_context": "1.2.840.10008.3.1.1.9"}, (1, 1, 2)),
    "16 unknown called AE": ({"called": b"OTHER"}, (1, 1, 7)),
    "17 unknown calling AE": ({"calling": b"NOBODY"}, (1, 1, 3)),
    "18 empty calling AE": ({"calling": b""}, (1, 1, 3)),
    "18 empty called AE": ({"called": b""}, (1, 1, 7)),
    "19 path": ({"calling": b"../x"}, (1, 1, 3)),
    "19 NUL": ({"calling": b"CT1\0"}, (1, 1, 3)),
    "19 escape and newline": ({"calling": b"\x1b[31mCT1\n"}, (1, 1, 3)),
    "19 UTF-8": ({"calling": "CT1é".encode()}, (1, 1, 3)),
    "27 longest PDU 1": ({"user": peer.user_item(longest=1)}, (1, 1, 1)),
    "27 longest PDU 1023": ({"user": peer.user_item(longest=1023)}, (1, 1, 1)),
}


@pytest.mark.parametrize(("asked", "reason"), REJECTED.values(), ids=REJECTED)
def test_rejected(asked, reason, port, caplog):
    """Result, source and diagnostic of PS3.8 Table 9-21; the log shows nothing that is not printable."""
    answer = RawPeer(port, request(**asked)).pdu()
    assert (answer[0], *answer[7:10]) == (3, *reason)
    assert all(line.isprintable() and line.isascii() for line in caplog.messages)
    assert "refused" in caplog.text


def test_23_as_many_syntaxes_as_fit(port):
    """The largest request that is taken is answered."""
    many = [f"1.2.840.10008.1.2.4.{number}" for number in range(100, 116)]
    contexts = b"".join(peer.context_item(number, f"1.2.3.{number}", many) for number in range(1, 256, 2))
    largest = request(contexts=contexts)
    assert LONGEST_REQUEST - 8000 < len(largest) <= LONGEST_REQUEST
    assert set(RawPeer(port).associated(contexts=contexts).results().values()) == {3}


RESULTS = {
    "25 unknown abstract syntax": ("1.2.3.4", [peer.IMPLICIT], 3),
    "26 deflated": (peer.MPPS, ["1.2.840.10008.1.2.1.99"], 4),
    "26 big endian": (peer.MPPS, ["1.2.840.10008.1.2.2"], 4),
    "26 JPEG": (peer.MPPS, ["1.2.840.10008.1.2.4.50"], 4),
    "explicit": (peer.MPPS, [peer.EXPLICIT, peer.IMPLICIT], 0),
}


@pytest.mark.parametrize(("abstract", "transfer", "result"), RESULTS.values(), ids=RESULTS)
def test_results_of_contexts(abstract, transfer, result, port):
    """PS3.8 Table 9-18: 3 abstract syntax, 4 transfer syntaxes not supported."""
    answered = RawPeer(port).associated(contexts=peer.context_item(9, abstract, transfer))
    assert answered.results() == {9: result}


def test_27_longest_pdu_0_is_no_limit(port):
    """We send no longer PDUs than we take."""
    unlimited = RawPeer(port).associated(user=peer.user_item(longest=0))
    data = bytes(300_000)
    unlimited.send(*create(data))
    lengths = [len(unlimited.pdu()) - 6 for _ in range(4)]
    assert max(lengths) == LONGEST_PDU
    assert sum(lengths[1:]) == len(data) + 3 * 6


def test_a_peers_longest_pdu_is_kept(port):
    """No PDU of an answer is longer than the peer takes, and none holds parts of two messages."""
    small = RawPeer(port).associated(user=peer.user_item(longest=1024))
    small.send(*create(bytes(5000)))
    pdus = [small.pdu() for _ in range(6)]
    assert all(len(received) - 6 <= 1024 for received in pdus)
    assert [received[11] for received in pdus] == [3, 0, 0, 0, 0, 2]


def create(data: bytes) -> list[bytes]:
    """An N-CREATE in fragments."""
    head = p_data(pdv(5, 3, peer.command("N-CREATE", peer.MPPS, data_set=True, e1000=b"1.2.3\0")))
    parts = [data[at : at + 60_000] for at in range(0, len(data), 60_000)]
    return [head] + [p_data(pdv(5, 2 if part is parts[-1] else 0, part)) for part in parts]


def test_user_information_that_is_not_supported_is_passed_over(port):
    """Asynchronous operations: one at a time. User identity, roles, extended negotiation: no answer, no refusal."""
    window = item(0x53, struct.pack(">HH", 0, 0))
    role = item(0x54, struct.pack(">H", len(peer.WORKLIST)) + peer.WORKLIST.encode() + b"\1\1")
    extended = item(0x56, struct.pack(">H", len(peer.WORKLIST)) + peer.WORKLIST.encode() + b"\1\1\1")
    identity = item(0x58, b"\x02\x01" + struct.pack(">H", 5) + b"molly" + struct.pack(">H", 6) + b"wrong!")
    answered = RawPeer(port).associated(user=peer.user_item(more=window + role + extended + identity))
    assert item(0x53, struct.pack(">HH", 1, 1)) in answered.accepted
    assert answered.results()[3] == 0
    assert answered.send(ECHO).response().status == 0


ODD_USERS = {
    "an item that is not known": peer.user_item(more=item(0x5F, b"new")),
    "a version name of 17 characters": peer.user_item(more=item(0x55, b"A" * 17)),
    "a version name that is not ASCII": peer.user_item(more=item(0x55, b"\xe9t\xe9\0")),
    "a class UID that is too long": item(0x50, item(0x51, bytes(4)) + item(0x52, b"1." * 40)),
    "a role that is none": peer.user_item(more=item(0x54, b"\0")),
    "an identity of no type": peer.user_item(more=item(0x58, b"\x09\0\0\1x\0\0")),
    "nothing": b"",
}


@pytest.mark.parametrize("user", ODD_USERS.values(), ids=ODD_USERS)
def test_what_is_of_no_use_to_us_is_not_judged(user, port):
    """Unknown items are passed over (PS3.8 9.3.1), and so are faults in what nobody here looks at."""
    assert RawPeer(port).associated(user=user).send(ECHO).response().status == 0


def test_padded_uids(port):
    """A NUL behind a UID, as it stands in data sets, spoils nothing."""
    contexts = peer.context_item(1, peer.VERIFICATION + "\0", [peer.IMPLICIT + "\0"])
    padded = RawPeer(port).associated(application_context=peer.APPLICATION_CONTEXT + "\0", contexts=contexts)
    assert padded.results() == {1: 0}


@pytest.mark.parametrize("uid", [b"\xff\xfe", b"1." * 40], ids=["bytes", "too long"])
def test_a_uid_that_is_none_spoils_its_own_context_only(uid, port):
    """As abstract syntax it is result 3, as transfer syntax 4; the next context is accepted."""

    def context(number: int, abstract: bytes, transfer: bytes) -> bytes:
        return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract) + item(0x40, transfer))

    verification, implicit = peer.VERIFICATION.encode(), peer.IMPLICIT.encode()
    contexts = context(1, uid, implicit) + context(3, verification, uid) + context(5, verification, implicit)
    assert RawPeer(port).associated(contexts=contexts).results() == {1: 3, 3: 4, 5: 0}


def test_fragments_are_even(port):
    """PS3.7 annex F, whatever the peer's longest PDU: DCMTK gives up on an odd fragment."""
    odd = RawPeer(port).associated(user=peer.user_item(longest=1025))
    odd.send(*create(bytes(5000)))
    lengths = [len(odd.pdu()) - 6 for _ in range(6)]
    assert max(lengths) <= 1025
    assert not any(length % 2 for length in lengths)


def test_a_peer_that_only_reads_on_is_answered(constant_door):
    """Who shuts down its side of the connection behind its requests still gets every answer, and then the end."""
    half = RawPeer(constant_door.port).associated().send(ECHO * 3)
    half.socket.shutdown(socket.SHUT_WR)
    assert [half.response().status for _ in range(3)] == [0, 0, 0]
    assert half.ends() == "CLOSED"
    half = RawPeer(constant_door.port).associated().send(ECHO, peer.RELEASE_RQ)
    half.socket.shutdown(socket.SHUT_WR)
    assert half.response().status == 0
    assert half.ends() == "RELEASE"
    wait_until(lambda: constant_door.connections == 0)


def test_29_the_cap_of_all_connections(constant_door):
    """Over it a connection is closed; below it all are served again."""
    port = constant_door.port
    held = [RawPeer(port, b"\x01", source=f"127.0.0.{1 + number % 2}") for number in range(12)]
    wait_until(lambda: constant_door.connections == 12)
    assert RawPeer(port, source="127.0.0.3").is_closed()
    for holder in held:
        holder.close()
    wait_until(lambda: constant_door.connections == 0)
    assert echoed(port, "127.0.0.3")


def test_30_the_cap_of_one_address(constant_door):
    """An address that holds all it may does not keep out another."""
    port = constant_door.port
    held = [RawPeer(port, b"\x01") for _ in range(8)]
    wait_until(lambda: constant_door.connections == 8)
    assert RawPeer(port).is_closed()
    assert echoed(port, "127.0.0.2")
    assert all(holder.is_closed() for holder in held)


AMID = {
    "12 second A-ASSOCIATE-RQ": request(),
    "13 A-RELEASE-RP unasked": peer.RELEASE_RP,
    "31 P-DATA over our longest PDU": struct.pack(">BxL", 4, LONGEST_PDU + 1),
    "32 PDV beyond the PDU": p_data(struct.pack(">LBB", 100, 1, 3) + b"abc"),
    "33 PDV of length 0": p_data(struct.pack(">LBB", 0, 1, 3)),
    "33 PDV of length 1": p_data(struct.pack(">LB", 1, 1)),
    "33 PDV without its head": p_data(b"\x00\x00"),
    "33 empty P-DATA": p_data(),
    "34 unknown context ID": peer.message(99, peer.command("C-ECHO", peer.VERIFICATION)),
    "34 context that was not accepted": peer.message(7, peer.command("C-ECHO", peer.CT)),
    "36 stalled amid a PDU": b"\x04\x00\x00\x00\x10\x00abc",
    "37 idle": b"",
    "thousands of empty values": p_data(pdv(1, 1, b"") * 20_000),
}


@pytest.mark.parametrize("sent", AMID.values(), ids=AMID)
def test_amid_an_association(sent, constant_door):
    """A-ABORT, and the next scanner is served."""
    assert RawPeer(constant_door.port).associated().send(sent).ends() == "ABORT"
    assert echoed(constant_door.port)
    wait_until(lambda: constant_door.connections == 0)


def test_35_a_reset_frees_everything(constant_door):
    """At once, in the middle of a PDU."""
    broken = RawPeer(constant_door.port).associated()
    broken.send(b"\x04\x00\x00\x00\x10\x00abc")
    wait_until(lambda: constant_door.connections == 1)
    broken.reset()
    wait_until(lambda: constant_door.connections == 0)


def test_a_release_is_answered_after_what_was_asked_before(port):
    """A peer that does not wait for its answers gets them all the same (PS3.8, AR-7)."""
    hasty = RawPeer(port).associated()
    hasty.send(ECHO * 3 + peer.RELEASE_RQ)
    assert [hasty.response().status for _ in range(3)] == [0, 0, 0]
    assert hasty.ends() == "RELEASE"


def test_a_release_is_answered_when_the_answers_are_taken(constant_door):
    """A reader that is slower than the door closes an association gets all of a long answer."""
    slow, data = RawPeer(constant_door.port).associated(user=peer.user_item(longest=0)), bytes(7_000_000)
    slow.send(*create(data), peer.RELEASE_RQ)
    with contextlib.suppress(AssertionError):  # for as long as it takes a door that does not wait
        wait_until(lambda: constant_door.connections == 0, seconds=3 * constant_door.limits.closing_seconds)
    assert slow.response().data == data
    assert slow.ends() == "RELEASE"


def test_who_comes_while_the_list_of_stations_hangs_does_not_wait_for_it(monkeypatch, limits):
    """The first waits a moment, then the last list holds for all until the database has answered."""
    answered = threading.Event()

    class Hanging(Known):
        is_fresh = False

        def read(self) -> None:
            answered.wait(30)

    done = {"C-ECHO": lambda request: Answer(status=0)}
    door = Door(("127.0.0.1", 0), {peer.VERIFICATION: [peer.IMPLICIT]}, done, stations=Hanging(), limits=limits).start()
    assert echoed(door.port)
    monkeypatch.setattr(admission, "READ_SECONDS", 3600)
    assert echoed(door.port)
    answered.set()
    door.stop(seconds=1)


def test_a_peers_abort_ends_the_connection(constant_door):
    """Without an answer."""
    assert RawPeer(constant_door.port).associated().send(peer.ABORT).ends() == "CLOSED"
    wait_until(lambda: constant_door.connections == 0)
