"""The servers that are measured: ours, DCMTK's, Orthanc's, plain pynetdicom's, and the floor, each as it is shipped."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.entries import PROBE, Entry, answer, entries
from tests import wire
from tests.postgres import free_port
from tests.waiting import wait_until

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
CALLED = "SUNVIEW"
_META = [(0x00020010, "UI", wire.EXPLICIT), (0x00020012, "UI", "1.2.826.0.1.3680043.10.9999.9")]


def write_files(folder: Path, chosen: Iterable[Entry]) -> None:
    """Worklist files (PS3.10) as wlmscpfs and Orthanc read them, in the folder of the called AE title."""
    (folder / CALLED).mkdir(exist_ok=True)
    (folder / CALLED / "lockfile").touch()
    for entry in chosen:
        meta: list[wire.Element] = [
            (0x00020002, "UI", "1.2.276.0.7230010.3.1.0.1"),
            (0x00020003, "UI", f"1.2.826.0.1.3680043.10.9999.2.{entry.number}"),
            *_META,
        ]
        head = wire.data_set(meta, implicit=False)
        head = wire.data_set([(0x00020000, "UL", len(head))], implicit=False) + head
        body = wire.data_set(answer(entry), implicit=False)
        (folder / CALLED / f"{entry.number:06d}.wl").write_bytes(bytes(128) + b"DICM" + head + body)


@dataclass(frozen=True)
class Running:
    """A server that listens at ``port``."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds that its processes have worked, those that have ended among them."""
        ticks = sum(sum(map(int, _stat(pid)[11:15])) for pid in self._pids())
        return ticks / os.sysconf("SC_CLK_TCK")

    def _pids(self) -> list[int]:
        parents = {int(path.name): int(_stat(int(path.name))[1]) for path in Path("/proc").glob("[0-9]*")}
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) stat behind the name; zeros of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["0"] * 20


@contextlib.contextmanager
def started(command: list[str], port: int, env: dict[str, str] | None = None) -> Iterator[Running]:
    """A server as a process of its own, once it accepts associations."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet)
    try:
        wait_until(lambda: _answers(process, port), seconds=120, step=0.1)
        yield Running(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, f"{process.args} ended with {process.returncode}"
    try:
        with wire.Peer(port, seconds=60) as peer:
            peer.associate(wire.associate_request((wire.WORKLIST, [wire.IMPLICIT]), calling=PROBE, called=CALLED))
            peer.release()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def sunview(env: dict[str, str], *options: str) -> Iterator[Running]:
    """``manage.py worklist_scp`` as it would run."""
    port = free_port()
    command = [sys.executable, str(MANAGE), "worklist_scp", *options]
    with started(command, port, env | {"SUNVIEW_DICOM": f"127.0.0.1:{port}"}) as running:
        yield running


@contextlib.contextmanager
def dcmtk(folder: Path) -> Iterator[Running]:
    port = free_port()
    with started([_program("wlmscpfs"), "-dfp", str(folder), str(port)], port) as running:
        yield running


@contextlib.contextmanager
def orthanc(folder: Path) -> Iterator[Running]:
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        settings: dict[str, Any] = {
            "DicomAet": CALLED,
            "DicomPort": port,
            "DicomAlwaysAllowFindWorklist": True,
            "DicomModalities": {"probe": [PROBE, "127.0.0.1", 104]},
            "HttpServerEnabled": False,
            "StorageDirectory": scratch,
            "Plugins": ["/usr/share/orthanc/plugins/libModalityWorklists.so"],
            "Worklists": {"Enable": True, "Database": str(folder / CALLED)},
        }
        (Path(scratch) / "settings.json").write_text(json.dumps(settings))
        with started([_program("Orthanc"), f"{scratch}/settings.json"], port) as running:
            yield running


@contextlib.contextmanager
def pynetdicom(count: int, today: date) -> Iterator[Running]:
    port = free_port()
    with started(
        [sys.executable, "-m", "benchmarks.worklists", "pynetdicom", str(port), str(count), str(today)], port
    ) as running:
        yield running


@contextlib.contextmanager
def floor(count: int, today: date, key: str) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.worklists", "floor", str(port), str(count), str(today), key]
    with started(command, port) as running:
        yield running


def _program(name: str) -> str:
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    assert path, f"{name} is needed: tests/programs installs it"
    return path


def matching(key: str, count: int, today: date) -> list[Entry]:
    """The entries that a question is answered with."""
    listed = list(entries(count, today))
    chosen = {
        "q1": [entry for entry in listed if (entry.station, entry.day) == (PROBE, today)],
        "q2": listed[count // 2 : count // 2 + 1],
        "q3": [entry for entry in listed if entry.day == today],
    }
    return chosen[key]


def serve_pynetdicom(port: int, count: int, today: date) -> None:
    """A plain AE with all entries in memory as data sets, found by a dictionary."""
    from io import BytesIO

    from pydicom import dcmread
    from pynetdicom import AE, evt

    kept: dict[Any, list[Any]] = {}
    for entry in entries(count, today):
        encoded = BytesIO(wire.data_set(answer(entry)))
        found = dcmread(encoded, force=True)
        for key in ((entry.station, f"{entry.day:%Y%m%d}"), f"{entry.day:%Y%m%d}", entry.accession):
            kept.setdefault(key, []).append(found)

    def find(event: evt.Event) -> Iterator[tuple[int, Any]]:
        asked = event.identifier
        step = asked.ScheduledProcedureStepSequence[0]
        station, day = step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate
        for found in kept.get(asked.AccessionNumber or ((station, day) if station else day), []):
            yield 0xFF00, found

    ae = AE(CALLED)
    ae.add_supported_context(wire.WORKLIST)
    ae.maximum_associations = 100
    ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_FIND, find)])


class Floor(asyncio.Protocol):
    """Accepts whoever comes and answers every query with the same bytes: what Python on a socket can do at all."""

    def __init__(self, answers: bytes) -> None:
        self._answers, self._buffer = answers, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 6 and len(buffer) >= (end := 6 + int.from_bytes(buffer[2:6], "big")):
            kind, flags = buffer[0], buffer[11:12]
            del buffer[:end]
            if kind == 1:
                self._transport.write(_ACCEPT)
            elif kind == wire.DATA and flags == bytes([wire.LAST_DATA]):
                self._transport.write(self._answers)
            elif kind == 5:
                self._transport.write(bytes([wire.RELEASED]) + wire.RELEASE[1:])


def _accept() -> bytes:
    item = wire.associate_request((wire.WORKLIST, [wire.IMPLICIT]))
    context = bytes([0x21, 0, 0, 25, 1, 0, 0, 0, 0x40, 0, 0, 17]) + wire.IMPLICIT.encode()
    user = item[item.index(b"\x50\0", 74) :]
    body = item[6:74] + item[74 : 74 + 4 + 21] + context + user
    return bytes([wire.ACCEPTED, 0]) + len(body).to_bytes(4, "big") + body


_ACCEPT = _accept()


def response(status: int, *, with_data: bool) -> bytes:
    more: list[wire.Element] = [(0x00000120, "US", 1), (0x00000900, "US", status)]
    return wire.p_data(wire.LAST_COMMAND, wire.command(0x8020, wire.WORKLIST, with_data=with_data, more=more))


async def serve_floor(port: int, chosen: list[Entry]) -> None:
    pending = response(0xFF00, with_data=True)
    encoded = (wire.p_data(wire.LAST_DATA, wire.data_set(answer(entry))) for entry in chosen)
    answers = b"".join(pending + one for one in encoded) + response(0, with_data=False)
    server = await asyncio.get_running_loop().create_server(lambda: Floor(answers), "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    kind, port, count, today = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), date.fromisoformat(sys.argv[4])
    if kind == "pynetdicom":
        serve_pynetdicom(port, count, today)
    else:
        asyncio.run(serve_floor(port, matching(sys.argv[5], count, today)))
