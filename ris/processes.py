"""What every long-running command has in common: a clean end on SIGTERM and a proof of life."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.models import Max
from django.utils import timezone

from ris.models import Heartbeat

logger = logging.getLogger(__name__)

#: Seconds between two proofs of life.
BEAT_SECONDS = 5.0
#: Seconds until a process that was not well is asked again.
RETRY_SECONDS = 0.5
#: A process whose last proof of life is older than this many seconds is not well. The worker beats through its queue.
STALE_SECONDS = {"worker": 75.0}
STALE_SECONDS_DEFAULT = 20.0

#: The long-running commands by process name: the supervisor starts them, /healthz lists them.
PROCESSES: dict[str, str] = {
    "web": "web",
    "worklist": "worklist_scp",
    "store": "store_scp",
    "hl7-in": "hl7_listener",
    "hl7-out": "hl7_sender",
    "mpps-out": "mpps_sender",
    "worker": "worker",
}


def beat(process: str) -> None:
    """Record that ``process`` of this host does its work now."""
    Heartbeat.objects.update_or_create(
        process=process,
        host=socket.gethostname(),
        defaults={"pid": os.getpid(), "beaten_at": timezone.now()},
    )


def health() -> dict[str, dict[str, Any]]:
    """For each process the age of its newest proof of life in seconds (None: never) and whether that is well.

    The web process answers the question itself, which is its proof.
    """
    now = timezone.now()
    last = dict(Heartbeat.objects.values_list("process").annotate(Max("beaten_at"))) | {"web": now}
    return {process: _entry(process, last.get(process), now) for process in PROCESSES}


def _entry(process: str, beaten_at: datetime | None, now: datetime) -> dict[str, Any]:
    age = round((now - beaten_at).total_seconds(), 1) if beaten_at else None
    return {"age": age, "well": age is not None and age <= stale_seconds(process)}


def stale_seconds(process: str) -> float:
    """After how many seconds without a proof of life the process is taken for dead."""
    return STALE_SECONDS.get(process, STALE_SECONDS_DEFAULT)


class ServerCommand(BaseCommand):
    """A listener or loop as a process of its own.

    A subclass names its ``process`` (a key of PROCESSES) and writes ``serve``, which returns soon after ``self.stop``
    is set: stop accepting, finish what was begun, close. ``is_well`` is asked before each proof of life.
    """

    process = ""
    requires_migrations_checks = False

    def handle(self, *args, **options) -> None:
        self.options = options
        self.stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        beating = threading.Thread(target=beat_until, args=(self.process, self.is_well, self.stop), daemon=True)
        beating.start()
        logger.info("%s starts, process %s", self.process, os.getpid())
        try:
            self.serve()
        finally:
            self.stop.set()
            beating.join(BEAT_SECONDS)
        logger.info("%s ended", self.process)

    def serve(self) -> None:
        raise NotImplementedError

    def is_well(self) -> bool:
        """Whether the work is really being done, such as: the port answers."""
        return True


def beat_until(process: str, is_well: Callable[[], bool], stop: threading.Event) -> None:
    """Beat every BEAT_SECONDS until ``stop``; a process that is not well, or without its database, does not beat.

    It is asked again soon, so that a process that has just started is well as soon as its port answers.
    """
    while not stop.is_set():
        pause = RETRY_SECONDS
        try:
            if is_well():
                beat(process)
                pause = BEAT_SECONDS
        except DatabaseError as error:
            logger.warning("%s has no proof of life: %s", process, type(error).__name__)
        except OSError as error:
            logger.warning("%s has no proof of life: %s", process, error)
        finally:
            connection.close()
        stop.wait(pause)
