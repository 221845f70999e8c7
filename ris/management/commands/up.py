"""Everything under one parent: the way to run Sunview on one host."""

import signal
import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, OperationalError, connection

from ris import processes, supervisor


class Command(BaseCommand):
    help = "Migrate, then run web, DICOM, HL7 and worker processes; prints 'ready' once every port answers"

    def handle(self, *args: Any, **options: Any) -> None:
        ports = _ports()
        _migrate()
        commands = {
            name: [sys.executable, str(supervisor.MANAGE), command] for name, command in processes.PROCESSES.items()
        }
        parent = supervisor.Supervisor(commands, _ages, {name: processes.stale_seconds(name) for name in commands})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: parent.stop.set())
        parent.run(ports, self._ready)

    def _ready(self) -> None:
        self.stdout.write("ready")
        self.stdout.flush()


def _migrate() -> None:
    """CommandError with one sentence if the database does not answer: whoever supervises ``up`` starts it again."""
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        raise CommandError(f"The database of DATABASE_URL does not answer: {error}") from error
    finally:
        connection.close()


def _ports() -> dict[str, tuple[str, int]]:
    """Where to listen, by setting; CommandError if an address cannot be had, or is given twice."""
    ports = {
        "SUNVIEW_HTTP": settings.HTTP_ADDRESS,
        "SUNVIEW_DICOM": settings.DICOM_ADDRESS,
        "SUNVIEW_STORE": settings.STORE_ADDRESS,
        "SUNVIEW_MLLP": settings.MLLP_ADDRESS,
    }
    with_tls = {"SUNVIEW_DICOM_TLS": settings.DICOM_TLS_ADDRESS, "SUNVIEW_STORE_TLS": settings.STORE_TLS_ADDRESS}
    ports |= {name: address for name, address in with_tls.items() if address}
    names: dict[tuple[str, int], str] = {}
    for name, (host, port) in ports.items():
        if (first := names.setdefault((host, port), name)) != name:
            raise CommandError(f"{first} and {name} are both {host}:{port}")
        if not supervisor.is_free((host, port)):
            raise CommandError(f"{name}: {host}:{port} is taken by another process, or not of this host")
    return ports


def _ages() -> Mapping[str, float | None]:
    """Ages of the proofs of life; with the database away nobody can prove anything, and nobody is killed for it."""
    try:
        ages = {name: entry["age"] for name, entry in processes.health().items()}
        if not supervisor.answers(settings.HTTP_ADDRESS):
            ages["web"] = None
        return ages
    except DatabaseError:
        return dict.fromkeys(processes.PROCESSES, 0.0)
    finally:
        connection.close()
