"""The worklist process: C-ECHO, modality worklist and MPPS."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection

from ris.processes import ServerCommand
from worklist import view
from worklist.door import Door, probe
from worklist.scp import worklist_door
from worklist.serving import serve, serve_in_processes


def processes_default() -> int:
    """Two share the port on PostgreSQL; the embedded database is for sites that one serves."""
    return 1 if connection.vendor == "sqlite" else 2


class Command(ServerCommand):
    help = "Answer scanners: C-ECHO, modality worklist C-FIND, MPPS (SUNVIEW_DICOM, with TLS SUNVIEW_DICOM_TLS)."
    process = "worklist"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--processes",
            type=int,
            default=processes_default(),
            metavar="N",
            help="processes that share the port (default: two on PostgreSQL, one on SQLite)",
        )
        parser.add_argument("--worker", action="store_true", help="for the command's own use")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["worker"]:
            run_worker()
        else:
            super().handle(*args, **options)

    def serve(self) -> None:
        if self.options["processes"] > 1:
            serve_in_processes("worklist_scp", self.options["processes"], self.stop)
        else:
            serve_worklist(doors(reuse_port=False), self.stop)

    def is_well(self) -> bool:
        return probe(settings.DICOM_ADDRESS)


def doors(reuse_port: bool) -> list[Door]:
    """The plain one, and the one with TLS if its address is set."""
    found = [worklist_door(settings.DICOM_ADDRESS, reuse_port=reuse_port)]
    if settings.DICOM_TLS_ADDRESS:
        found.append(worklist_door(settings.DICOM_TLS_ADDRESS, reuse_port=reuse_port, tls=settings.TLS_CONTEXT))
    return found


def run_worker() -> None:
    """One of several processes at the address. Its parent gives their proof of life."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_worklist(doors(reuse_port=True), stop)


def serve_worklist(opened: list[Door], stop: threading.Event) -> None:
    """Serve until ``stop``, with a view of the worklist that is there before the first query."""
    refreshing = view.keep_fresh(stop)
    serve(opened, stop)
    refreshing.join(view.FRESH_SECONDS)
