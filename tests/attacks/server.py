"""A door as its own process, and what the system says of it: memory, threads and descriptors, children included."""

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import wire
from tests.flow.running import MANAGE
from tests.postgres import free_port
from tests.waiting import wait_until

#: Worklist entries there are to answer with: enough that a peer that reads nothing stops the door's writing.
ENTRIES = 400
STATION = "CT1"


class Site:
    """A folder with the demo site and a filled worklist, on SQLite: what is attacked comes before any database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "SUNVIEW_DATA_DIR": str(folder), "PYTHONWARNINGS": "default"}
        self.env.pop("DATABASE_URL", None)
        rows = folder / "worklist.json"
        rows.write_text(json.dumps([row for number in range(1, ENTRIES + 1) for row in entry(number)]))
        self.manage("migrate", "-v0")
        self.manage("loaddata", "-v0", "sunview", str(rows))

    def manage(self, *command: str) -> None:
        ended = subprocess.run([sys.executable, str(MANAGE), *command], env=self.env, capture_output=True, timeout=100)
        assert ended.returncode == 0, ended.stderr.decode()


def entry(number: int) -> Iterator[dict[str, Any]]:
    """One patient's order for a CT at CT1, as rows of a fixture."""
    patient = {"patient_id": f"P{number}", "patient_name": f"Sample^Number {number}"}
    start, moment = "2026-11-23T09:00:00Z", {"created_at": "2026-11-22T09:00:00Z"}
    step = {"scheduled_procedure_step_id": f"S{number}", "status": "SCHEDULED", "modality": "CT", "start": start}
    rows: dict[str, dict[str, Any]] = {
        "ris.patient": patient | moment | {"updated_at": moment["created_at"]},
        "ris.order": {"patient": number, "sender": "DESK", "accession_number": f"A{number}"}
        | {"updated_at": moment["created_at"]}
        | moment,
        "ris.requestedprocedure": {"order": number, "study_instance_uid": f"2.25.{number}"} | moment,
        "ris.scheduledprocedurestep": step | {"requested_procedure": number, "stations": [3]},
    }
    for model, fields in rows.items():
        yield {"model": model, "pk": number, "fields": fields}


class Server:
    """``manage.py worklist_scp`` or ``store_scp`` on a port of its own."""

    def __init__(self, site: Site, command: str, **env: str) -> None:
        self.command, self.site, self.port = command, site, free_port()
        setting = {"worklist_scp": "SUNVIEW_DICOM", "store_scp": "SUNVIEW_STORE"}[command]
        self.env = {**site.env, setting: f"127.0.0.1:{self.port}", **env}

    def __enter__(self) -> "Server":
        with (self.site.folder / f"{self.command}.log").open("a") as log:
            self.process = subprocess.Popen([sys.executable, str(MANAGE), self.command], env=self.env, stderr=log)
        wait_until(self._answers, seconds=60)
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def _answers(self) -> bool:
        try:
            return wire.echo(self.port) == 0
        except OSError:
            assert self.process.poll() is None, (self.site.folder / f"{self.command}.log").read_text()
            return False

    def pids(self) -> list[int]:
        """The process and its children."""
        found = [self.process.pid]
        for pid in found:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(FileNotFoundError):  # a thread that ended just now
                    found += [int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
        return found

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes in memory; with ``VmHWM`` the most there were since ``forget_peak``."""
        return 1024 * sum(self._status(pid, field) for pid in self.pids())

    def threads(self) -> int:
        return sum(self._status(pid, "Threads") for pid in self.pids())

    def descriptors(self) -> int:
        """Open ones but for the database's: SQLite keeps files of ended connections while others hold locks."""
        return sum(not _is_database(link) for pid in self.pids() for link in Path(f"/proc/{pid}/fd").iterdir())

    def forget_peak(self) -> None:
        """The peak counts from now on (proc(5), clear_refs)."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    @staticmethod
    def _status(pid: int, field: str) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _is_database(link: Path) -> bool:
    try:
        return "sqlite3" in str(link.readlink())
    except FileNotFoundError:
        return False


class Echoes:
    """A scanner at another address that asks C-ECHO again and again and keeps what came of it."""

    def __init__(
        self, port: int, tls: ssl.SSLContext | None = None, source: str = "127.0.0.2", pause: float = 0.1
    ) -> None:
        self.failures: list[str] = []
        self.successes = 0
        self._port, self._source, self._pause, self._tls = port, source, pause, tls
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                status = wire.echo(self._port, self._source, tls=self._tls)
                self.successes += status == 0
                self.failures += [f"status {status:04X}H"] if status else []
            except OSError as error:
                self.failures.append(repr(error))
            self._end.wait(self._pause)

    def __enter__(self) -> "Echoes":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()

    def more(self, count: int = 5) -> bool:
        """Wait until ``count`` more have been tried."""
        target = self.successes + len(self.failures) + count
        return wait_until(lambda: self.successes + len(self.failures) >= target, seconds=40)


@dataclass
class Base:
    """Whether the process has no more threads and descriptors than before."""

    server: Server
    threads: int
    descriptors: int

    def __call__(self) -> bool:
        self.now = (self.server.threads(), self.server.descriptors())
        return self.now[0] <= self.threads and self.now[1] <= self.descriptors

    def __repr__(self) -> str:
        return f"threads and descriptors {self.now}, before {(self.threads, self.descriptors)}"


#: Memory an attack may cost (reliability.md F8), in bytes.
ALLOWANCE = 30 * 1024**2


@contextmanager
def undisturbed(server: Server, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Echoes]:
    """While the block runs every C-ECHO from another address succeeds; then the process is as it was before."""
    threads, descriptors, memory = server.threads(), server.descriptors(), server.memory()
    server.forget_peak()
    with Echoes(port or server.port, tls) as echoes:
        echoes.more(2)
        yield echoes
        echoes.more(2)
    peak = server.memory("VmHWM") - memory
    assert not echoes.failures, f"{len(echoes.failures)} of {echoes.successes + len(echoes.failures)} failed"
    wait_until(Base(server, threads, descriptors), seconds=15)
    print(f"echo {echoes.successes}/{echoes.successes}, memory +{peak / 2**20:.1f} MB at most", end=" ")  # noqa: T201
    assert peak < ALLOWANCE
