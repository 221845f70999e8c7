"""Workers: processes that do the work, replaced when they end, and none left behind."""

import sys
import threading

import pytest
from django.db import OperationalError

from hl7.workers import Workers
from tests.waiting import wait_until

PROGRAM = """
import os, sys
from django.db import OperationalError
from hl7.workers import work

def do(what):
    if what == "die":
        os._exit(1)
    if what == "away":
        raise OperationalError("away")
    return os.getpid() if what == "pid" else what

work(int(sys.argv[1]), do)
"""


@pytest.fixture
def workers():
    started = Workers([sys.executable, "-c", PROGRAM], 2)
    yield started
    started.close()


def test_each_worker_takes_its_part(workers):
    """Two at once are two processes; more than there are workers wait for one."""
    assert workers(b"x" * 300_000) == b"x" * 300_000
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(workers("pid"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 12 and 1 <= len(set(pids)) <= 2


def test_a_worker_without_database_says_so(workers):
    """As the same error as in the listener's own process; it goes on living."""
    for _ in range(4):
        with pytest.raises(OperationalError):
            workers("away")
    assert workers("still there") == "still there"


def test_a_worker_that_ended_is_replaced(workers):
    """Its message is not answered; the next ones are."""
    for _ in range(3):
        with pytest.raises(ConnectionError):
            workers("die")
    assert [workers("again") for _ in range(4)] == ["again"] * 4


def test_none_outlives_its_listener():
    """A worker ends when the other end of its socket pair does, as when the listener is killed."""
    started = Workers([sys.executable, "-c", PROGRAM], 1)
    worker = started._idle.get()
    worker._connection.close()
    assert wait_until(lambda: worker._process.poll() is not None) and worker._process.returncode == 0
