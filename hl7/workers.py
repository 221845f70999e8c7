"""Processes that do the work of messages, so that every core takes part, behind one process that keeps the network.

A free worker is given, over a socket pair, all messages that wait, up to a limit, because several carried out together
cost less (hl7.together), and gives all their answers back. It ends when its socket pair does, so that none outlives a
listener that was killed.
"""

import logging
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from django.db import InterfaceError, OperationalError

from hl7.framing import Came, Frame

logger = logging.getLogger(__name__)

#: Messages and bytes that one worker is given at a time, when there are so many: a message may be larger by itself.
_MOST_MESSAGES, _MOST_BYTES = 24, 256 * 1024
#: Seconds that a worker may take to end.
_END_SECONDS = 20

Answers = list[bytes | None]


@dataclass(frozen=True)
class Unavailable:
    """What a worker answers when it has no database."""

    error: str


@dataclass(frozen=True)
class _Job:
    """Messages of one connection and where their answers are awaited."""

    messages: Sequence[Came]
    answers: "Future[Answers]" = field(default_factory=Future)

    @property
    def size(self) -> int:
        return sum(len(event.payload) for event, *_rest in self.messages if isinstance(event, Frame))


class Workers:
    """``count`` processes that run ``command``; the number of a file descriptor is put behind it."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command = command
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [threading.Thread(target=self._serve, args=(_Worker(command),)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, messages: Sequence[Came]) -> "Future[Answers]":
        """Have the messages of one connection carried out, in their order, by the next free worker.

        OperationalError if that one had no database; ConnectionError if it ended, and then another one takes its place.
        """
        job = _Job(messages)
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        return job.answers

    def close(self) -> None:
        """Do what waits, and end the workers."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, worker: "_Worker") -> None:
        """One worker's jobs, and those of its successors."""
        while (jobs := self._take()) is not None:
            try:
                answers = worker.ask([message for job in jobs for message in job.messages])
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever, and the worker is new
                logger.error("HL7 worker %s ended: another one takes its place", worker.pid)
                worker.end()
                worker = _Worker(self._command)
                _fail(jobs, ConnectionError(f"The worker ended: {type(error).__name__}"))
            else:
                _give(jobs, answers)
        worker.end()

    def _take(self) -> list[_Job] | None:
        """What waits, once anything does, as far as it is given to one worker; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            jobs = [self._waiting.popleft()]
            count, size = len(jobs[0].messages), jobs[0].size
            while self._waiting:
                count, size = count + len(self._waiting[0].messages), size + self._waiting[0].size
                if count > _MOST_MESSAGES or size > _MOST_BYTES:
                    break
                jobs.append(self._waiting.popleft())
        return [job for job in jobs if job.answers.set_running_or_notify_cancel()]


def _give(jobs: Sequence[_Job], answers: Answers | Unavailable) -> None:
    if isinstance(answers, Unavailable):
        _fail(jobs, OperationalError(answers.error))
        return
    for job in jobs:
        job.answers.set_result(answers[: len(job.messages)])
        answers = answers[len(job.messages) :]


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        job.answers.set_exception(error)


class _Worker:
    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen([*command, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        self._connection = Connection(ours.detach())

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, messages: Sequence[Came]) -> Answers | Unavailable:
        """OSError (EOFError made one) if the worker is not there any more."""
        try:
            self._connection.send(messages)
            answers: Answers | Unavailable = self._connection.recv()
        except EOFError as error:
            raise ConnectionResetError("The worker ended") from error
        return answers

    def end(self) -> None:
        self._connection.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def work(descriptor: int, do: Callable[[Any], Any]) -> None:
    """A worker's life: take messages, ``do`` them, give the answers, until the listener is gone."""
    with Connection(descriptor) as connection:
        while True:
            try:
                messages = connection.recv()
            except (EOFError, OSError):
                return
            try:
                answers = do(messages)
            except (OperationalError, InterfaceError) as error:
                answers = Unavailable(type(error).__name__)
            try:
                connection.send(answers)
            except OSError:
                return
