"""The passcode by which a scanner proves that it is the station that it says."""

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ris.models import Station
from worklist.binding import digest


class Command(BaseCommand):
    help = "Make a new passcode (DICOM user identity, PS3.7 D.3.3.7) for a station and print it once; or remove it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ae_title")
        parser.add_argument("--remove", action="store_true", help="the station needs no passcode any more")

    def handle(self, *args: Any, **options: Any) -> None:
        station = Station.objects.filter(ae_title=options["ae_title"]).first()
        if station is None:
            raise CommandError(f"No station has the AE title {options['ae_title']}.")
        passcode = "" if options["remove"] else secrets.token_urlsafe(24)
        station.passcode_digest = digest(station.pk, passcode.encode()) if passcode else ""
        station.save(update_fields=["passcode_digest"])
        self.stdout.write(passcode or f"{station} needs no passcode.")
