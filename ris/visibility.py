"""What a station's rules hide from its worklist: one rule for the worklist itself, the pages, the API and the command.

Pure and standard library only. Whether a step is on any worklist at all is ``selectors.worklist_obstacles``.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from ris.states import StepStatus


class Rules(Protocol):
    """A station's rules: ``ris.models.Station`` and ``worklist.stations.Profile`` have them. Days: None is no limit."""

    @property
    def only_arrived(self) -> bool: ...

    @property
    def days_before(self) -> int | None: ...

    @property
    def days_after(self) -> int | None: ...


def has_rules(rules: Rules) -> bool:
    """Whether the station hides anything of its own department."""
    return rules.only_arrived or rules.days_before is not None or rules.days_after is not None


def reasons(
    rules: Rules,
    siblings: Collection[str],
    *,
    status: str,
    start: datetime | None,
    stations: Collection[str],
    now: datetime,
) -> list[str]:
    """Why a step is hidden from a station, a sentence each; empty when it may be shown.

    ``siblings`` are the AE titles whose rows the station may see, its own among them; ``stations`` those the step is
    assigned to, of which none is no matter of this station's rules; ``now`` is aware and in the site's zone, and days
    are counted from midnight to midnight in it.
    """
    found = []
    if stations and not any(station in siblings for station in stations):
        elsewhere = ", in another department" if len(siblings) > 1 else ""
        found.append(f"the step is assigned to {', '.join(stations)}{elsewhere}")
    if rules.only_arrived and status == StepStatus.SCHEDULED:
        found.append("the patient has not been checked in, and this station shows only patients who are")
    if start is not None and (rules.days_before is not None or rules.days_after is not None):
        found += _days(rules, (start.astimezone(now.tzinfo).date() - now.date()).days)
    return found


def _days(rules: Rules, days: int) -> list[str]:
    """``days`` from today to the start, negative for the past."""
    if rules.days_before is not None and -days > rules.days_before:
        return [f"the start is {_count(-days)} before today, and this station shows {_most(rules.days_before)} back"]
    if rules.days_after is not None and days > rules.days_after:
        return [f"the start is {_count(days)} after today, and this station shows {_most(rules.days_after)} ahead"]
    return []


def _count(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"


def _most(days: int) -> str:
    return f"{_count(days)}" if days else "no day"
