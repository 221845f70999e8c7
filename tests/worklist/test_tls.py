"""TLS at the same door (PS3.15 B.12): who has no certificate or no TLS stays outside, and holds up nobody."""

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ris import environment
from tests.waiting import wait_until
from tests.worklist import peer
from tests.worklist.peer import RawPeer
from worklist.door import Door
from worklist.limits import USUAL, Limits
from worklist.scp import worklist_door

pytestmark = pytest.mark.django_db(transaction=True)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """``ours`` and ``theirs``, signed by ``authority``; ``stranger`` by itself."""
    folder = tmp_path_factory.mktemp("tls")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl(folder, *new, "-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem")
    signed = ("-CA", "authority.pem", "-CAkey", "authority.key")
    for name, by in (("ours", signed), ("theirs", signed), ("stranger", ())):
        subject = ("-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE")
        openssl(folder, *new, *subject, *by, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    return folder


@pytest.fixture
def limits() -> Limits:
    return replace(USUAL, handshake_seconds=0.6, closing_seconds=0.5)


def context(certificates: Path, monkeypatch, authorities: str = "") -> ssl.SSLContext | None:
    monkeypatch.setenv("SUNVIEW_TLS_CERTIFICATE", str(certificates / "ours.pem"))
    monkeypatch.setenv("SUNVIEW_TLS_KEY", str(certificates / "ours.key"))
    monkeypatch.setenv("SUNVIEW_TLS_CA", str(certificates / authorities) if authorities else "")
    return environment.tls("SUNVIEW_TLS_CERTIFICATE", "SUNVIEW_TLS_KEY", "SUNVIEW_TLS_CA", [])


@pytest.fixture
def tls_door(transactional_db, site, certificates, limits, monkeypatch) -> Iterator[Door]:
    """Takes only peers with a certificate of the authority."""
    tls = context(certificates, monkeypatch, "authority.pem")
    door = worklist_door(("127.0.0.1", 0), limits=limits, tls=tls).start()
    yield door
    door.stop(seconds=1)


class TlsPeer(RawPeer):
    def __init__(self, port: int, client: ssl.SSLContext) -> None:
        super().__init__(port)
        self.socket = client.wrap_socket(self.socket, server_hostname="localhost")


def client(certificates: Path, name: str = "theirs") -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(certificates / "authority.pem"))
    made.check_hostname = False
    if name:
        made.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    return made


ECHO = peer.message(1, peer.command("C-ECHO", peer.VERIFICATION))


def served(door: Door, certificates: Path) -> bool:
    with TlsPeer(door.port, client(certificates)).associated() as scanner:
        answer = scanner.send(ECHO).response()
        return answer is not None and answer.status == 0 and scanner.send(peer.RELEASE_RQ).ends() == "RELEASE"


def test_echo_over_tls(tls_door, certificates):
    """A peer that the authority knows is served, with TLS 1.3 and with 1.2."""
    assert served(tls_door, certificates)
    old = client(certificates)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with TlsPeer(tls_door.port, old).associated() as scanner:
        assert scanner.send(ECHO).response().status == 0
        assert re.match("ECDHE|DHE", scanner.socket.cipher()[0])


@pytest.mark.parametrize("name", ["", "stranger"])
def test_a_peer_without_our_authoritys_certificate_stays_outside(name, tls_door, certificates):
    """None at all, or one that somebody else signed."""
    with pytest.raises((OSError, AssertionError)):
        TlsPeer(tls_door.port, client(certificates, name)).associated()
    assert served(tls_door, certificates)


def test_cbc_ciphers_are_refused(tls_door, certificates):
    """Only forward secrecy with authenticated encryption."""
    weak = client(certificates)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    with pytest.raises(ssl.SSLError):
        TlsPeer(tls_door.port, weak)


def test_silent_and_plain_peers_hold_up_nobody(tls_door, certificates):
    """Fifty that never say hello, and plain DICOM: cut off at the deadline, others are served meanwhile."""
    silent = [RawPeer(tls_door.port) for _ in range(50)]
    plain = RawPeer(tls_door.port, peer.request())
    assert served(tls_door, certificates)
    assert plain.is_closed()
    assert all(one.is_closed() for one in silent)
    wait_until(lambda: tls_door.connections == 0)


def test_dcmtk_over_tls(transactional_db, site, certificates, limits, monkeypatch):
    """echoscu and findscu with a certificate, and without one where none is asked for."""
    with_certificate = ("+tls", "theirs.key", "theirs.pem", "+cf", "authority.pem")
    for authorities, options in (("authority.pem", with_certificate), ("", ("+tla", "-ic"))):
        tls = context(certificates, monkeypatch, authorities)
        door = worklist_door(("127.0.0.1", 0), limits=limits, tls=tls).start()
        where = ("-aet", "CT1", "-aec", "SUNVIEW", "127.0.0.1", str(door.port))
        for program, asked in (("echoscu", ()), ("findscu", ("-W", "-k", "PatientName"))):
            done = subprocess.run(
                [program, "-v", *options, *asked, *where], cwd=certificates, capture_output=True, text=True, timeout=30
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Success" in done.stdout + done.stderr
        door.stop(seconds=1)


def test_unreadable_settings(certificates, monkeypatch):
    """A sentence for what cannot be used; no TLS where nothing asks for it."""
    names = ("SUNVIEW_TLS_CERTIFICATE", "SUNVIEW_TLS_KEY", "SUNVIEW_TLS_CA")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert environment.tls(*names, ["SUNVIEW_DICOM_TLS"]) is None
    monkeypatch.setenv("SUNVIEW_DICOM_TLS", "127.0.0.1:2762")
    with pytest.raises(
        SystemExit, match="SUNVIEW_TLS_CERTIFICATE must name a file .* because SUNVIEW_DICOM_TLS is set"
    ):
        environment.tls(*names, ["SUNVIEW_DICOM_TLS"])
    with pytest.raises(SystemExit, match="SUNVIEW_TLS_CERTIFICATE and SUNVIEW_TLS_KEY must name PEM files"):
        monkeypatch.setenv("SUNVIEW_TLS_KEY", str(certificates / "theirs.key"))
        monkeypatch.setenv("SUNVIEW_TLS_CERTIFICATE", str(certificates / "ours.pem"))
        environment.tls(*names, [])
    with pytest.raises(SystemExit, match="SUNVIEW_TLS_CA must name a PEM file"):
        context(certificates, monkeypatch, "nothing.pem")
    assert os.environ["SUNVIEW_DICOM_TLS"]
