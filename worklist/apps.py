"""The scanners' side as a Django application. Processes that speak no DICOM do not load it: imports are where used."""

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from ris.models import ScheduledProcedureStep, Station


class WorklistConfig(AppConfig):
    name = "worklist"

    def ready(self) -> None:
        from ris import sight

        sight.further.append(_filled_in)


def _filled_in(step: "ScheduledProcedureStep", station: "Station") -> list[str]:
    from worklist import explaining

    return explaining.filled_in(step, station) if station.default_keys else []
