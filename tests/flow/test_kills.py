"""Workers and listener are killed in the middle of traffic: every order once, and no AA for one that is not kept.

Each sender has many orders in flight, so that they are carried out and committed together (hl7.together).
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ris.supervisor import answers
from tests import postgres
from tests.flow.running import MANAGE, Mllp, answer_of, order
from tests.waiting import wait_until

SENDERS, ORDERS, IN_FLIGHT = 6, 80, 10
#: What is killed, one after the other, each after as many further orders were taken.
KILLS = ("worker", "worker", "listener", "worker", "listener", "worker", "listener")
BETWEEN = SENDERS * ORDERS // (len(KILLS) + 1)


class Listener:
    """The listener with its workers, started again after it was killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self.port = postgres.free_port()
        address = f"127.0.0.1:{self.port}"
        self._env = {**os.environ, "DATABASE_URL": url, "SUNVIEW_DATA_DIR": str(folder), "SUNVIEW_MLLP": address}
        for command in (("migrate", "-v0"), ("loaddata", "-v0", "sunview")):
            subprocess.run([sys.executable, str(MANAGE), *command], env=self._env, check=True)

    def start(self) -> None:
        command = [sys.executable, str(MANAGE), "hl7_listener", "--processes", "2"]
        self.process = subprocess.Popen(command, env=self._env)
        wait_until(lambda: answers(("127.0.0.1", self.port)), seconds=60)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        others = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted({int(pid) for path in (children, *others) for pid in path.read_text().split()})

    def kill(self, what: str, number: int) -> None:
        if what == "worker":
            pids = wait_until(self.workers, seconds=20)
            os.kill(pids[number % len(pids)], signal.SIGKILL)
        else:
            self.process.kill()
            self.process.wait()
            self.start()


class Sender(threading.Thread):
    """A HIS that repeats each order, several in flight, until it is answered AA; ``others`` are other answers."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__()
        self._port = port
        self.left = [f"K{number}-{index}" for index in range(ORDERS)]
        self.others: list[str] = []

    def run(self) -> None:
        while self.left:
            with contextlib.suppress(OSError), Mllp(self._port) as peer:
                self._converse(peer)
            time.sleep(0.02)

    def _converse(self, peer: Mllp) -> None:
        """Offer what is left until the connection ends; what was not answered is offered again on the next one."""
        offered = 0
        for number in list(self.left):
            peer.offer(*order(number))
            offered += 1
            if offered >= IN_FLIGHT:
                self._take(peer)
                offered -= 1
        for _ in range(offered):
            self._take(peer)

    def _take(self, peer: Mllp) -> None:
        _msa, code, number = answer_of(peer.receive())["MSA"][:3]
        if code == "AA":
            self.left.remove(number)
        else:
            self.others.append(code)


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.server(fsync=True) as url:
        yield url


@pytest.fixture
def listener(database: str, tmp_path: Path) -> Iterator[Listener]:
    started = Listener(database, tmp_path)
    started.start()
    yield started
    started.process.terminate()
    assert started.process.wait(30) == 0


def test_killed_at_any_time_it_loses_and_doubles_nothing(database, listener):
    """N orders sent until AA are exactly N orders, each from one message; nothing but AA is ever answered."""
    senders = [Sender(listener.port, number) for number in range(SENDERS)]
    for sender in senders:
        sender.start()

    def taken() -> int:
        return SENDERS * ORDERS - sum(len(sender.left) for sender in senders)

    for number, what in enumerate(KILLS, 1):
        wait_until(lambda so_far=number * BETWEEN: taken() >= so_far, seconds=60)
        listener.kill(what, number)
    for sender in senders:
        sender.join(60)
    assert taken() == SENDERS * ORDERS and not [code for sender in senders for code in sender.others]
    with psycopg.connect(database) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM ris_order), (SELECT count(DISTINCT placer_order_number) FROM ris_order),"
            " (SELECT count(*) FROM ris_scheduledprocedurestep WHERE status = 'SCHEDULED'),"
            " (SELECT count(*) FROM ris_workflowevent WHERE verb = 'schedule'),"
            " (SELECT count(*) FROM hl7_inboundmessage WHERE outcome = 'ACCEPTED' AND is_original)"
        ).fetchone()
        patients = connection.execute("SELECT count(*) FROM ris_patient").fetchone()
    assert counts == (SENDERS * ORDERS,) * 5 and patients == (1,)
