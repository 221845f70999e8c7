"""One parent over all processes: start, watch, restart with back-off, end within 15 seconds."""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
#: Seconds a child is given to end after SIGTERM before it is killed: the contract says 15 for all.
END_SECONDS = 12.0
#: First and longest pause in seconds before a child that died is started again.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: A child that lived so many seconds is taken for sound: its next death waits the first pause again.
SOUND_SECONDS = 30.0

Clock = Callable[[], float]


def _die_with_parent() -> None:
    """In the child before exec: be sent SIGTERM if the supervisor is killed, so that no port stays taken."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@dataclass
class Child:
    """One process under the supervisor. ``command`` is what to execute; times are in seconds of ``clock``."""

    name: str
    command: list[str]
    clock: Clock = time.monotonic
    process: subprocess.Popen | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE
    start_at: float = field(default=0.0)

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, start_new_session=True, preexec_fn=_die_with_parent)
        self.started_at = self.clock()

    def tend(self) -> None:
        """Start it when its time has come; after a death clear away what it left and set that time."""
        if self.process is None:
            if self.clock() >= self.start_at:
                self.start()
            return
        if (code := self.process.poll()) is None:
            return
        self.kill()
        if self.clock() - self.started_at >= SOUND_SECONDS:
            self.pause = FIRST_PAUSE
        logger.warning("%s ended with %s; starts again in %.1f s", self.name, code, self.pause)
        self.process, self.start_at = None, self.clock() + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)

    def terminate(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill the whole group of the child, also what its own children left behind."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # all of the group is gone
        self.process.wait()

    def age(self) -> float:
        """Seconds since it was started."""
        return self.clock() - self.started_at


class Supervisor:
    """Keeps children alive until ``stop`` is set.

    ``ages`` tells the age in seconds of each child's last proof of life; ``limits`` after how many seconds without one
    a child that is that old is killed, to be started again.
    """

    def __init__(
        self,
        commands: Mapping[str, list[str]],
        ages: Callable[[], Mapping[str, float | None]],
        limits: Mapping[str, float],
    ) -> None:
        self.children = [Child(name, command) for name, command in commands.items()]
        self.ages, self.limits = ages, limits
        self.stop = threading.Event()

    def run(self, ports: Mapping[str, tuple[str, int]], ready: Callable[[], None]) -> None:
        """Run until ``stop``; ``ready`` is called once, when every port answers."""
        announced, next_look = False, 0.0
        while not self.stop.wait(0.2):
            for child in self.children:
                child.tend()
            if not announced and all(answers(address) for address in ports.values()):
                announced = True
                ready()
            if time.monotonic() >= next_look:
                self.kill_silent()
                next_look = time.monotonic() + 5.0
        self.end()

    def kill_silent(self) -> None:
        """Kill each child whose last proof of life is too old; ``tend`` starts it again."""
        ages = self.ages()
        for child in self.children:
            silent, limit = ages.get(child.name), self.limits[child.name]
            if child.process is None or child.age() <= limit or (silent is not None and silent <= limit):
                continue
            logger.error("%s gave no proof of life for %.0f s and is killed", child.name, limit)
            child.kill()

    def end(self) -> None:
        """SIGTERM to all, then SIGKILL to what is left after END_SECONDS."""
        for child in self.children:
            child.terminate()
        deadline = time.monotonic() + END_SECONDS
        for child in self.children:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("%s did not end in %s s and is killed", child.name, END_SECONDS)
            child.kill()


def answers(address: tuple[str, int]) -> bool:
    """Whether something accepts connections at the address."""
    try:
        with socket.create_connection(address, timeout=1.0):
            return True
    except OSError:
        return False


def is_free(address: tuple[str, int]) -> bool:
    """Whether a listener could be opened at the address now."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True
