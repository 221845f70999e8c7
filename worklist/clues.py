"""What may lie behind a key that keeps an exam off a list, so that the engineer need not guess: an AE title that nobody
has, a scanner's clock, an identifier from before a merge; and what a scanner was sent with letters missing.
"""

import re
from collections.abc import Iterator
from datetime import datetime

from ris.models import PatientIdentifier, ScheduledProcedureStep, Station, StationAlias
from worklist import query_log
from worklist.clock import to_site
from worklist.models import TextLoss

#: One day or a range of days (PS3.4 C.2.2.2.5.1); either end may be open.
_DAYS = re.compile(r"(\d{8})?(-?)(\d{8})?")


def behind(step: ScheduledProcedureStep, keyword: str, asked: str, asked_at: datetime | None) -> list[str]:
    """Sentences about a key that does not match a step; none if nothing more is known.

    ``asked`` is its value, as asked or as ``query_log`` keeps it, and ``asked_at`` when it was last asked.
    """
    if keyword == "ScheduledStationAETitle":
        return [f"no station has the AE title {title}" for title in _unknown(asked.split("\\"))]
    if keyword == "PatientID":
        return list(_earlier(step, asked.split("\\")))
    if keyword == "ScheduledProcedureStepStartDate" and asked_at:
        return list(_another_day(asked, asked_at))
    return []


def lost(step: ScheduledProcedureStep, station: Station) -> list[str]:
    """Which texts of a step this station was sent with letters missing, a sentence each."""
    losses = TextLoss.objects.filter(station=station, step=step).order_by("keyword")
    return [f"{loss.keyword} was sent with letters missing: {loss.character_set} lacks some" for loss in losses]


def _unknown(titles: list[str]) -> list[str]:
    wanted = [title for title in titles if title and not set(title) & {"*", "?"}]
    known = {
        *Station.objects.filter(ae_title__in=wanted).values_list("ae_title", flat=True),
        *StationAlias.objects.filter(ae_title__in=wanted).values_list("ae_title", flat=True),
    }
    return [title for title in wanted if title not in known]


def _earlier(step: ScheduledProcedureStep, asked: list[str]) -> Iterator[str]:
    patient = step.requested_procedure.order.patient
    rows = PatientIdentifier.objects.filter(patient=patient).exclude(value=patient.patient_id)
    others = list(rows.values_list("value", flat=True))
    if {*asked} & {*others, *(query_log.hashed("PatientID", value) for value in others)}:
        yield "the query asked by another identifier of this patient, merged or renumbered since: the scanner's is old"


def _another_day(asked: str, asked_at: datetime) -> Iterator[str]:
    if not (days := _DAYS.fullmatch(asked)):
        return
    first, is_range, last = days.groups()
    day = f"{to_site(asked_at):%Y%m%d}"
    last = last if is_range else first
    if last and last < day:
        yield f"when it asked, on {day}, that was over: look at the scanner's clock and the day on its search page"
    elif first and first > day:
        yield f"when it asked, on {day}, that was still to come: look at the scanner's clock"
