"""Workers: processes that do the work, replaced when they end, and none left behind."""

import sys
from concurrent.futures import Future

import pytest
from django.db import OperationalError

from hl7.framing import Frame
from hl7.workers import Workers, _Worker
from tests.waiting import wait_until

#: Answers with the numbers of its process and of the messages that it was given at a time, and with what it was given.
PROGRAM = """
import os, sys, time
from django.db import OperationalError
from hl7.workers import work

def do(messages):
    words = [event.payload for event, _peer, _listener in messages]
    if b"die" in words:
        os._exit(1)
    if b"away" in words:
        raise OperationalError("away")
    while any(word.startswith(b"/") and not os.path.exists(word) for word in words):
        time.sleep(0.01)
    return [b"%d %d %s" % (os.getpid(), len(words), word) for word in words]

work(int(sys.argv[1]), do)
"""


@pytest.fixture
def workers(request):
    started = Workers([sys.executable, "-c", PROGRAM], getattr(request, "param", 2))
    yield started
    started.close()


def ask(workers: Workers, *words: bytes) -> "Future[list[bytes | None]]":
    return workers.submit([(Frame(word), "127.0.0.1", 0) for word in words])


def answer(future: "Future[list[bytes | None]]") -> list[list[bytes]]:
    """Process, number of messages, and word of each answer."""
    return [(given or b"").split(b" ", 2) for given in future.result(20)]


def test_each_worker_takes_its_part(workers):
    """While one is busy the other does what comes."""
    assert answer(ask(workers, b"x" * 300_000))[0][2] == b"x" * 300_000
    [(one, _count, _word)] = answer(ask(workers, b"a"))
    pids = {answer(ask(workers, b"word"))[0][0] for _ in range(20)}
    assert one in pids and len(pids) <= 2


@pytest.mark.parametrize("workers", [1], indirect=True)
def test_what_waits_is_given_to_one_worker_together(workers, tmp_path):
    """Each is answered its own messages, in their order; no more than the limits allow at a time."""
    gate = tmp_path / "gate"
    first = ask(workers, str(gate).encode())
    assert wait_until(first.running)
    waiting = [ask(workers, b"%d" % number, b"and") for number in range(14)]
    large = ask(workers, b"y" * 300_000)
    gate.touch()
    found = [answer(future) for future in waiting]
    assert [[word for _pid, _count, word in each] for each in found] == [[b"%d" % n, b"and"] for n in range(14)]
    assert [count for each in found for _pid, count, _word in each] == [b"24"] * 24 + [b"4"] * 4
    assert answer(large)[0][1] == b"1"


def test_a_worker_without_database_says_so(workers):
    """As the same error as in the listener's own process; it goes on living."""
    for _ in range(4):
        with pytest.raises(OperationalError):
            ask(workers, b"away").result(20)
    assert answer(ask(workers, b"still there"))[0][2] == b"still there"


def test_a_worker_that_ended_is_replaced(workers):
    """Its messages are not answered; the next ones are."""
    for _ in range(3):
        with pytest.raises(ConnectionError):
            ask(workers, b"die", b"with it").result(20)
    assert [answer(ask(workers, b"again"))[0][2] for _ in range(4)] == [b"again"] * 4


@pytest.mark.parametrize("workers", [1], indirect=True)
def test_what_nobody_awaits_any_more_is_not_begun(workers, tmp_path):
    """A connection that was closed meanwhile takes no worker's time, and no worker with it."""
    gate = tmp_path / "gate"
    first = ask(workers, str(gate).encode())
    assert wait_until(first.running)
    given_up = ask(workers, b"given up")
    assert given_up.cancel()
    gate.touch()
    assert answer(ask(workers, b"next"))[0][1:] == [b"1", b"next"]


def test_none_outlives_its_listener():
    """A worker ends when the other end of its socket pair does, as when the listener is killed."""
    worker = _Worker([sys.executable, "-c", PROGRAM])
    worker._connection.close()
    assert wait_until(lambda: worker._process.poll() is not None) and worker._process.returncode == 0
