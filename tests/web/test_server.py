"""The web process. Covered: it answers with its styles and scripts, and it ends on SIGTERM within seconds."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def server(tmp_path, address) -> Iterator[subprocess.Popen]:
    environment = os.environ | {"SUNVIEW_DATA_DIR": str(tmp_path), "SUNVIEW_HTTP": address}
    environment.pop("DATABASE_URL", None)
    process = subprocess.Popen([sys.executable, "manage.py", "web"], cwd=ROOT, env=environment)
    yield process
    process.kill()
    process.wait()


def status(url: str) -> int:
    """The HTTP status, 0 while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.URLError:
        return 0


def test_answers_and_ends(server, address):
    """Login page, stylesheet and htmx come from the process itself; SIGTERM ends it with status 0."""
    assert wait_until(lambda: status(f"http://{address}/login/"), seconds=30) == 200
    for path in ("static/ris/sunview.css", "static/ris/sunview.svg", "static/django_htmx/htmx-2.min.js"):
        assert status(f"http://{address}/{path}") == 200
    begun = time.monotonic()
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=15) == 0
    assert time.monotonic() - begun < 10
