"""What each station sees of the schedule: its department's rows, as far as its own rules do not hide them."""

from collections.abc import Callable, Collection
from datetime import datetime

from ris import selectors, visibility
from ris.models import ScheduledProcedureStep, Station

#: What else keeps a step off a station's list, a sentence each: ``worklist`` adds what it fills into the questions.
further: list[Callable[[ScheduledProcedureStep, Station], list[str]]] = []


def siblings() -> dict[int, frozenset[str]]:
    """Station -> AE titles of the stations whose rows it may see: its department's active ones, itself among them."""
    stations = list(Station.objects.values_list("pk", "ae_title", "department", "is_active"))
    titles: dict[int | None, set[str]] = {}
    for _pk, ae_title, department, is_active in stations:
        if is_active:
            titles.setdefault(department, set()).add(ae_title)
    return {
        pk: frozenset({ae_title}) | (titles.get(department, set()) if department else frozenset())
        for pk, ae_title, department, _is_active in stations
    }


def hidden_from(step: ScheduledProcedureStep, station: visibility.Rules, titles: Collection[str]) -> list[str]:
    """What of a station's rules hides this step, a sentence each; ``titles`` are its ``siblings``."""
    assigned = [other.ae_title for other in step.stations.all()]
    now = datetime.now(selectors.site_zone())
    return visibility.reasons(station, titles, status=step.status, start=step.start, stations=assigned, now=now)


def station_obstacles(step: ScheduledProcedureStep, station: Station, titles: Collection[str]) -> list[str]:
    """Why this step is not among what is assigned to this station, a sentence each; empty when it is on its worklist.

    A scanner may also ask for the rows of its ``siblings``: ``hidden_from`` alone says what it never sees.
    """
    obstacles = selectors.worklist_obstacles(step) + hidden_from(step, station, titles)
    assigned = [other.ae_title for other in step.stations.all()]
    if any(title in titles for title in assigned) and station.ae_title not in assigned:
        obstacles.append(f"the step is assigned to {', '.join(assigned)}")
    if not station.is_active:
        obstacles.append("the station is not active: its association is refused")
    return obstacles + [sentence for more in further for sentence in more(step, station)]
