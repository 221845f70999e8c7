"""The supervisor: a child that dies is started again, one that is silent is killed, all end on time."""

import os
import signal
import socket
import sys
import threading
import time

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from ris import processes, supervisor
from ris.models import Heartbeat
from ris.supervisor import Child, Supervisor
from tests.postgres import free_port
from tests.waiting import wait_until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]


@pytest.fixture
def run():
    started = []

    def start(commands, ages=dict, limit=1000.0, ports=None):
        parent = Supervisor(commands, ages, dict.fromkeys(commands, limit))
        ready = threading.Event()
        thread = threading.Thread(target=parent.run, args=(ports or {}, ready.set))
        thread.start()
        started.append((parent, thread))
        return parent, ready

    yield start
    for parent, thread in started:
        parent.stop.set()
        thread.join(20)


def alive(child):
    return child.process is not None and child.process.poll() is None


def test_a_killed_child_is_started_again(run):
    """After kill -9 another process of that name runs within seconds."""
    parent, _ready = run({"one": SLEEPER})
    child = parent.children[0]
    wait_until(lambda: alive(child))
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: alive(child) and child.process.pid != first)


def test_a_silent_child_is_killed(run):
    """A child that lives but gives no proof of life is replaced."""
    parent, _ready = run({"one": SLEEPER}, ages=lambda: {"one": None}, limit=0.3)
    child = parent.children[0]
    wait_until(lambda: alive(child))
    first = child.process.pid
    wait_until(lambda: alive(child) and child.process.pid != first, seconds=15)


def test_ready_once_every_port_answers(run):
    """Ready is said when the last port answers, not before."""
    port = free_port()
    serve = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    _parent, ready = run({"one": [sys.executable, "-c", serve]}, ports={"one": ("127.0.0.1", port)})
    assert ready.wait(10)


def test_stubborn_children_are_killed(monkeypatch):
    """A child that ignores SIGTERM is killed when its time is up."""
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.5)
    parent = Supervisor({"one": STUBBORN, "two": SLEEPER}, dict, {"one": 9.0, "two": 9.0})
    for child in parent.children:
        child.start()
    begin = time.monotonic()
    parent.end()
    assert not any(alive(child) for child in parent.children)
    assert time.monotonic() - begin < 10


def test_back_off():
    """Each death doubles the pause up to the longest; a sound life begins anew."""
    now = [0.0]
    child = Child("one", [sys.executable, "-c", ""], clock=lambda: now[0])
    pauses = []
    for _death in range(8):
        now[0] = child.start_at
        child.tend()
        child.process.wait()
        child.tend()
        pauses.append(child.start_at - now[0])
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    now[0] = child.start_at
    child.tend()
    child.process.wait()
    now[0] += supervisor.SOUND_SECONDS
    child.tend()
    assert child.start_at - now[0] == 0.5


def test_port_that_is_taken():
    """A port somebody else holds is seen before anything is started."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not supervisor.is_free(taken.getsockname())
    assert supervisor.is_free(("127.0.0.1", free_port()))


@pytest.fixture
def ports(settings) -> dict[str, tuple[str, int]]:
    """Free ports for every listener, those with TLS too."""
    found = {name: ("127.0.0.1", free_port()) for name in ("HTTP", "DICOM", "STORE", "MLLP", "DICOM_TLS", "STORE_TLS")}
    for name, address in found.items():
        setattr(settings, f"{name}_ADDRESS", address)
    return found


@pytest.mark.parametrize("name", ["HTTP", "DICOM", "STORE", "MLLP", "DICOM_TLS", "STORE_TLS"])
def test_up_names_the_setting_whose_port_is_taken(ports, name):
    """Nothing is started, also not for a port with TLS."""
    with socket.create_server(ports[name]), pytest.raises(CommandError, match=f"SUNVIEW_{name}: .* is taken"):
        call_command("up")


def test_up_with_one_address_twice(ports, settings):
    """It would only be found out by a process that dies again and again."""
    settings.STORE_ADDRESS = ports["DICOM"]
    with pytest.raises(CommandError, match="SUNVIEW_DICOM and SUNVIEW_STORE are both"):
        call_command("up")


def test_health(db, client):
    """healthz is 200 only when every process proved its life lately, and shows each age."""
    assert client.get("/healthz").status_code == 503
    for process in processes.PROCESSES:
        processes.beat(process)
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert set(answer.json()["processes"]) == set(processes.PROCESSES)
    Heartbeat.objects.filter(process="hl7-in").update(beaten_at="2026-01-01T00:00:00Z")
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["processes"]["hl7-in"]["well"] is False
    assert answer.json()["processes"]["worklist"]["age"] < 20
