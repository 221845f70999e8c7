"""Processes that do the work of messages, so that every core takes part, behind one process that keeps the network.

Each worker takes one message at a time over a socket pair and gives its answer back. It ends when its socket pair does,
so that none outlives a listener that was killed.
"""

import logging
import queue
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from django.db import InterfaceError, OperationalError

logger = logging.getLogger(__name__)

#: Seconds that a worker may take to end.
_END_SECONDS = 20


@dataclass(frozen=True)
class Unavailable:
    """What a worker answers when it has no database."""

    error: str


class Workers:
    """``count`` processes that run ``command``; the number of a file descriptor is put behind it.

    Called with anything that can be pickled it gives the answer of the next free worker. OperationalError if that one
    had no database; ConnectionError if it ended, and then another one takes its place.
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command, self.count = command, count
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(_Worker(command))

    def __call__(self, *message: Any) -> Any:
        worker = self._idle.get()
        try:
            answer = worker.ask(message)
        except OSError as error:
            logger.error("HL7 worker %s ended: another one takes its place", worker.pid)
            worker.end()
            worker = _Worker(self._command)
            raise ConnectionError("The worker ended") from error
        finally:
            self._idle.put(worker)
        if isinstance(answer, Unavailable):
            raise OperationalError(answer.error)
        return answer

    def close(self) -> None:
        """End the workers, which are idle."""
        workers = [self._idle.get() for _ in range(self.count)]
        for worker in workers:
            worker.end()


class _Worker:
    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen([*command, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        self._connection = Connection(ours.detach())

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, message: Any) -> Any:
        """OSError (EOFError made one) if the worker is not there any more."""
        try:
            self._connection.send(message)
            return self._connection.recv()
        except EOFError as error:
            raise ConnectionResetError("The worker ended") from error

    def end(self) -> None:
        self._connection.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def work(descriptor: int, do: Callable[..., Any]) -> None:
    """A worker's life: take a message, ``do`` it, give the answer, until the listener is gone."""
    with Connection(descriptor) as connection:
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                return
            try:
                answer = do(*message)
            except (OperationalError, InterfaceError) as error:
                answer = Unavailable(type(error).__name__)
            try:
                connection.send(answer)
            except OSError:
                return
