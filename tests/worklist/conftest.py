"""Both doors on ports of their own, in this process, and a scanner that calls them."""

from collections.abc import Iterator

import pytest

from worklist.door import Door
from worklist.emulator import Modality
from worklist.scp import store_door, worklist_door


@pytest.fixture
def worklist_port(transactional_db, site) -> Iterator[int]:
    yield from _opened(worklist_door(("127.0.0.1", 0)))


@pytest.fixture
def store_port(transactional_db, site, settings, tmp_path) -> Iterator[int]:
    settings.DATA_DIR = tmp_path
    yield from _opened(store_door(("127.0.0.1", 0)))


def _opened(door: Door) -> Iterator[int]:
    door.start()
    yield door.port
    door.stop(seconds=1)


@pytest.fixture
def scanner(worklist_port, store_port) -> Modality:
    """The station CT1."""
    return Modality("CT1", ("127.0.0.1", worklist_port), ("127.0.0.1", store_port), timeout=15)
