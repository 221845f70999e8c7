"""Both doors on ports of their own, in this process, and a scanner that calls them."""

import itertools
from collections.abc import Iterator

import pytest

from worklist.activity import recorder
from worklist.activity_rows import Facts
from worklist.dimse import MODALITY_WORKLIST, MPPS, PENDING, VERIFICATION, Answer, Request
from worklist.door import Door
from worklist.emulator import Modality
from worklist.limits import USUAL, Limits
from worklist.scp import PLAIN, store_door, worklist_door
from worklist.stations import Profile, Stations


@pytest.fixture
def limits() -> Limits:
    """What the worklist's door allows; a test module may override it."""
    return USUAL


@pytest.fixture
def front_door(transactional_db, site, limits) -> Iterator[Door]:
    """The worklist's."""
    door = worklist_door(("127.0.0.1", 0), limits=limits).start()
    yield door
    door.stop(seconds=1)


@pytest.fixture
def worklist_port(front_door) -> int:
    return front_door.port


@pytest.fixture
def store_port(transactional_db, site, settings, tmp_path) -> Iterator[int]:
    settings.DATA_DIR = tmp_path
    door = store_door(("127.0.0.1", 0)).start()
    yield door.port
    door.stop(seconds=1)


class Known(Stations):
    """CT1 alone may call, without a database."""

    is_fresh = is_known = True

    def find(self, ae_title: str) -> Profile | None:
        return Profile(ae_title="CT1") if ae_title == "CT1" else None


ANSWER = bytes.fromhex("08005000040000004143434e")


def constant_query(request: Request) -> Iterator[Answer]:
    """As many answers as the identifier says in its first four bytes; for ever if that is zero."""
    count = int.from_bytes(request.data[:4], "little")
    for _ in range(count) if count else itertools.count():
        yield Answer(status=PENDING, data=ANSWER)


@pytest.fixture
def constant_door(limits) -> Iterator[Door]:
    """A door in front of handlers that know one answer each."""
    done = {verb: lambda request: Answer(status=0, data=request.data) for verb in ("C-ECHO", "N-CREATE", "N-SET")}
    contexts = {uid: PLAIN for uid in (VERIFICATION, MODALITY_WORKLIST, MPPS)}
    door = Door(("127.0.0.1", 0), contexts, done, constant_query, stations=Known(), limits=limits).start()
    yield door
    door.stop(seconds=1)


@pytest.fixture
def scanner(worklist_port, store_port) -> Modality:
    """The station CT1."""
    return Modality("CT1", ("127.0.0.1", worklist_port), ("127.0.0.1", store_port), timeout=15)


@pytest.fixture
def nothing_noted(monkeypatch) -> None:
    """What earlier tests did at a door is forgotten."""
    monkeypatch.setattr(recorder, "facts", Facts())
