"""The port with TLS under attack: a handshake that never ends holds up nobody, and only those with TLS come in."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import wire
from tests.attacks import attacks
from tests.attacks.conftest import warm
from tests.attacks.server import Server, Site, undisturbed
from tests.postgres import free_port

#: The head of a TLS 1.2 ClientHello record of 512 bytes, of which no more comes.
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``our.pem`` and ``our.key``, signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*new.split(), "-keyout", "our.key", "-out", "our.pem"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def client(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate / "our.pem"))


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(demo_site: Site, certificate: Path, client: ssl.SSLContext, port: int) -> Iterator[Server]:
    tls = {
        "SUNVIEW_DICOM_TLS": f"127.0.0.1:{port}",
        "SUNVIEW_TLS_CERTIFICATE": str(certificate / "our.pem"),
        "SUNVIEW_TLS_KEY": str(certificate / "our.key"),
    }
    with Server(demo_site, "worklist_scp", **tls) as running:
        warm(running.port, attacks.GOOD, wire.ECHO_REQUEST)
        warm(port, attacks.GOOD, wire.ECHO_REQUEST, tls=client)
        yield running


SENT = {"nothing": b"", "half a ClientHello": HALF_A_HELLO, "DICOM without TLS": attacks.GOOD}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_no_handshake(server: Server, port: int, client: ssl.SSLContext, sent: bytes):
    """30 that send this instead of a handshake: each is cut off, and every C-ECHO with TLS succeeds meanwhile."""
    with undisturbed(server, port, client), attacks.peers(port, 30, sent) as held:
        assert attacks.all_closed(held)
