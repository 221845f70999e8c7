"""A scanner from the command line: echo, look at the worklist, perform an exam."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydicom.dataset import Dataset

from worklist.emulator import Modality, Refused
from worklist.keys import STEP_SEQUENCE


class Command(BaseCommand):
    help = "Play a scanner: C-ECHO, C-FIND, MPPS and C-STORE, with what was sent and what came back."
    requires_migrations_checks = False
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        host = settings.DICOM_ADDRESS[0]
        parser.add_argument("action", choices=["echo", "find", "perform"])
        parser.add_argument("--ae-title", required=True, help="calling AE title, such as XRAY2")
        parser.add_argument("--called", default=settings.AE_TITLE, help="called AE title")
        parser.add_argument("--host", default=host)
        parser.add_argument("--port", type=int, default=settings.DICOM_ADDRESS[1], help="worklist and MPPS")
        parser.add_argument("--store-port", type=int, default=settings.STORE_ADDRESS[1])
        parser.add_argument("--accession", default="", help="the entry to find or perform")
        parser.add_argument("--any-station", action="store_true", help="also entries of other stations")
        parser.add_argument("--images", type=int, default=2)
        parser.add_argument("--discontinue", action="store_true", help="end with DISCONTINUED, wrong entry picked")

    def handle(self, *args: Any, **options: Any) -> None:
        modality = Modality(
            options["ae_title"],
            (options["host"], options["port"]),
            (options["host"], options["store_port"]),
            options["called"],
            say=lambda line: self.stdout.write(f"{options['ae_title']}: {line}"),
        )
        try:
            getattr(self, options["action"])(modality, options)
        except Refused as error:
            raise CommandError(str(error)) from error

    def echo(self, modality: Modality, options: dict[str, Any]) -> None:
        modality.echo()

    def find(self, modality: Modality, options: dict[str, Any]) -> list[Dataset]:
        keys = {"AccessionNumber": options["accession"]}
        if not options["any_station"]:
            keys["ScheduledStationAETitle"] = modality.ae_title
        entries = modality.find(**keys)
        for entry in entries:
            step = entry[STEP_SEQUENCE].value[0]
            self.stdout.write(
                f"  {entry.AccessionNumber} {step.Modality} {step.ScheduledProcedureStepStartDate} "
                f"{step.ScheduledProcedureStepStartTime} {step.ScheduledProcedureStepDescription}"
            )
        return entries

    def perform(self, modality: Modality, options: dict[str, Any]) -> None:
        entries = self.find(modality, options)
        if len(entries) != 1:
            raise CommandError(f"{len(entries)} entries on the worklist have this accession number, not one")
        exam = modality.start(entries[0])
        if options["discontinue"]:
            modality.discontinue(exam)
            return
        modality.store(exam, options["images"])
        modality.complete(exam)
