"""A whole Sunview under ``manage.py up`` in a folder, database and ports of its own, spoken to only from outside."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres import free_port
from tests.waiting import wait_until

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
START, END = b"\x0b", b"\x1c\r"


class Running:
    """The processes, their ports, and what one does with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("HTTP", "DICOM", "STORE", "MLLP")}
        self.env = {
            **os.environ,
            **{f"SUNVIEW_{name}": f"127.0.0.1:{port}" for name, port in self.ports.items()},
            "SUNVIEW_DATA_DIR": str(folder / "data"),
            "PYTHONWARNINGS": "default",
        }
        if url := os.environ.get("DATABASE_URL"):
            self.env["DATABASE_URL"] = new_database(url)

    def manage(self, *command: str, **options: Any) -> subprocess.CompletedProcess:
        ended = subprocess.run(
            [sys.executable, str(MANAGE), *command],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=100,
            **options,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended

    def up(self) -> None:
        """Start everything and wait for the ready line."""
        self.manage("migrate", "-v0")
        self.manage("loaddata", "sunview")
        log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(MANAGE), "up"], env=self.env, stdout=subprocess.PIPE, stderr=log, text=True
        )
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(ready,), daemon=True).start()
        assert ready.wait(90), self.log()
        self.token = self.manage("drf_create_token", "admin").stdout.split()[2]

    def _listen(self, ready: threading.Event) -> None:
        for line in self.process.stdout:
            if line.strip() == "ready":
                ready.set()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def down(self) -> int:
        """SIGTERM to the parent; its exit status, which must come within the contract's 15 seconds."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def child(self, command: str) -> int:
        """The process id of the child that runs ``command``; waits until there is one."""

        def found() -> int | None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for pid in children:
                with contextlib.suppress(OSError):
                    if command in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                        return int(pid)
            return None

        return wait_until(found, seconds=40)

    def api(self, path: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['HTTP']}{path}", headers={"Authorization": f"Token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def healthz(self) -> int:
        with contextlib.suppress(OSError):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['HTTP']}/healthz", timeout=5) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code
        return 0

    def exam(self, accession: str) -> dict[str, Any] | None:
        results = self.api(f"/api/v1/exams/?accession_number={accession}")["results"]
        return results[0] if results else None


def new_database(url: str) -> str:
    """An empty database beside the one of ``url``."""
    name = f"flow_{uuid.uuid4().hex[:12]}"
    base = url.rpartition("/")[0]
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{base}/{name}"


class Mllp:
    """A raw MLLP client: one persistent connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.rest = b""

    def send(self, *segments: str) -> dict[str, list[str]]:
        """Send one message and give its answer's segments by name, split at the bars. OSError if there is none."""
        self.offer(*segments)
        return answer_of(self.receive())

    def offer(self, *segments: str) -> None:
        """Send one message without waiting for its answer."""
        self.socket.sendall(START + "\r".join(segments).encode() + b"\r" + END)

    def receive(self) -> bytes:
        while END not in self.rest:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionResetError("closed without an answer")
            self.rest += chunk
        frame, self.rest = self.rest.split(END, 1)
        return frame.lstrip(START)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Mllp":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def answer_of(frame: bytes) -> dict[str, list[str]]:
    return {line[:3]: line.split("|") for line in frame.decode().split("\r") if line}


def order(number: str, control_id: str = "", start: str = "20261123090000", modality: str = "CT") -> tuple[str, ...]:
    """An ORM^O01 NW; its accession number is the order number."""
    control_id = control_id or number
    return (
        f"MSH|^~\\&|HIS|SGH|SUNVIEW|RAD|20261122120000||ORM^O01^ORM_O01|{control_id}|P|2.5.1||||||UNICODE UTF-8",
        "PID|1||P100^^^SGH^MR||Hopper^Grace||19561209|F",
        "PV1|1|O",
        f"ORC|NW|{number}^HIS||||||||||",
        f"TQ1|1||||||{start}",
        f"OBR|1|{number}^HIS||CTHEAD^CT head^SUNVIEW||||||||||||||{number}||||||{modality}",
    )


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Running]:
    sunview = Running(folder)
    sunview.up()
    try:
        yield sunview
    finally:
        if sunview.process.poll() is None:
            sunview.down()
