"""The images' port under the same attacks: no memory, no thread, no descriptor and no file of them stays."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests import wire
from tests.attacks import attacks
from tests.attacks.server import Server, undisturbed
from tests.waiting import wait_until


def files(server: Server) -> set[Path]:
    """All that is in the data folder but the database's own."""
    return {path for path in server.site.folder.rglob("*") if path.is_file() and "sqlite3" not in path.name}


@pytest.mark.parametrize("attack", attacks.EVERYWHERE, ids=[attack.__doc__ for attack in attacks.EVERYWHERE])
def test_attack(store: Server, attack: Callable[[int], None]):
    """One of the attacks of the table, by its name."""
    before = files(store)
    with undisturbed(store):
        attack(store.port)
    assert files(store) == before


def associated(store: Server) -> wire.Peer:
    """A peer in the middle of a C-STORE: its command is sent, and nothing of its data set."""
    one = attacks.peer(store.port).associate(wire.associate_request((wire.CT_IMAGE, [wire.EXPLICIT])))
    return one.send(wire.p_data(wire.LAST_COMMAND, wire.store_command("2.25.1")))


def test_a_long_image_that_never_ends(store: Server):
    """64 MB of an image that is broken off: memory stays flat, and the part that came is gone."""
    before = files(store)
    part = wire.p_data(wire.MORE_DATA, bytes(16000))
    with undisturbed(store), associated(store) as one:
        for _ in range(4_000):
            one.send(part)
    wait_until(lambda: files(store) == before)


def test_many_images_broken_off(store: Server):
    """60 images that are broken off in the middle of a fragment leave nothing."""
    before = files(store)
    part = wire.p_data(wire.MORE_DATA, bytes(16000))
    with undisturbed(store):
        for number in range(60):
            with suppress(ConnectionError), associated(store) as one:
                one.send(part + part[: 100 * number])
    wait_until(lambda: files(store) == before)


def test_an_element_longer_than_all_there_is(store: Server):
    """An image whose first element claims four gigabytes is refused, not believed."""
    with undisturbed(store), associated(store) as one:
        claim = b"\x08\x00\x18\x00UN\0\0\xff\xff\xff\xff"
        with suppress(ConnectionError):
            assert one.send(wire.p_data(wire.LAST_DATA, claim)).answer() not in (0x0000, 0xB000)
