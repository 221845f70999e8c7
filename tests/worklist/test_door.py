"""The front door under attack: whatever comes in, the next scanner is served."""

import os
import random
import resource
import socket
import struct
import threading
import time

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE

from ris.models import Station
from tests import making
from tests.waiting import wait_until
from worklist import connection as limits
from worklist import door, stations
from worklist.dimse import MODALITY_WORKLIST, MPPS, VERIFICATION
from worklist.emulator import Modality, Refused
from worklist.scp import worklist_door

pytestmark = pytest.mark.django_db(transaction=True)


def connected(port: int, *sent: bytes) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port), timeout=15)
    for part in sent:
        peer.sendall(part)
    return peer


def is_closed(peer: socket.socket) -> bool:
    """Whether the server ended the connection, be it with an A-ABORT before."""
    try:
        while peer.recv(4096):
            pass
    except ConnectionError:
        return True
    return True


def door_threads() -> int:
    return sum("AcceptorThread" in thread.name for thread in threading.enumerate())


def served(scanner: Modality) -> bool:
    scanner.echo()
    return True


def request_bytes(calling: str = "CT1", called: str = "SUNVIEW") -> bytes:
    """A good A-ASSOCIATE-RQ."""
    captured: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def capture() -> None:
        peer, _address = listener.accept()
        head = peer.recv(6, socket.MSG_WAITALL)
        captured.append(head + peer.recv(struct.unpack(">L", head[2:])[0], socket.MSG_WAITALL))
        peer.close()

    thread = threading.Thread(target=capture)
    thread.start()
    caller = AE(ae_title=calling)
    caller.add_requested_context(VERIFICATION)
    caller.associate("127.0.0.1", listener.getsockname()[1], ae_title=called)
    thread.join()
    listener.close()
    return captured[0]


NO_REQUESTS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "type 8": b"\x08\x00\x00\x00\x00\x04abcd",
    "P-DATA first": b"\x04\x00\x00\x00\x00\x0a" + b"\x00" * 10,
    "AC first": b"\x02\x00\x00\x00\x00\x04abcd",
    "release response": b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    "garbage RQ": b"\x01\x00\x00\x00\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff",
    "RQ over 64 KB": struct.pack(">BBL", 1, 0, limits.LONGEST_REQUEST + 1),
}


def test_what_is_no_request_is_closed(scanner, worklist_port):
    """Closed at once, and the next scanner is served."""
    for name, sent in NO_REQUESTS.items():
        began = time.monotonic()
        assert is_closed(connected(worklist_port, sent))
        assert time.monotonic() - began < 2, name
        assert served(scanner)
    wait_until(lambda: door_threads() == 0)


def test_three_hundred_random_connections(scanner, worklist_port):
    """300 peers that send noise, a valid type with noise, or a mutated request: every echo succeeds meanwhile."""
    noise, good = random.Random(7), request_bytes()
    for number in range(300):
        data = bytearray(good if number % 3 == 0 else noise.randbytes(40))
        if number % 3 == 1:
            data[0] = noise.randint(1, 7)
        for _ in range(5):
            data[noise.randrange(len(data))] = noise.randrange(256)
        connected(worklist_port, bytes(data)).close()
        if number % 50 == 0:
            assert served(scanner)
    assert served(scanner)
    wait_until(lambda: door_threads() == 0, seconds=15)


def test_one_byte_holders_do_not_shut_the_door(scanner, worklist_port, monkeypatch):
    """Thirty peers that send one byte and wait: echoes succeed, and each is cut off at the deadline."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 1.5)
    began = time.monotonic()
    peers = [connected(worklist_port, b"\x01") for _ in range(30)]
    assert all(served(scanner) for _ in range(5))
    assert all(is_closed(peer) for peer in peers)
    assert time.monotonic() - began < 10
    wait_until(lambda: door_threads() == 0)


def test_half_a_request_and_silence_are_cut_off(scanner, worklist_port, monkeypatch):
    """So is who sends nothing, or half a request, or a byte now and then."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 1.0)
    good = request_bytes()
    peers = [connected(worklist_port, good[:50]), connected(worklist_port)]
    assert served(scanner)
    assert is_closed(peers[0])
    wait_until(lambda: door_threads() <= 1)


def test_a_long_pdu_costs_no_memory(scanner, worklist_port):
    """A PDU that claims four gigabytes is closed before it is read."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peer = connected(worklist_port, b"\x01\x00\xff\xff\xff\xff")
    with pytest.raises(OSError):
        for _ in range(2_000):
            peer.sendall(bytes(65536))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert served(scanner)


def test_a_stalled_pdu_frees_the_association(scanner, worklist_port, monkeypatch):
    """A scanner unplugged in the middle of a PDU does not hold its thread for ever."""
    monkeypatch.setattr(limits, "PDU_SECONDS", 1.0)
    peer = connected(worklist_port, request_bytes())
    assert peer.recv(1) == b"\x02"
    peer.sendall(b"\x04\x00\x00\x00\x10\x00abc")
    wait_until(lambda: door_threads() == 0)
    assert served(scanner)


def test_a_message_without_end_is_aborted(scanner, worklist_port):
    """Fragments that never become a message are taken up to its longest length, then the peer gets an A-ABORT."""
    peer = connected(worklist_port, request_bytes())
    head = peer.recv(6, socket.MSG_WAITALL)
    peer.recv(struct.unpack(">L", head[2:])[0], socket.MSG_WAITALL)
    fragment = struct.pack(">BBLLBB", 4, 0, 65542, 65538, 1, 1) + bytes(65536)
    with pytest.raises(OSError):
        for _ in range(400):
            peer.sendall(fragment)
    assert served(scanner)
    wait_until(lambda: door_threads() == 0)


def test_connections_over_the_limit_are_closed(scanner, worklist_port, monkeypatch):
    """The limit counts those that say nothing; below it all are served again."""
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 5)
    monkeypatch.setattr(limits, "MOST_CONNECTIONS", 5)
    peers = [connected(worklist_port, b"\x01") for _ in range(5)]
    wait_until(lambda: door_threads() == 5)
    assert is_closed(connected(worklist_port))
    for peer in peers:
        peer.close()
    wait_until(lambda: door_threads() == 0)
    assert served(scanner)


def rejection(port: int, calling: str, called: str = "SUNVIEW") -> tuple[int, int, int]:
    seen: list[tuple[int, int, int]] = []

    def note(event: evt.Event) -> None:
        primitive = event.primitive
        if isinstance(primitive, A_ASSOCIATE) and primitive.result:
            seen.append((primitive.result, primitive.result_source, primitive.diagnostic))

    caller = AE(ae_title=calling)
    caller.add_requested_context(VERIFICATION)
    caller.associate("127.0.0.1", port, ae_title=called, evt_handlers=[(evt.EVT_ACSE_RECV, note)])
    return seen[0]


def test_who_may_not_call_is_rejected(scanner, worklist_port, caplog):
    """Unknown calling AE (1,1,3), unknown called AE (1,1,7); the log says who, with control characters escaped."""
    assert rejection(worklist_port, "NOBODY") == (1, 1, 3)
    assert rejection(worklist_port, "../wl_secret") == (1, 1, 3)
    assert rejection(worklist_port, "CT1", called="OTHER") == (1, 1, 7)
    assert "NOBODY" in caplog.text and "127.0.0.1" in caplog.text


def test_another_application_context_is_rejected(scanner, worklist_port):
    """(1,1,2) for an application context name that is not DICOM's."""
    peer = connected(worklist_port, request_bytes().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9"))
    answer = peer.recv(10, socket.MSG_WAITALL)
    assert (answer[0], *answer[7:10]) == (3, 1, 1, 2)
    peer.close()


def test_a_new_station_is_let_in_without_a_restart(scanner, worklist_port, monkeypatch):
    """Added in the admin, accepted within seconds; switched off, refused."""
    monkeypatch.setattr(stations, "STATIONS_SECONDS", 0.0)
    newcomer = Modality("CT9", scanner.worklist_address, scanner.worklist_address)
    with pytest.raises(Refused):
        newcomer.echo()
    Station.objects.create(ae_title="CT9", modality="CT")
    newcomer.echo()
    Station.objects.update(is_active=False)
    with pytest.raises(Refused):
        newcomer.echo()


def test_deflated_and_big_endian_are_not_taken(scanner, worklist_port):
    """Only plain little endian on the worklist's port (reliability.md, fact 4)."""
    caller = AE(ae_title="CT1")
    for syntax in ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"):
        caller.add_requested_context(MPPS, syntax)
    caller.add_requested_context(VERIFICATION)
    association = caller.associate("127.0.0.1", worklist_port, ae_title="SUNVIEW")
    assert [context.abstract_syntax for context in association.accepted_contexts] == [VERIFICATION]
    association.release()


def test_echo_fails_while_the_database_is_away(scanner, monkeypatch):
    """C-ECHO says that work can be done; without a database it says 0110H, and a query A700H."""

    def gone(_connection: object) -> None:
        raise OperationalError("gone")

    scanner.echo()
    with monkeypatch.context() as patched:
        patched.setattr(BaseDatabaseWrapper, "connect", gone)
        with pytest.raises(Refused) as refused:
            scanner.echo()
        assert refused.value.status == 0x0110
        with pytest.raises(Refused) as refused:
            scanner.find()
        assert refused.value.status == 0xA700
    scanner.echo()


def test_stopping_lets_an_association_end(transactional_db, site):
    """SIGTERM's way: no new association, the running one is answered to its end."""
    making.placed()
    running = worklist_door(("127.0.0.1", 0)).start()
    caller = AE(ae_title="CT1")
    caller.add_requested_context(VERIFICATION)
    caller.add_requested_context(MODALITY_WORKLIST)
    association = caller.associate("127.0.0.1", running.port, ae_title="SUNVIEW")
    stopping = threading.Thread(target=running.stop)
    stopping.start()
    wait_until(lambda: not door.probe(("127.0.0.1", running.port)))
    assert association.send_c_echo().Status == 0x0000
    association.release()
    stopping.join(5)
    assert not stopping.is_alive()


def test_stopping_does_not_wait_for_ever(transactional_db, site):
    """An association that nobody ends is aborted when the time is up."""
    running = worklist_door(("127.0.0.1", 0)).start()
    caller = AE(ae_title="CT1")
    caller.add_requested_context(VERIFICATION)
    association = caller.associate("127.0.0.1", running.port, ae_title="SUNVIEW")
    began = time.monotonic()
    running.stop(seconds=0.5)
    assert time.monotonic() - began < 5
    wait_until(lambda: association.is_aborted)


def sessions() -> int:
    """Open database connections of this process: server sessions, or descriptors of the SQLite file."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return cursor.fetchone()[0]
    name = os.path.realpath(connection.settings_dict["NAME"])
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(link) == name for link in links)


def test_no_database_connection_stays_open(scanner):
    """Each association's thread gives its connection back (reliability.md, fact 6)."""
    before = sessions()
    for _ in range(5):
        scanner.echo()
        scanner.find()
    assert sessions() == before
