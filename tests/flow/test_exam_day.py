"""The exam day on real processes, spoken to by programs that are not ours: a raw MLLP socket, DCMTK, HTTP.

Covered: order to worklist in the same instant, exam to its end, status back to the HIS, garbage on each port,
kill -9 of each child while messages arrive, SIGTERM. Not covered here: the web pages (tests/web).
"""

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.flow.running import Mllp, Running, order, running
from tests.waiting import wait_until

CHILDREN = ["web", "worklist_scp", "store_scp", "hl7_listener", "hl7_sender", "mpps_sender", "worker"]


@pytest.fixture(scope="module")
def sunview(tmp_path_factory):
    with running(tmp_path_factory.mktemp("sunview")) as up:
        yield up


def worklist(sunview: Running, accession: str, station: str = "CT1") -> str:
    """What DCMTK's findscu prints for the accession number."""
    command = ["findscu", "-v", "-W", "-aet", station, "-aec", "SUNVIEW", "-k", f"AccessionNumber={accession}"]
    keys = ["-k", "PatientName", "-k", "ScheduledProcedureStepSequence[0].ScheduledProcedureStepID"]
    ended = subprocess.run(
        [*command, *keys, "127.0.0.1", str(sunview.ports["DICOM"])], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def test_order_is_on_the_worklist_with_its_aa(sunview):
    """The AA comes, and the next C-FIND of DCMTK shows the order; CA takes it off."""
    with Mllp(sunview.ports["MLLP"]) as his:
        assert his.send(*order("DAY1"))["MSA"][1:3] == ["AA", "DAY1"]
        assert "DAY1" in worklist(sunview, "DAY1")
        assert sunview.exam("DAY1")["status"] == "SCHEDULED"
        cancel = order("DAY1", "DAY1-CA")
        answer = his.send(*cancel[:3], "ORC|CA|DAY1^HIS")
        assert answer["MSA"][1] == "AA"
    assert "Hopper" not in worklist(sunview, "DAY1")
    assert sunview.exam("DAY1")["status"] == "CANCELED"


def test_the_same_message_gets_the_same_answer(sunview):
    """A repeated control ID gets its first answer, byte for byte; another body under it is refused."""
    with Mllp(sunview.ports["MLLP"]) as his:
        assert his.send(*order("DAY2")) == his.send(*order("DAY2"))
        assert his.send(*order("DAY3", "DAY2"))["MSA"][1] == "AR"
    assert sunview.exam("DAY3") is None


@pytest.mark.parametrize("port", ["HTTP", "DICOM", "STORE", "MLLP"])
def test_garbage(sunview, port):
    """Garbage on a port leaves every process serving."""
    pids = [sunview.child(name) for name in CHILDREN]
    for _try in range(20):
        with socket.create_connection(("127.0.0.1", sunview.ports[port]), timeout=5) as peer:
            peer.sendall(os.urandom(500))
    number = f"GARBAGE{port}"
    with Mllp(sunview.ports["MLLP"]) as his:
        assert his.send(*order(number))["MSA"][1] == "AA"
    assert number in worklist(sunview, number)
    assert sunview.exam(number)["status"] == "SCHEDULED"
    echo = ["echoscu", "-aet", "CT1", "-aec", "SUNVIEW", "127.0.0.1", str(sunview.ports["STORE"])]
    assert subprocess.run(echo, timeout=60).returncode == 0
    assert [sunview.child(name) for name in CHILDREN] == pids


class Sender(threading.Thread):
    """A HIS that repeats each order until its AA, over a connection it makes anew after each fault."""

    def __init__(self, port: int, numbers: list[str]) -> None:
        super().__init__()
        self.port, self.numbers, self.acknowledged = port, numbers, 0

    def run(self) -> None:
        for number in self.numbers:
            wait_until(lambda number=number: self.sent(number), seconds=60)
            self.acknowledged += 1

    def sent(self, number: str) -> bool:
        try:
            with Mllp(self.port) as his:
                return his.send(*order(number))["MSA"][1] == "AA"
        except OSError:
            return False


@pytest.mark.parametrize("child", CHILDREN)
def test_kill_9(sunview, child):
    """kill -9 of a child while orders arrive: it comes back, nothing acknowledged is lost and nothing is doubled."""
    numbers = [f"K{CHILDREN.index(child)}N{number}" for number in range(30)]
    sender = Sender(sunview.ports["MLLP"], numbers)
    sender.start()
    wait_until(lambda: sender.acknowledged >= 5, seconds=30)
    pid = sunview.child(child)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: sunview.child(child) != pid, seconds=30)
    sender.join(90)
    assert sender.acknowledged == len(numbers)
    wait_until(lambda: sunview.healthz() == 200, seconds=60)
    found = sunview.api("/api/v1/exams/?patient_id=P100&limit=1000")["results"]
    accessions = [exam["accession_number"] for exam in found]
    assert sorted(number for number in accessions if number in numbers) == sorted(numbers)
    assert "Traceback" not in sunview.log()


def test_log_holds_no_patient_data(sunview):
    """After all of this no name, patient ID or birth date stands in the log of any process."""
    with Mllp(sunview.ports["MLLP"]) as his:
        his.send(*order("LOGGED"))
    assert "LOGGED" in worklist(sunview, "LOGGED")
    log = sunview.log()
    assert "MSH-10 LOGGED" in log
    assert not [planted for planted in ("Hopper", "HOPPER", "P100", "19561209", "1956-12-09") if planted in log]


def test_demo_story(tmp_path):
    """``make demo ARGS=--once`` plays the story to its last state, prints each step and ends well."""
    sunview = Running(tmp_path)
    told = sunview.manage("demo", "--once").stdout
    for word in ("ADT^A04", "ORM^O01", "AA", "C-FIND", "N-CREATE", "C-STORE", "N-SET", "ORC-5 CM", "IMAGES COMPLETE"):
        assert word in told


def test_sigterm(tmp_path):
    """SIGTERM ends the parent and every child within 15 seconds, with exit status 0."""
    sunview = Running(tmp_path)
    sunview.up()
    pids = [sunview.child(name) for name in CHILDREN]
    assert sunview.down() == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
