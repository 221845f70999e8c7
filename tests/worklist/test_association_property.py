"""Any sequence of PDUs: the door answers only as PS3.8 allows, ends or goes on, and nothing stays of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.waiting import wait_until
from tests.worklist import peer
from tests.worklist.peer import RawPeer
from worklist.door import Door

VERBS = ("C-ECHO", "C-FIND", "C-STORE", "C-CANCEL", "N-CREATE", "N-SET", "N-GET", "C-MOVE")
CLASSES = (peer.VERIFICATION, peer.WORKLIST, peer.MPPS, "", "1.2.3")

commands = st.builds(
    peer.command,
    verb=st.sampled_from(VERBS),
    sop_class=st.sampled_from(CLASSES),
    message_id=st.integers(0, 65535),
    data_set=st.booleans(),
)
values = st.builds(
    peer.pdv,
    context=st.sampled_from((1, 3, 5, 7, 8)),
    control=st.integers(0, 3),
    fragment=st.one_of(commands, st.binary(max_size=12), st.just(b"\2\0\0\0")),
)
messages = st.builds(peer.message, st.sampled_from((1, 3, 5)), commands, st.one_of(st.none(), st.just(b"\2\0\0\0")))
pdus = st.one_of(
    st.builds(peer.request, calling=st.sampled_from((b"CT1", b"NOBODY")), version=st.sampled_from((1, 2))),
    st.just(peer.request()),
    messages,
    st.lists(values, max_size=3).map(lambda parts: peer.p_data(*parts)),
    st.sampled_from((peer.RELEASE_RQ, peer.RELEASE_RP, peer.ABORT)),
    st.builds(peer.pdu, st.integers(0, 9), st.binary(max_size=80)),
    st.binary(max_size=20),
)
#: After the first PDU, of which most are a good request.
sequences = st.tuples(st.one_of(st.just(peer.request()), pdus), st.lists(pdus, max_size=6))

#: Type of PDU that the door may send -> types of those that may come before it.
AFTER = {2: {0}, 3: {0}, 4: {2, 4}, 6: {2, 4}, 7: {0, 2, 3, 4, 6, 7}}


@contextmanager
def said(port: int, sent: bytes, cut: int) -> Iterator[list[int]]:
    """The types of the PDUs with which the door answers ``sent``, given in pieces of ``cut``, up to the end."""
    with RawPeer(port) as talker:
        try:
            talker.send(*(sent[at : at + cut] for at in range(0, len(sent), cut)))
            talker.socket.shutdown(1)
        except OSError:
            yield []
            return
        kinds = []
        while received := talker.pdu():
            kinds.append(received[0])
        yield kinds


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_any_sequence_of_pdus(cut, constant_door: Door):
    """Each answer is one that may follow; and then an ordinary scanner is served, and no connection is left."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(sequences)
    def check(sequence: tuple[bytes, list[bytes]]) -> None:
        first, rest = sequence
        with said(constant_door.port, first + b"".join(rest), cut) as kinds:
            before = 0
            for kind in kinds:
                assert before in AFTER[kind], kinds
                before = kind
        with RawPeer(constant_door.port).associated() as scanner:
            answer = scanner.send(peer.message(1, peer.command("C-ECHO", peer.VERIFICATION))).response()
            assert answer is not None
            assert answer.status == 0
        wait_until(lambda: constant_door.connections == 0)

    check()
