"""The HL7 listener: takes orders and admissions over MLLP."""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import OperationalError, connection

from hl7.exchange import receive, receive_all
from hl7.listeners import Listening, Work, listening
from hl7.workers import Workers, work
from ris.processes import ServerCommand
from ris.services import reference

#: Seconds for which a worker may use what it read of catalogue, stations and feeds.
_KEEP_SECONDS = 1.0
#: Threads of a listener that does the work itself.
_THREADS = 4


def processes_default() -> int:
    """One more than there are cores, because a worker waits for the database a part of its time; the fewer, the more
    messages each does together. SQLite has one writer.
    """
    return 1 if connection.vendor == "sqlite" else min(8, 1 + (os.cpu_count() or 1))


class Command(ServerCommand):
    help = "Take HL7 v2 messages over MLLP at SUNVIEW_MLLP and at the listeners of the admin."
    process = "hl7-in"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--processes",
            type=int,
            default=processes_default(),
            metavar="N",
            help="processes that do the work of messages (default: one more than cores on PostgreSQL, one on SQLite)",
        )
        parser.add_argument("--worker", type=int, metavar="DESCRIPTOR", help="for the listener's own use")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["worker"] is None:
            super().handle(*args, **options)
        else:
            run_worker(options["worker"])

    def serve(self) -> None:
        count = self.options["processes"]
        if count <= 1:
            self._serve(receive, _THREADS)
            return
        workers = Workers([sys.executable, str(settings.BASE_DIR / "manage.py"), "hl7_listener", "--worker"], count)
        try:
            self._serve(workers, 1)
        finally:
            workers.close()

    def _serve(self, work: Work | Workers, threads: int) -> None:
        found = self._configured(work, threads)
        if found is None:
            return
        threading.Thread(target=found.doors.keep_fresh, args=(self.stop,), daemon=True).start()
        asyncio.run(found.run(self.stop))

    def _configured(self, work: Work | Workers, threads: int) -> Listening | None:
        """What to listen at, once the database is there; None if told to stop before."""
        while not self.stop.is_set():
            try:
                return listening(work, threads)
            except OperationalError:
                self.stop.wait(1.0)
            finally:
                connection.close()
        return None

    def is_well(self) -> bool:
        socket.create_connection(settings.MLLP_ADDRESS, 2).close()
        return True


def run_worker(descriptor: int) -> None:
    """Do messages until the listener is gone; told to stop, it is the listener that ends its workers."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    reference.keep_for(_KEEP_SECONDS)
    gc.freeze()  # what was imported stays: it need not be looked through again and again
    work(descriptor, receive_all)
