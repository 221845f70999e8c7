"""The database goes away in the middle of traffic: no AA for what is not kept, and every order once afterwards."""

import os
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
from tests.flow.running import MANAGE, Mllp, order
from tests.waiting import wait_until

SENDERS, ORDERS = 4, 15


@pytest.fixture
def database() -> Iterator[postgres.Postgres]:
    with postgres.running(fsync=True) as server:
        yield server


@pytest.fixture
def port(database, tmp_path: Path) -> Iterator[int]:
    """The MLLP port of a listener with worker processes on that database."""
    port = postgres.free_port()
    env = {
        **os.environ,
        "DATABASE_URL": database.url,
        "SUNVIEW_DATA_DIR": str(tmp_path),
        "SUNVIEW_MLLP": f"127.0.0.1:{port}",
    }
    for command in (("migrate", "-v0"), ("loaddata", "-v0", "sunview")):
        subprocess.run([sys.executable, str(MANAGE), *command], env=env, check=True)
    listener = subprocess.Popen([sys.executable, str(MANAGE), "hl7_listener", "--processes", "2"], env=env)
    try:
        wait_until(lambda: answers(("127.0.0.1", port)), seconds=60)
        yield port
    finally:
        listener.terminate()
        assert listener.wait(30) == 0


class Sender(threading.Thread):
    """A HIS that repeats each order until it is answered AA; ``taken`` is when each was."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(name=name)
        self.port, self.taken, self.others = port, [], []

    def run(self) -> None:
        for number in range(ORDERS):
            while not self._offer(f"{self.name}{number}"):
                time.sleep(0.05)

    def _offer(self, number: str) -> bool:
        try:
            with Mllp(self.port) as peer:
                code = peer.send(*order(number))["MSA"][1]
        except OSError:
            return False
        if code != "AA":
            self.others.append(code)
            return False
        self.taken.append(time.monotonic())
        return True


def test_a_database_that_goes_away_loses_and_doubles_nothing(database, port):
    """Stopped at once, away for a while, back: no AA meanwhile, nothing but AA ever, and exact counts."""
    senders = [Sender(port, f"S{number}-") for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    wait_until(lambda: sum(len(sender.taken) for sender in senders) >= 8, seconds=60)
    database.stop()
    gone = time.monotonic()
    refused = answered_at_all(port, gone + 1.5)
    back = time.monotonic()
    database.start()
    for sender in senders:
        sender.join(120)
    assert not refused
    assert not [at for sender in senders for at in sender.taken if gone + 0.1 < at < back]
    assert not [code for sender in senders for code in sender.others]
    with psycopg.connect(database.url) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM ris_order), (SELECT count(DISTINCT placer_order_number) FROM ris_order),"
            " (SELECT count(*) FROM hl7_inboundmessage WHERE outcome = 'ACCEPTED')"
        ).fetchone()
    assert counts == (SENDERS * ORDERS,) * 3


def answered_at_all(port: int, until: float) -> list[str]:
    """The codes of answers to a sender of its own, offered again and again: there must be none."""
    codes = []
    while time.monotonic() < until:
        try:
            with Mllp(port) as peer:
                codes.append(peer.send(*order("S0-0", control_id="DOWN"))["MSA"][1])
        except OSError:
            time.sleep(0.1)
    return codes
