"""Why an exam is, or is not, on a scanner's worklist."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ris import selectors
from ris.models import ScheduledProcedureStep, Station
from worklist.clock import to_site


class Command(BaseCommand):
    help = "Say for each station whether an exam is on its worklist now, and if not, what keeps it off."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--accession", required=True, help="accession number of the exam")
        parser.add_argument("--station", default="", help="AE title; every station without it")

    def handle(self, *args: Any, **options: Any) -> None:
        steps = list(
            selectors.steps()
            .filter(requested_procedure__order__accession_number=options["accession"])
            .order_by("requested_procedure__position", "position")
        )
        if not steps:
            raise CommandError(f"No order has the accession number {options['accession']}.")
        stations = list(Station.objects.select_related("room"))
        if options["station"]:
            stations = [station for station in stations if station.ae_title == options["station"]]
            if not stations:
                raise CommandError(f"No station has the AE title {options['station']}.")
        titles = selectors.siblings()
        for step in steps:
            self.stdout.write(_headline(step))
            for station in stations:
                obstacles = "; ".join(selectors.station_obstacles(step, station, titles[station.pk]))
                self.stdout.write(f"  {station.ae_title}: {obstacles or 'on its worklist'}")


def _headline(step: ScheduledProcedureStep) -> str:
    start = f"{to_site(step.start):%Y-%m-%d %H:%M}" if step.start else "no start"
    return f"{step.scheduled_procedure_step_id} {step.modality or 'no modality'} {step.status}, {start}"
