"""The worklist's port under attack: every C-ECHO from another address succeeds, and nothing of the attack stays."""

import contextlib
from collections.abc import Callable

import pytest

from tests import wire
from tests.attacks import attacks
from tests.attacks.conftest import identifier
from tests.attacks.server import Server, undisturbed

ATTACKS = (*attacks.EVERYWHERE, attacks.endless_data_set, attacks.deflate_bomb)
FIND = wire.associate_request((wire.WORKLIST, [wire.IMPLICIT]))


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.__doc__ for attack in ATTACKS])
def test_attack(worklist: Server, attack: Callable[[int], None]):
    """One of the attacks of the table, by its name."""
    with undisturbed(worklist):
        attack(worklist.port)


def test_established_and_silent(worklist: Server):
    """30 associations on which nothing is asked."""
    with undisturbed(worklist) as echoes, attacks.peers(worklist.port, 30) as held:
        for one in held:
            one.associate(attacks.GOOD)
        echoes.more(10)


def test_dropped_in_the_middle_of_answers(worklist: Server):
    """40 queries whose peer aborts or vanishes while it is answered."""
    with undisturbed(worklist):
        for number in range(40):
            with attacks.peer(worklist.port) as one:
                one.associate(FIND).send(wire.find_request(identifier())).receive()
                if number % 2:
                    one.send(wire.ABORT)


def test_who_never_reads(worklist: Server):
    """Four peers that ask for 8,000 answers each and read none: they wait in the peer's way, not in our memory."""
    with undisturbed(worklist) as echoes, contextlib.ExitStack() as held:
        for _ in range(4):
            one = held.enter_context(wire.Peer(worklist.port, attacks.ATTACKER, receive_buffer=4096))
            one.associate(FIND).send(b"".join(wire.find_request(identifier(), number) for number in range(1, 21)))
        echoes.more(10)


def test_two_thousand_idle(worklist: Server):
    """2,000 connections from twenty addresses that say nothing: echoes go on, and they cost next to no memory."""
    addresses = [f"127.0.0.{number}" for number in range(10, 30)]
    with undisturbed(worklist) as echoes, contextlib.ExitStack() as held:
        for number in range(2_000):
            held.enter_context(wire.Peer(worklist.port, addresses[number % len(addresses)]))
        echoes.more(5)


def test_more_than_1024_descriptors(worklist: Server):
    """400 associations beside 1,100 silent connections: who comes then is served (select() could not)."""
    addresses = [f"127.0.0.{number}" for number in range(10, 30)]
    with undisturbed(worklist) as echoes, contextlib.ExitStack() as held:
        for number in range(1_100):
            held.enter_context(wire.Peer(worklist.port, addresses[number % len(addresses)]))
        echoes.more(5)
