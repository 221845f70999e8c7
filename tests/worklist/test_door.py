"""The front door under attack: whatever comes in, the next scanner is served."""

import os
import random
import resource
import struct
import threading
import time
from dataclasses import replace

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from pynetdicom import AE

from ris.models import Station
from tests import making
from tests.waiting import wait_until
from tests.worklist.peer import RawPeer, pdv, request
from worklist import activity, door, stations
from worklist.activity_rows import Facts
from worklist.dimse import MODALITY_WORKLIST, MPPS, VERIFICATION
from worklist.emulator import Modality, Refused
from worklist.limits import LONGEST_REQUEST, USUAL, Limits
from worklist.models import StationActivity, UnknownCaller
from worklist.scp import worklist_door

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def limits() -> Limits:
    """Shorter deadlines than in life."""
    return replace(USUAL, request_seconds=1.5, pdu_seconds=1.0, closing_seconds=0.5, connections=320)


def connected(port: int, *sent: bytes) -> RawPeer:
    return RawPeer(port, *sent, timeout=15)


def served(scanner: Modality) -> bool:
    scanner.echo()
    return True


NO_REQUESTS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "type 8": b"\x08\x00\x00\x00\x00\x04abcd",
    "P-DATA first": b"\x04\x00\x00\x00\x00\x0a" + b"\x00" * 10,
    "AC first": b"\x02\x00\x00\x00\x00\x04abcd",
    "release response": b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    "garbage RQ": b"\x01\x00\x00\x00\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff",
    "RQ over 64 KB": struct.pack(">BBL", 1, 0, LONGEST_REQUEST + 1),
}


def test_what_is_no_request_is_closed(scanner, worklist_port, front_door):
    """Closed at once, and the next scanner is served."""
    for name, sent in NO_REQUESTS.items():
        began = time.monotonic()
        assert connected(worklist_port, sent).is_closed()
        assert time.monotonic() - began < 2, name
        assert served(scanner)
    wait_until(lambda: front_door.connections == 0)


def test_three_hundred_random_connections(scanner, worklist_port, front_door):
    """300 peers that send noise, a valid type with noise, or a mutated request: every echo succeeds meanwhile."""
    noise, good = random.Random(7), request()
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
    wait_until(lambda: front_door.connections == 0, seconds=15)


def test_one_byte_holders_do_not_shut_the_door(scanner, front_door):
    """Thirty peers that send one byte and wait: echoes succeed, and each is cut off at the deadline."""
    peers = [connected(front_door.port, b"\x01") for _ in range(30)]
    assert all(served(scanner) for _ in range(5))
    assert all(peer.is_closed() for peer in peers)
    wait_until(lambda: front_door.connections == 0)


def test_half_a_request_and_silence_are_cut_off(scanner, front_door):
    """So is who sends nothing, or half a request, or a byte now and then."""
    peers = [connected(front_door.port, request()[:50]), connected(front_door.port)]
    assert served(scanner)
    assert all(peer.is_closed() for peer in peers)
    wait_until(lambda: front_door.connections == 0)


def test_a_long_pdu_costs_no_memory(scanner, worklist_port):
    """A PDU that claims four gigabytes is closed before it is read."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peer = connected(worklist_port, b"\x01\x00\xff\xff\xff\xff")
    with pytest.raises(OSError):
        for _ in range(2_000):
            peer.send(bytes(65536))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert served(scanner)


def test_a_stalled_pdu_frees_the_association(scanner, front_door):
    """A scanner unplugged in the middle of a PDU does not hold its place for ever."""
    peer = connected(front_door.port).associated()
    peer.send(b"\x04\x00\x00\x00\x10\x00abc")
    assert peer.ends() == "ABORT"
    wait_until(lambda: front_door.connections == 0)
    assert served(scanner)


def test_a_message_without_end_is_aborted(scanner, front_door):
    """Fragments that never become a message are taken up to its longest length, then the peer gets an A-ABORT."""
    peer = connected(front_door.port).associated()
    fragment = struct.pack(">BBL", 4, 0, 65542) + pdv(1, 1, bytes(65536))
    with pytest.raises(OSError):
        for _ in range(400):
            peer.send(fragment)
    assert served(scanner)
    wait_until(lambda: front_door.connections == 0)


def test_connections_over_the_limit_are_closed(scanner, front_door):
    """The limit counts those that say nothing; below it all are served again."""
    peers = [connected(front_door.port, b"\x01") for _ in range(320)]
    wait_until(lambda: front_door.connections == 320)
    assert connected(front_door.port).is_closed()
    for peer in peers:
        peer.close()
    wait_until(lambda: front_door.connections == 0)
    assert served(scanner)


def rejection(port: int, **asked) -> tuple[int, ...]:
    answer = connected(port, request(**asked)).pdu()
    assert answer[0] == 3
    return tuple(answer[7:10])


def test_who_may_not_call_is_rejected(scanner, worklist_port, caplog):
    """Unknown calling AE (1,1,3), unknown called AE (1,1,7); the log says who, with control characters escaped."""
    assert rejection(worklist_port, calling=b"NOBODY") == (1, 1, 3)
    assert rejection(worklist_port, calling=b"../wl_secret") == (1, 1, 3)
    assert rejection(worklist_port, calling=b"A\n\x1b[31m\xc3\xa9") == (1, 1, 3)
    assert rejection(worklist_port, called=b"OTHER") == (1, 1, 7)
    assert "NOBODY" in caplog.text and "127.0.0.1" in caplog.text
    assert "\x1b" not in caplog.text and "\\x1b[31m" in caplog.text


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
        patched.setattr(BaseDatabaseWrapper, "ensure_connection", gone)
        with pytest.raises(Refused) as refused:
            scanner.echo()
        assert refused.value.status == 0x0110
        with pytest.raises(Refused) as refused:
            scanner.find()
        assert refused.value.status == 0xA700
    scanner.echo()


def test_a_database_that_hangs_does_not_stall_the_door(transactional_db, site, monkeypatch):
    """Whoever asks is told in time, C-ECHO 0110H and C-FIND A700H, and nobody's association waits for the database."""
    limits = replace(USUAL, query_seconds=0.3)
    running, goes_on = worklist_door(("127.0.0.1", 0), limits=limits).start(), threading.Event()
    scanner = Modality("CT1", ("127.0.0.1", running.port), ("127.0.0.1", running.port), timeout=15)
    scanner.echo()
    with monkeypatch.context() as patched:
        patched.setattr(BaseDatabaseWrapper, "ensure_connection", lambda _connection: goes_on.wait(30))
        for _ in range(6):
            with pytest.raises(Refused) as refused:
                scanner.echo()
            assert refused.value.status == 0x0110
        with pytest.raises(Refused) as refused:
            scanner.find()
        assert refused.value.status == 0xA700
        goes_on.set()
    wait_until(lambda: served(scanner))
    running.stop(seconds=1)


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
    connection.close()  # as long as one is open, SQLite keeps the descriptors of the others that were closed
    name = os.path.realpath(connection.settings_dict["NAME"])
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(link) == name for link in links)


def test_a_session_that_the_server_ended_is_replaced(scanner):
    """Before a request fails for it: after a restart of the database the first query is answered."""
    scanner.echo()
    scanner.find()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"  # others test beside
            )
    scanner.echo()
    scanner.find()


def test_nothing_stays_when_the_door_is_closed(transactional_db, site):
    """Each thread keeps one database connection; with the door they end, and so does every descriptor and thread."""
    before = sessions()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        running = worklist_door(("127.0.0.1", 0)).start()
        scanner = Modality("CT1", ("127.0.0.1", running.port), ("127.0.0.1", running.port), timeout=15)
        for _ in range(10):
            scanner.echo()
            scanner.find()
        assert before < sessions() <= before + 5 * (3 if connection.vendor == "sqlite" else 1)
        running.stop(seconds=1)
        wait_until(lambda: sessions() == before)
    wait_until(lambda: threading.active_count() == threads)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_what_scanners_do_is_noted(scanner, worklist_port, monkeypatch):
    """Each station's last echo, and who was refused with what it asked for."""
    monkeypatch.setattr(activity.recorder, "facts", Facts())
    scanner.echo()
    assert rejection(worklist_port, calling=b"NOBODY") == (1, 1, 3)
    activity.recorder.write()
    assert StationActivity.objects.get(station__ae_title="CT1").echo_at
    refused = UnknownCaller.objects.get()
    assert (refused.ae_title, refused.called_ae_title, refused.address) == ("NOBODY", "SUNVIEW", "127.0.0.1")
