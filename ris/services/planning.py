"""From what an order asks for to steps on the worklist: catalogue, stations, start."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from ris import identifiers
from ris.inputs import Actor, ProcedureRequest, StepRequest
from ris.models import ProcedureType, RequestedProcedure, Room, ScheduledProcedureStep, Station
from ris.services import events
from ris.states import Verb

_SAID = (
    "modality",
    "description",
    "duration_minutes",
    "station_name",
    "location",
    "performing_physician",
    "pre_medication",
    "contrast_agent",
)


def plan(procedure: RequestedProcedure, wanted: ProcedureRequest, actor: Actor) -> None:
    """Create or update the steps that the request names and schedule those that can be. Others are not touched."""
    entry = catalogue_entry(procedure)
    existing = list(procedure.steps.all())
    for index, step_request in enumerate(wanted.steps, 1):
        step = _matching(existing, step_request, index) or ScheduledProcedureStep(
            requested_procedure=procedure, position=len(existing) + 1
        )
        if step.pk is None:
            existing.append(step)
        step.requested_procedure = procedure
        modality = step.modality
        _fill(step, step_request, entry)
        _schedule(step, step_request, actor, other_modality=step.modality != modality)


def catalogue_entry(procedure: RequestedProcedure) -> ProcedureType | None:
    """The catalogue's entry for the procedure's code: of its coding scheme, else the only one with that value."""
    if not procedure.code_value:
        return None
    entries = list(ProcedureType.objects.filter(code_value=procedure.code_value))
    same_scheme = [entry for entry in entries if entry.coding_scheme == procedure.coding_scheme]
    chosen = same_scheme or entries
    return chosen[0] if len(chosen) == 1 else None


def stations_for(step: ScheduledProcedureStep, ae_titles: Sequence[str] = ()) -> list[Station]:
    """The stations that should list the step: those named, as far as they are known, else all of its modality."""
    active = Station.objects.filter(is_active=True)
    return list(active.filter(ae_title__in=ae_titles)) or list(active.filter(~Q(modality=""), modality=step.modality))


def _matching(steps: list[ScheduledProcedureStep], wanted: StepRequest, index: int) -> ScheduledProcedureStep | None:
    if step_id := wanted.scheduled_procedure_step_id:
        for step in steps:
            if step.scheduled_procedure_step_id == step_id:
                return step
    return next((step for step in steps if step.position == index and _can_be(step, wanted)), None)


def _can_be(step: ScheduledProcedureStep, wanted: StepRequest) -> bool:
    """Whether the step at the wanted one's place is the same one: not if the sender named both differently."""
    ours = identifiers.scheduled_procedure_step_id(step.pk)
    return not wanted.scheduled_procedure_step_id or step.scheduled_procedure_step_id == ours


def _fill(step: ScheduledProcedureStep, wanted: StepRequest, entry: ProcedureType | None) -> None:
    for name in _SAID:
        if value := getattr(wanted, name):
            setattr(step, name, value)
    if wanted.protocol_codes:
        step.protocol_codes = [[code.value, code.scheme, code.meaning] for code in wanted.protocol_codes]
    if entry and not step.modality:
        step.modality = entry.modality
    if entry and step.pk is None and not wanted.duration_minutes:
        step.duration_minutes = entry.duration_minutes
    step.scheduled_procedure_step_id = wanted.scheduled_procedure_step_id or step.scheduled_procedure_step_id
    step.save()
    if not step.scheduled_procedure_step_id:
        step.scheduled_procedure_step_id = identifiers.scheduled_procedure_step_id(step.pk)
        step.save(update_fields=["scheduled_procedure_step_id"])


def _schedule(step: ScheduledProcedureStep, wanted: StepRequest, actor: Actor, *, other_modality: bool) -> None:
    """Schedule when the order asks for something else than it last did, or what was missing has come.

    A booking made at the desk is left alone by a repeated message that still carries the old wish.
    """
    start = wanted.start or step.requested_start
    titles = list(wanted.station_ae_titles) or step.requested_stations
    same_wish = (start, titles) == (step.requested_start, step.requested_stations) and not other_modality
    if same_wish and step.start is not None:
        return
    step.requested_start, step.requested_stations = start, titles
    stations = stations_for(step, titles) if start else []
    if start and stations:
        book(step, start, stations, actor)
    step.save()


def book(
    step: ScheduledProcedureStep, start: datetime, stations: list[Station], actor: Actor, room: Room | None = None
) -> None:
    """Give a locked step its start and stations and put it on their worklists; TransitionNotAllowed once started."""
    rooms = {station.room for station in stations}
    step.start = start
    step.room = room or (rooms.pop() if len(rooms) == 1 else None)
    step.stations.set(stations)
    events.move(step, Verb.SCHEDULE, actor)
