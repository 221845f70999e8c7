"""Settings: read from the environment, and a sentence for each value that cannot be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ris import environment
from tests.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]


def check(**values: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "manage.py"), "check"]
    return subprocess.run(command, env={**os.environ, **values}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUNVIEW_HTTP", "8000"),
        ("SUNVIEW_MLLP", "127.0.0.1:0"),
        ("SUNVIEW_DICOM", "127.0.0.1:port"),
        ("SUNVIEW_STORE", "127.0.0.1:99999"),
        ("SUNVIEW_AE_TITLE", "MORE THAN SIXTEEN CHARACTERS"),
        ("SUNVIEW_AE_TITLE", "BACK\\SLASH"),
        ("SUNVIEW_TIME_ZONE", "Mars/Olympus"),
        ("SUNVIEW_TIME_ZONE", "../etc/passwd"),
        ("SUNVIEW_SECRET_KEY", "short"),
        ("SUNVIEW_DATA_DIR", "/proc/nowhere"),
        ("DATABASE_URL", "mysql://host/name"),
        ("DATABASE_URL", "nonsense"),
    ],
)
def test_an_unreadable_value_stops_the_start(name, value):
    """The start ends with one sentence that names the setting, not with a traceback."""
    ended = check(**{name: value})
    assert ended.returncode != 0
    assert f"Sunview does not start: {name} " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_good_values(monkeypatch):
    """An address may be IPv6; an empty value means the default."""
    monkeypatch.setenv("SUNVIEW_HTTP", "[::1]:8080")
    assert environment.address("SUNVIEW_HTTP", "127.0.0.1:8000") == ("::1", 8080)
    monkeypatch.setenv("SUNVIEW_HTTP", "")
    assert environment.address("SUNVIEW_HTTP", "127.0.0.1:8000") == ("127.0.0.1", 8000)


def test_host_names(monkeypatch):
    """Further host names are a list."""
    assert environment.words("SUNVIEW_HOSTS") == []
    monkeypatch.setenv("SUNVIEW_HOSTS", "ris.example, ris")
    assert environment.words("SUNVIEW_HOSTS") == ["ris.example", "ris"]


def test_secret_key_is_made_once(tmp_path, monkeypatch):
    """Without a given key one is made, kept, and readable by its owner only."""
    monkeypatch.delenv("SUNVIEW_SECRET_KEY", raising=False)
    first = environment.secret_key("SUNVIEW_SECRET_KEY", tmp_path)
    assert environment.secret_key("SUNVIEW_SECRET_KEY", tmp_path) == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    assert len(first) >= 50


def test_a_database_that_does_not_answer(tmp_path):
    """The start ends with a sentence, without the password and without a traceback."""
    ports = {f"SUNVIEW_{name}": f"127.0.0.1:{free_port()}" for name in ("HTTP", "DICOM", "STORE", "MLLP")}
    url = f"postgres://sunview:secret@127.0.0.1:{free_port()}/sunview"
    environment = {**os.environ, **ports, "DATABASE_URL": url, "SUNVIEW_DATA_DIR": str(tmp_path)}
    command = [sys.executable, str(ROOT / "manage.py"), "up"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert ended.stderr.startswith("CommandError: The database of DATABASE_URL does not answer: ")
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
