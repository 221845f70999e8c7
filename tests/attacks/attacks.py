"""What hostile, broken and slow peers do to a port, each as a function of it (reliability.md 2.2).

Scaled down where more would show nothing else. Each asserts what the attacked side owes the attacker: mostly an end.
"""

import contextlib
import random
import selectors
import socket
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

from tests import wire
from tests.waiting import wait_until

GOOD = wire.associate_request((wire.VERIFICATION, [wire.IMPLICIT]))
ATTACKER = "127.0.0.3"


def peer(port: int, sent: bytes = b"") -> wire.Peer:
    return wire.Peer(port, ATTACKER).send(sent)


@contextlib.contextmanager
def peers(port: int, count: int, sent: bytes = b"") -> Iterator[list[wire.Peer]]:
    """So many connections that have sent this, held until the block ends."""
    with contextlib.ExitStack() as held:
        yield [held.enter_context(peer(port, sent)) for _ in range(count)]


def all_closed(held: Sequence[wire.Peer], seconds: float = 15.0) -> bool:
    """Wait until the other side has ended every connection; what it still says before is read over."""
    with selectors.DefaultSelector() as selector:
        for one in held:
            one.socket.setblocking(False)
            selector.register(one.socket, selectors.EVENT_READ)
        deadline = time.monotonic() + seconds
        while selector.get_map() and time.monotonic() < deadline:
            for key, _events in selector.select(0.5):
                if _is_at_end(key.fileobj):
                    selector.unregister(key.fileobj)
        assert not selector.get_map(), f"{len(selector.get_map())} of {len(held)} are still open"
    return True


def _is_at_end(connection: object) -> bool:
    assert isinstance(connection, socket.socket)
    try:
        return not connection.recv(65536)
    except ConnectionError:
        return True


def hurl(port: int, messages: Sequence[bytes]) -> None:
    """Each on a connection of its own, one after the other, dropped as soon as it is sent."""
    for message in messages:
        with contextlib.suppress(ConnectionError), peer(port, message):
            pass


def random_bytes(port: int) -> None:
    """300 connections with noise"""
    noise = random.Random(1)
    hurl(port, [noise.randbytes(noise.randint(1, 400)) for _ in range(300)])


def garbage_in_a_valid_type(port: int) -> None:
    """300 PDUs of a valid type and length with noise inside"""
    noise = random.Random(2)
    bodies = [noise.randbytes(noise.randint(0, 300)) for _ in range(300)]
    hurl(port, [struct.pack(">BBL", noise.randint(1, 7), 0, len(body)) + body for body in bodies])


def mutated_requests(port: int) -> None:
    """300 A-ASSOCIATE-RQ with a few bytes changed"""
    noise, mutants = random.Random(3), []
    for _ in range(300):
        mutant = bytearray(GOOD)
        for _change in range(5):
            mutant[noise.randrange(len(mutant))] = noise.randrange(256)
        mutants.append(bytes(mutant))
    hurl(port, mutants)


def one_byte_and_wait(port: int) -> None:
    """30 that send one byte and wait: each is cut off"""
    with peers(port, 30, b"\x01") as held:
        assert all_closed(held)


def half_a_request_and_wait(port: int) -> None:
    """30 that send half an A-ASSOCIATE-RQ and wait: each is cut off"""
    with peers(port, 30, GOOD[: len(GOOD) // 2]) as held:
        assert all_closed(held)


def four_gigabytes(port: int) -> None:
    """A PDU that says it is 4 GiB long, and a stream of bytes: closed, nothing kept"""
    for kind in (1, 4):
        with contextlib.suppress(ConnectionError), peer(port, struct.pack(">BBL", kind, 0, 0xFFFFFFFF)) as one:
            for _ in range(1_000):
                one.send(bytes(65536))
            raise AssertionError("64 MB were taken")


def silence(port: int) -> None:
    """100 that connect and say nothing: each is cut off"""
    with peers(port, 100) as held:
        assert all_closed(held)


def slow_senders(port: int) -> None:
    """30 that send a good request a byte at a time: each is cut off"""
    with peers(port, 30) as held, contextlib.ExitStack() as open_ones:
        left = {open_ones.enter_context(contextlib.closing(one.socket)): iter(GOOD) for one in held}

        def nobody_is_left() -> bool:
            for connection, letters in list(left.items()):
                with contextlib.suppress(ConnectionError):
                    connection.sendall(bytes([next(letters)]))
                    continue
                del left[connection]
            return not left

        wait_until(nobody_is_left, seconds=15, step=0.2)


def associate_and_drop(port: int) -> None:
    """400 associations, 20 at once, dropped without a release"""

    def accepted(_number: int) -> bool:
        with contextlib.suppress(ConnectionError), peer(port) as one:
            return bool(one.associate(GOOD))
        return False

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(accepted, range(400))) > 200


def endless_fragments(port: int) -> None:
    """Fragments of a message that never ends: closed"""
    with contextlib.suppress(ConnectionError), peer(port) as one:
        one.associate(GOOD)
        part = wire.p_data(wire.MORE_COMMAND, bytes(16000))
        for _ in range(8_000):
            one.send(part)
        raise AssertionError("128 MB were taken")


def endless_data_set(port: int) -> None:
    """A worklist query whose identifier never ends: closed"""
    with contextlib.suppress(ConnectionError), peer(port) as one:
        one.associate(wire.associate_request((wire.WORKLIST, [wire.IMPLICIT])))
        asked = wire.command(0x0020, wire.WORKLIST, with_data=True, more=[(0x00000700, "US", 0)])
        one.send(wire.p_data(wire.LAST_COMMAND, asked))
        part = wire.p_data(wire.MORE_DATA, bytes(16000))
        for _ in range(8_000):
            one.send(part)
        raise AssertionError("128 MB were taken")


def many_contexts(port: int) -> None:
    """60 requests of 128 contexts with 60 transfer syntaxes each: answered or closed"""
    abstract = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[:128]]
    syntaxes = (list(map(str, ALL_TRANSFER_SYNTAXES)) * 3)[:60]
    request = wire.associate_request(*((uid, syntaxes) for uid in abstract))
    for _ in range(60):
        with contextlib.suppress(ConnectionError), peer(port) as one:
            one.send(request).receive()


def deflate_bomb(port: int) -> None:
    """Deflated is not accepted, so that no bomb of it is ever inflated"""
    bomb = zlib.compress(bytes(50_000_000), 9)[2:-4]
    with peer(port) as one:
        kind, body = one.send(wire.associate_request((wire.MPPS, [wire.DEFLATED]))).receive()
        assert kind == wire.ACCEPTED
        assert b"\x21\0" in body and body[body.index(b"\x21\0", 68) + 6] == 4  # transfer syntaxes not supported
        asked = wire.command(0x0140, wire.MPPS, with_data=True, more=[(0x00001000, "UI", "1.2.3")])
        one.send(wire.p_data(wire.LAST_COMMAND, asked) + wire.fragments(wire.LAST_DATA, bomb))
        assert all_closed([one])


#: What any port must stand.
EVERYWHERE = (
    random_bytes,
    garbage_in_a_valid_type,
    mutated_requests,
    one_byte_and_wait,
    half_a_request_and_wait,
    four_gigabytes,
    silence,
    slow_senders,
    associate_and_drop,
    endless_fragments,
    many_contexts,
)
