"""The commands as processes: the listener ends cleanly, the emulator is a HIS at the command line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from hl7.emulator import His
from tests.hl7.conftest import order
from tests.postgres import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "fixtures" / "hl7").glob("*.hl7"))


def manage(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def is_open(port: int) -> bool:
    try:
        His(("127.0.0.1", port), 1).send(b"MSH|^~\\&|")
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True


def test_the_listener_serves_and_ends_on_sigterm(tmp_path):
    """A process of its own with its own data folder: takes an order, and ends with status 0."""
    port = free_port()
    own = {"SUNVIEW_DATA_DIR": str(tmp_path), "SUNVIEW_MLLP": f"127.0.0.1:{port}", "DATABASE_URL": ""}
    assert manage("migrate", "-v0", **own).wait(60) == 0
    assert manage("loaddata", "-v0", "sunview", **own).wait(60) == 0
    listener = manage("hl7_listener", **own)
    try:
        wait_until(lambda: is_open(port), 30)
        assert His(("127.0.0.1", port)).send(order()).code == "AA"
    finally:
        listener.send_signal(signal.SIGTERM)
    assert listener.wait(15) == 0
    assert "Sample" not in (listener.stdout.read() if listener.stdout else "")


def test_the_emulator_sends_files_and_prints_the_answers(tmp_path):
    """To another emulator, which receives."""
    port = free_port()
    receiver = manage("emulate_his", "receive", f"127.0.0.1:{port}")
    file = tmp_path / "order.hl7"
    file.write_bytes(order(control_id="CLI1"))
    try:
        wait_until(lambda: is_open(port), 30)
        sender = manage("emulate_his", "send", str(file), "--to", f"127.0.0.1:{port}")
        told = sender.communicate(timeout=30)[0]
        assert sender.returncode == 0 and "<-- MSA|AA|CLI1" in told
    finally:
        receiver.send_signal(signal.SIGINT)
    printed = receiver.communicate(timeout=30)[0]
    assert "--> MSH|" in printed and "<-- AA CLI1" in printed and "messages taken" in printed
