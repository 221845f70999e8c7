"""From what an order asks for to steps on the worklist: catalogue, stations, start."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ris import identifiers, selectors
from ris.inputs import Actor, ProcedureRequest, StepRequest
from ris.models import Order, ProcedureType, RequestedProcedure, Room, ScheduledProcedureStep, Station
from ris.services import events, precedence, provenance, rows
from ris.services.reference import Kept
from ris.states import StepStatus, Verb

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


_entries = Kept(lambda code_value: list(ProcedureType.objects.filter(code_value=code_value)))
_active_stations = Kept(lambda: list(Station.objects.filter(is_active=True).select_related("room")))


class Wish(NamedTuple):
    """What senders last asked for."""

    start: datetime | None
    stations: list[str]
    modality: str

    @classmethod
    def of(cls, step: ScheduledProcedureStep) -> "Wish":
        return cls(step.requested_start, list(step.requested_stations), step.modality)


def plan(
    procedure: RequestedProcedure,
    wanted: ProcedureRequest,
    actor: Actor,
    existing: list[ScheduledProcedureStep],
    *,
    other_code: bool,
) -> None:
    """Create or update the steps that the request names and schedule those that can be. Others are not touched.

    ``existing`` are all steps of the procedure; ``other_code`` says that the procedure is now another of the catalogue.
    """
    entry = catalogue_entry(procedure)
    for index, step_request in enumerate(wanted.steps, 1):
        step = _matching(existing, step_request, index) or ScheduledProcedureStep(
            requested_procedure=procedure, position=len(existing) + 1
        )
        if step.pk is None:
            existing.append(step)
        step.requested_procedure = procedure
        before = Wish.of(step)
        _fill(step, step_request, actor)
        provenance.note(step, step_request.provenance, actor)
        _derive(step, entry, other_code=other_code)
        _number(step)
        schedule(step, before, actor)


def catalogue_entry(procedure: RequestedProcedure) -> ProcedureType | None:
    """The catalogue's entry for the procedure's code: of its coding scheme, else the only one with that value."""
    if not procedure.code_value:
        return None
    entries = _entries(procedure.code_value)
    same_scheme = [entry for entry in entries if entry.coding_scheme == procedure.coding_scheme]
    chosen = same_scheme or entries
    return chosen[0] if len(chosen) == 1 else None


def stations_for(step: ScheduledProcedureStep, ae_titles: Sequence[str] = ()) -> list[Station]:
    """The stations that should list the step: those named, as far as they are known, else all of its modality."""
    active = _active_stations()
    named = [station for station in active if station.ae_title in ae_titles]
    return named or [station for station in active if station.modality and station.modality == step.modality]


def _matching(steps: list[ScheduledProcedureStep], wanted: StepRequest, index: int) -> ScheduledProcedureStep | None:
    if step_id := wanted.scheduled_procedure_step_id:
        for step in steps:
            if step.scheduled_procedure_step_id == step_id:
                return step
    return next((step for step in steps if step.position == index and _can_be(step, wanted)), None)


def _can_be(step: ScheduledProcedureStep, wanted: StepRequest) -> bool:
    """Whether the step at the wanted one's place is the same one: not if the sender named both differently."""
    ours = identifiers.scheduled_procedure_step_id(step.requested_procedure_id, step.position)
    return not wanted.scheduled_procedure_step_id or step.scheduled_procedure_step_id == ours


def _fill(step: ScheduledProcedureStep, wanted: StepRequest, actor: Actor) -> None:
    said: dict[str, Any] = {name: getattr(wanted, name) for name in _SAID}
    said |= {
        "scheduled_procedure_step_id": wanted.scheduled_procedure_step_id or None,
        "requested_start": wanted.start,
    }
    if wanted.protocol_codes is not None:
        said["protocol_codes"] = [[code.value, code.scheme, code.meaning] for code in wanted.protocol_codes]
    if wanted.station_ae_titles is not None:
        said["requested_stations"] = list(wanted.station_ae_titles)
    precedence.take(step, precedence.spoken(ScheduledProcedureStep, said), precedence.stamp(actor))


def _derive(step: ScheduledProcedureStep, entry: ProcedureType | None, *, other_code: bool) -> None:
    """What nobody said is the catalogue's."""
    if entry is None:
        return
    if "modality" not in step.said_at or not step.modality:
        step.modality = entry.modality
    if "duration_minutes" not in step.said_at and (step.pk is None or other_code):
        step.duration_minutes = entry.duration_minutes


def _number(step: ScheduledProcedureStep) -> None:
    if not step.scheduled_procedure_step_id:
        number = identifiers.scheduled_procedure_step_id(step.requested_procedure_id, step.position)
        step.scheduled_procedure_step_id = number


def schedule(step: ScheduledProcedureStep, before: Wish, actor: Actor) -> None:
    """Save, and schedule when the sender asks for something else than ``before``, or what was missing has come.

    A booking made at the desk is left alone by a repeated message that still carries the old wish. A start said to be
    empty takes the booking away.
    """
    wish = Wish.of(step)
    if wish == before and step.start is not None:
        rows.save(step)
    elif wish.start is not None and (stations := stations_for(step, wish.stations)):
        book(step, wish.start, stations, actor)
    elif wish.start is None and before.start is not None:
        _withdraw(step, actor)
    else:
        rows.save(step)


def off_worklists(order: Order) -> Iterable[ScheduledProcedureStep]:
    """The steps of an order that no worklist shows."""
    if rows.is_new(order):  # what is scheduled already has its stations: ``book`` knows no other way
        steps = rows.new(ScheduledProcedureStep)
        return [step for step in steps if step.requested_procedure.order is order and not step.is_on_worklists]
    return selectors.steps_on_no_worklist(order)


def _withdraw(step: ScheduledProcedureStep, actor: Actor) -> None:
    """Take the booking away: the step is to be scheduled again. TransitionNotAllowed once started."""
    step.start = step.room = None
    step.stations.clear()
    if step.status == StepStatus.CANCELED or events.move(step, Verb.UNSCHEDULE, actor) is None:
        rows.save(step)


def book(
    step: ScheduledProcedureStep, start: datetime, stations: list[Station], actor: Actor, room: Room | None = None
) -> None:
    """Give a locked step its start and stations and put it on their worklists; TransitionNotAllowed once started.

    A step of an order that is canceled is on no worklist.
    """
    rooms = {station.room for station in stations}
    step.start = start
    step.room = room or (rooms.pop() if len(rooms) == 1 else None)
    was_new = step.status == StepStatus.NEW
    if step.requested_procedure.order.canceled_at is None:
        events.move(step, Verb.SCHEDULE, actor)
    else:  # kept for the record: the step is canceled, or will be in this transaction
        rows.save(step)
    if was_new:  # nothing to take away, so nothing to read
        assigned = ScheduledProcedureStep.stations.through
        rows.save_all([assigned(scheduledprocedurestep_id=step.pk, station_id=station.pk) for station in stations])
    else:
        step.stations.set(stations)
