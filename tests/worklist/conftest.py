"""Both doors on ports of their own, in this process, and a scanner that calls them."""

from collections.abc import Iterator

import pytest

from worklist.door import Door
from worklist.emulator import Modality
from worklist.limits import USUAL, Limits
from worklist.scp import store_door, worklist_door


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


@pytest.fixture
def scanner(worklist_port, store_port) -> Modality:
    """The station CT1."""
    return Modality("CT1", ("127.0.0.1", worklist_port), ("127.0.0.1", store_port), timeout=15)
