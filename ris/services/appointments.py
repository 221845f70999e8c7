"""Appointments that another system keeps: they book the steps of orders that are here (HL7 SIU)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from ris.errors import NotOfTheOrder, UnknownOrder
from ris.inputs import Actor, AppointmentNotice, Code, Identifier, OrderKey
from ris.models import CanceledAppointment, Order, ProcedureType, ScheduledProcedureStep, Station
from ris.services import order_numbers, planning, precedence, provenance, scheduling
from ris.states import OVER, StepStatus


@transaction.atomic
def keep(notice: AppointmentNotice, actor: Actor) -> Order:
    """Book, move or (start said to be empty) take away the booking of the order's steps that the appointment is of.

    The order stays: without a booking it is to be scheduled. A repeat changes nothing, nor does what was canceled
    later. UnknownOrder; NotOfTheOrder; OrderOfOtherPatient; TransitionNotAllowed once started.
    """
    _hold(notice)
    order, steps = _lock(notice)
    said = precedence.spoken(ScheduledProcedureStep, _said(notice))
    canceled = _canceled(notice)
    for step in steps:
        before = planning.Wish.of(step)
        precedence.take(step, said, precedence.stamp(actor))
        provenance.note(step, {name: notice.provenance[name] for name in said if name in notice.provenance}, actor)
        if canceled:
            gone = Actor(kind="HL7", name=actor.name, said_at=canceled.canceled_at)
            precedence.take(step, {"requested_start": None}, precedence.stamp(gone))
        planning.schedule(step, before, actor)
    return order


@transaction.atomic
def cancel_ahead(notice: AppointmentNotice, actor: Actor) -> None:
    """Keep the cancellation of an appointment that is not here: when it comes it is not booked. A repeat changes
    nothing."""
    _hold(notice)
    ids, said_at = _appointment_ids(notice), precedence.said_at(actor)
    row = CanceledAppointment.objects.filter(**ids).first() or CanceledAppointment(**ids, canceled_at=said_at)
    row.canceled_at, row.source_message = max(row.canceled_at, said_at), actor.source_message[:250]
    row.save()


@transaction.atomic
def no_show(notice: AppointmentNotice, actor: Actor) -> Order:
    """The patient did not come to the appointment. Refused like ``keep``."""
    order, steps = _lock(notice)
    for step in steps:
        scheduling.no_show(step.pk, actor)
    return order


def is_imaging(code: Code) -> bool:
    """Whether the catalogue has the procedure."""
    return bool(code.value) and ProcedureType.objects.filter(code_value=code.value).exists()


def _hold(notice: AppointmentNotice) -> None:
    """Let nobody else keep or cancel this appointment until the transaction ends."""
    order_numbers.hold_numbers(f"{name}\x1f{value}" for name, value in _appointment_ids(notice).items())


def _canceled(notice: AppointmentNotice) -> CanceledAppointment | None:
    """The cancellation that came before the appointment, if it did."""
    return CanceledAppointment.objects.filter(_any_id(notice)).order_by("canceled_at").last()


def _lock(notice: AppointmentNotice) -> tuple[Order, list[ScheduledProcedureStep]]:
    order = order_numbers.lock(_key(notice))
    steps = list(ScheduledProcedureStep.objects.filter(requested_procedure__order=order).order_by("pk"))
    for step in steps:
        step.requested_procedure.order = order
    return order, _meant(steps, notice)


def _key(notice: AppointmentNotice) -> OrderKey:
    """The first of the notice's names that names one order: the order's numbers, what the appointment booked before,
    and last the appointment's own numbers, which some systems give the order too."""
    own = replace(notice.orders[0], placer_order_number=notice.placer_id, filler_order_number=Identifier())
    bound = _bound(notice).values_list("requested_procedure__order", flat=True).distinct()
    found = _first(notice.orders)
    if found is None and len(orders := list(Order.objects.filter(pk__in=bound)[:2])) == 1:
        found = order_numbers.exactly(orders[0], notice.orders[0].patient)
    found = found or _first((own, replace(own, placer_order_number=Identifier(), filler_order_number=notice.filler_id)))
    if found is None:
        raise UnknownOrder("The appointment names no order that is here")
    return found


def _first(keys: Iterable[OrderKey]) -> OrderKey | None:
    """The first key that names one order."""
    for key in keys:
        if order_numbers.candidates(key).count() == 1:
            return key
        if found := order_numbers.of_another_sender(key):
            return found
    return None


def _bound(notice: AppointmentNotice) -> QuerySet[ScheduledProcedureStep]:
    """The steps that this appointment booked before."""
    return ScheduledProcedureStep.objects.filter(_any_id(notice))


def _any_id(notice: AppointmentNotice) -> Q:
    any_id = Q(pk=None)
    for name, value in _appointment_ids(notice).items():
        any_id |= Q(**{name: value})
    return any_id


def _appointment_ids(notice: AppointmentNotice) -> dict[str, str]:
    """The appointment's numbers with their issuers, as the steps keep them."""
    sender = notice.orders[0].sender
    ids = {"placer_appointment_id": notice.placer_id, "filler_appointment_id": notice.filler_id}
    return {name: f"{number.value}^{number.issuer or sender}" for name, number in ids.items() if number}


def _meant(steps: Iterable[ScheduledProcedureStep], notice: AppointmentNotice) -> list[ScheduledProcedureStep]:
    """The steps that the appointment is of: those of its procedure, else those that it booked, else all that wait.

    NotOfTheOrder for one of several services that the order did not order, while another one is.
    """
    steps, ids, code = list(steps), _appointment_ids(notice), notice.procedure.value
    booked = [step for step in steps if any(getattr(step, name) == value for name, value in ids.items())]
    named = [step for step in steps if code and step.requested_procedure.code_value == code]
    waiting = [step for step in steps if step.status not in OVER - {StepStatus.NO_SHOW}]
    if not named and _is_of_another_service(steps, notice):
        raise NotOfTheOrder(f"The order has no procedure {code or '(none named)'}: nothing was done for that service")
    return [step for step in named if step in booked] or named or booked or waiting or steps


def _is_of_another_service(steps: list[ScheduledProcedureStep], notice: AppointmentNotice) -> bool:
    """Whether the order is meant by another service of the same appointment, by its code or because it came first."""
    codes = {code.value for code in notice.services if code.value}
    return notice.position > 0 or any(step.requested_procedure.code_value in codes for step in steps)


def _said(notice: AppointmentNotice) -> dict[str, Any]:
    return {
        **_appointment_ids(notice),
        "requested_start": notice.start,
        "duration_minutes": notice.duration_minutes,
        "requested_stations": _stations(notice.resources) or None,
        "performing_physician": notice.performing_physician,
    }


def _stations(resources: tuple[str, ...]) -> list[str]:
    """The AE titles of the stations, or of the rooms, that are named."""
    active = Station.objects.filter(is_active=True).select_related("room")
    words = {word.casefold() for word in resources}
    return [
        station.ae_title
        for station in active
        if station.ae_title.casefold() in words or (station.room and station.room.name.casefold() in words)
    ]
