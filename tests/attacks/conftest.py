"""Both doors, each as a process of its own that all attacks meet one after the other."""

import resource
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import wire
from tests.attacks.server import STATION, Server, Site


@pytest.fixture(scope="session", autouse=True)
def descriptors() -> None:
    """Room for some thousand connections, here and in the processes that are started."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def demo_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("attacks"))


@pytest.fixture(scope="session")
def worklist(demo_site: Site) -> Iterator[Server]:
    with Server(demo_site, "worklist_scp") as server:
        warm(server.port, wire.associate_request((wire.VERIFICATION, [wire.IMPLICIT])), wire.ECHO_REQUEST)
        warm(server.port, wire.associate_request((wire.WORKLIST, [wire.IMPLICIT])), wire.find_request(identifier()), 2)
        yield server


@pytest.fixture(scope="session")
def store(demo_site: Site) -> Iterator[Server]:
    with Server(demo_site, "store_scp") as server:
        warm(server.port, wire.associate_request((wire.VERIFICATION, [wire.IMPLICIT])), wire.ECHO_REQUEST)
        yield server


def warm(port: int, request: bytes, asked: bytes, at_once: int = 8, tls: ssl.SSLContext | None = None) -> None:
    """What is made once is made: thread pools, database connections, what is read on the first request."""

    def once(_number: int) -> int:
        with wire.Peer(port, seconds=60, tls=tls) as peer:
            return peer.associate(request).send(asked).answer()

    with ThreadPoolExecutor(at_once) as pool:
        assert set(pool.map(once, range(3 * at_once))) == {0}


def identifier() -> bytes:
    """A query for all of CT1's entries, with a dozen return keys."""
    return wire.data_set(
        [
            *((tag, vr, "") for tag, vr in ((0x00080050, "SH"), (0x00100010, "PN"), (0x00100020, "LO"))),
            (0x0020000D, "UI", ""),
            (0x00400100, "SQ", [[(0x00080060, "CS", ""), (0x00400001, "AE", STATION), (0x00400002, "DA", "")]]),
            *((tag, "LO", "") for tag in (0x00401001, 0x00401003)),
        ]
    )
