"""The department system scheduler: what the front desk and the technologist do with a step.

Each function locks the order, looks up the state table, saves and records one event, and returns the fresh step.
UnknownOrder for a step that is not here, TransitionNotAllowed for a cell that is not in the table.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from ris import selectors
from ris.errors import RoomCannotPerform, UnknownOrder
from ris.inputs import Actor, Identifier
from ris.models import Order, Room, ScheduledProcedureStep, Station
from ris.services import events, planning
from ris.states import StepStatus, Verb


@transaction.atomic
def book(
    step_pk: int, *, room_pk: int, start: datetime, actor: Actor, duration_minutes: int | None = None
) -> ScheduledProcedureStep:
    """Book a step, or move its booking, into a room at ``start`` (aware). The same booking again changes nothing.

    A step without a modality takes that of the room's station. RoomCannotPerform if the room has none that fits.
    """
    step = events.lock_step(step_pk)
    room = Room.objects.filter(pk=room_pk).first()
    if room is None:
        raise UnknownOrder("This room is not here")
    stations = _stations_of(room, step)
    duration = duration_minutes or step.duration_minutes
    if step.is_on_worklists and (step.room, step.start, step.duration_minutes) == (room, start, duration):
        return step
    step.modality, step.duration_minutes = stations[0].modality, duration
    planning.book(step, start, stations, actor, room)
    return step


def _stations_of(room: Room, step: ScheduledProcedureStep) -> list[Station]:
    stations = list(room.stations.filter(is_active=True))
    modality = step.modality or (stations[0].modality if stations else "")
    fitting = [station for station in stations if station.modality == modality]
    if not fitting:
        raise RoomCannotPerform(f"{room.name} has no active station for {modality or 'any modality'}")
    return fitting


@transaction.atomic
def arrive(step_pk: int, actor: Actor) -> ScheduledProcedureStep:
    """The patient is here."""
    return _move(step_pk, Verb.ARRIVE, actor)


@transaction.atomic
def arrive_patient(patient_pk: int, actor: Actor, *, at: datetime | None, visit: Identifier) -> list[Order]:
    """Check the patient in for every step booked on the day of ``at`` (aware; None for now): those of the visit, if
    one is named, and those of no visit. The orders that have one; none if nothing is booked.
    """
    begin, end = selectors.day_bounds((at or timezone.now()).astimezone(selectors.site_zone()).date())
    steps = ScheduledProcedureStep.objects.filter(
        requested_procedure__order__patient=patient_pk, status=StepStatus.SCHEDULED, start__gte=begin, start__lt=end
    ).order_by("requested_procedure__order", "pk")
    if visit:
        order = "requested_procedure__order__visit"
        steps = steps.filter(Q(**{order: None}) | Q(**{f"{order}__admission_id": visit.value}))
    orders = {}
    for step_pk in list(steps.values_list("pk", flat=True)):
        step = events.lock_step(step_pk)
        if step.allows(Verb.ARRIVE):  # it may have moved on before the lock
            events.move(step, Verb.ARRIVE, actor)
        orders[step.requested_procedure.order_id] = step.requested_procedure.order
    return list(orders.values())


@transaction.atomic
def ready(step_pk: int, actor: Actor) -> ScheduledProcedureStep:
    """The patient is prepared."""
    return _move(step_pk, Verb.READY, actor)


@transaction.atomic
def no_show(step_pk: int, actor: Actor) -> ScheduledProcedureStep:
    """The patient did not come."""
    return _move(step_pk, Verb.NO_SHOW, actor)


@transaction.atomic
def hold(step_pk: int, actor: Actor, reason: str = "") -> ScheduledProcedureStep:
    """Hide the step from worklists; its status stays."""
    return _flag(step_pk, Verb.HOLD, actor, reason)


@transaction.atomic
def release(step_pk: int, actor: Actor) -> ScheduledProcedureStep:
    """Show a held step again."""
    return _flag(step_pk, Verb.RELEASE, actor, "")


def _move(step_pk: int, verb: Verb, actor: Actor) -> ScheduledProcedureStep:
    step = events.lock_step(step_pk)
    events.move(step, verb, actor)
    return step


def _flag(step_pk: int, verb: Verb, actor: Actor, reason: str) -> ScheduledProcedureStep:
    step = events.lock_step(step_pk)
    held = verb is Verb.HOLD
    if step.on_hold != held:
        step.on_hold = held
        events.move(step, verb, actor, reason=reason)
    return step
