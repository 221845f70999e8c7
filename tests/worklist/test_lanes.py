"""Who does what: large data sets wait for each other and for nobody else; cancels of nothing are counted."""

import threading
from collections.abc import Iterator

import pytest

from tests.worklist import peer
from tests.worklist.conftest import Known, constant_query
from tests.worklist.peer import RawPeer, command, message
from worklist.dialogue import LARGE, MOST_STRAY_CANCELS
from worklist.dimse import MODALITY_WORKLIST, MPPS, VERIFICATION, Answer, Request
from worklist.door import Door
from worklist.scp import PLAIN

CREATE = command("N-CREATE", peer.MPPS, data_set=True, e1000=b"1.2.3 ")
ECHO = message(1, command("C-ECHO", peer.VERIFICATION))
CANCEL = message(3, command("C-CANCEL", message_id=99))


@pytest.fixture
def threads() -> dict[int, str]:
    """Length of a data set -> the thread in which it was taken."""
    return {}


@pytest.fixture
def door(threads) -> Iterator[Door]:
    def create(request: Request) -> Answer:
        threads[len(request.data)] = threading.current_thread().name
        return Answer(status=0)

    contexts = {uid: PLAIN for uid in (VERIFICATION, MODALITY_WORKLIST, MPPS)}
    handlers = {"C-ECHO": lambda request: Answer(status=0), "N-CREATE": create}
    door = Door(("127.0.0.1", 0), contexts, handlers, constant_query, stations=Known()).start()
    yield door
    door.stop(seconds=1)


def test_a_large_data_set_is_taken_by_a_thread_of_its_own(door, threads):
    """Decoding one costs memory and time: several at once take neither from the others."""
    scanner = RawPeer(door.port).associated()
    for length in (LARGE, LARGE + 2):
        parts = peer.p_data(peer.pdv(5, 3, CREATE))
        whole = bytes(length)
        for at in range(0, length, 100_000):
            is_last = at + 100_000 >= length
            parts += peer.p_data(peer.pdv(5, 2 if is_last else 0, whole[at : at + 100_000]))
        assert scanner.send(parts).response().status == 0
    assert threads[LARGE].startswith("dicom-other")
    assert threads[LARGE + 2] == "dicom-large-0"


def test_some_cancels_of_nothing_do_no_harm(door):
    """A C-CANCEL that comes after the last answer is none of the peer's fault."""
    scanner = RawPeer(door.port).associated()
    assert scanner.send(CANCEL * MOST_STRAY_CANCELS, ECHO).response().status == 0


def test_a_flood_of_cancels_ends_the_association(door):
    """Who sends nothing else is cut off."""
    scanner = RawPeer(door.port).associated()
    assert scanner.send(CANCEL * (MOST_STRAY_CANCELS + 1), ECHO).response() is None
    assert RawPeer(door.port).associated().send(ECHO).response().status == 0
