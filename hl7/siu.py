"""Appointments: SIU (HL7 v2.5.1 10.4; IHE RAD-48). They book steps of orders, and rarely are an order themselves.

Where an appointment says what is the feed's mapping, as with orders.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Literal

from hl7.ack import FieldRefused
from hl7.attributes import APPOINTMENT_IDS, APPOINTMENT_ORDERS
from hl7.er7 import Message
from hl7.groups import Scope, service_scopes
from hl7.identity import identifier_if_any, patient_identity, visit_info
from hl7.mapping import Reading
from hl7.orders import Effect
from hl7.request import stations_by_rule
from ris.errors import NotOfTheOrder, TransitionNotAllowed, UnknownOrder
from ris.inputs import Actor, AppointmentNotice, Code, Identifier, OrderKey, OrderRequest, ProcedureRequest
from ris.models import Order
from ris.services import appointments, orders

BOOK = ("S12", "S13", "S14")
TAKE_AWAY = ("S15", "S17")
NO_SHOW = ("S26",)

_NOT_OURS = "Not of imaging: the appointment names no order and no procedure of the catalogue; nothing was done"
_AHEAD = "This appointment is not here: when it comes it will not be booked"
_LONGEST_TEXT = 64
_CANCELLED = "CANCELLED"
#: What a notice keeps of where it was found: columns of the step.
_KEPT = frozenset(
    {
        "requested_start",
        "duration_minutes",
        "requested_stations",
        "performing_physician",
        "placer_appointment_id",
        "filler_appointment_id",
    }
)

_Do = Callable[[AppointmentNotice, Actor], Order]
_Without = Callable[[AppointmentNotice], Order | None]


def book(message: Message, reading: Reading, actor: Actor) -> Effect:
    """S12, S13, S14: book or move. One that names no order, but procedures of the catalogue, is the order itself."""
    notices = _notices(message, reading, start=None)

    def as_order(notice: AppointmentNotice) -> Order | None:
        if notice.start == "":
            _ahead(notice, reading, actor)
            return None
        if not appointments.is_imaging(notice.procedure):
            _refuse_or_pass(notice, reading)
            return None
        ours = tuple(other for other in notices if appointments.is_imaging(other.procedure))
        try:
            order = orders.place(_as_request(notice, ours, message, reading), actor)
        except TransitionNotAllowed:  # the order came in this instant, and is canceled: it stays so
            return appointments.keep(notice, actor)
        reading.warn(f"The appointment names no order that is here: it is taken as order {order.accession_number}")
        return appointments.keep(notice, actor)

    return _each(notices, reading, actor, appointments.keep, as_order)


def take_away(message: Message, reading: Reading, actor: Actor) -> Effect:
    """S15, S17: the order stays, to be scheduled again. One before its appointment waits for that."""
    notices = _notices(message, reading, start="")
    return _each(notices, reading, actor, appointments.keep, lambda notice: _ahead(notice, reading, actor))


def no_show(message: Message, reading: Reading, actor: Actor) -> Effect:
    """S26: the patient did not come."""
    return _each(
        _notices(message, reading, start=None),
        reading,
        actor,
        appointments.no_show,
        lambda notice: _refuse_or_pass(notice, reading),
    )


def _ahead(notice: AppointmentNotice, reading: Reading, actor: Actor) -> None:
    """Keep what takes away an appointment that is not here, if it may be ours and the feed's policy is so."""
    if not _is_ours(notice) or reading.policy("cancel_unknown_order") != "keep":
        _refuse_or_pass(notice, reading)
    else:
        appointments.cancel_ahead(notice, actor)
        reading.warn(_AHEAD)


def _each(notices: list[AppointmentNotice], reading: Reading, actor: Actor, do: _Do, without_order: _Without) -> Effect:
    """Carry each notice out; what names no order that is here is dealt with by ``without_order``."""
    touched: list[Order | None] = []
    for notice in notices:
        try:
            touched.append(do(notice, actor))
        except NotOfTheOrder as refused:
            reading.warn(str(refused))
        except UnknownOrder:
            touched.append(without_order(notice))
    return Effect(list({order.pk: order for order in touched if order}.values()))


def _is_ours(notice: AppointmentNotice) -> bool:
    return not notice.procedure or appointments.is_imaging(notice.procedure)


def _refuse_or_pass(notice: AppointmentNotice, reading: Reading) -> None:
    """A scheduling system may tell every appointment of the hospital: what is not of imaging is no fault (#057)."""
    if _is_ours(notice):
        places = dict.fromkeys(place for name in APPOINTMENT_IDS + APPOINTMENT_ORDERS for place in reading.paths(name))
        unknown = f"This appointment ({', '.join(places)}) names no order that is here"
        raise UnknownOrder(unknown if notice.procedure else f"{unknown}, and no procedure")
    reading.warn(_NOT_OURS)


def _as_request(
    notice: AppointmentNotice, services: tuple[AppointmentNotice, ...], message: Message, reading: Reading
) -> OrderRequest:
    """The order that an appointment is: a procedure for each of its services that the catalogue has."""
    named = notice.orders[0]
    patient, visit = patient_identity(message, reading), visit_info(message, reading)
    return OrderRequest(
        patient=patient,
        sender=reading.sender,
        placer_order_number=named.placer_order_number or notice.placer_id,
        filler_order_number=named.filler_order_number or notice.filler_id,
        visit=visit,
        procedures=tuple(_procedure(service.procedure, reading) for service in services),
        provenance=visit.provenance,
    )


def _procedure(code: Code, reading: Reading) -> ProcedureRequest:
    found = dict.fromkeys(("code_value", "description"), next(iter(reading.paths("appointment_procedure")), ""))
    return ProcedureRequest(code=code, description=code.meaning[:_LONGEST_TEXT], provenance=found)


def _notices(message: Message, reading: Reading, *, start: Literal[""] | None) -> list[AppointmentNotice]:
    """One for each AIS, for each is of a procedure; without an AIS one of the whole appointment."""
    patient = identifier_if_any(message, reading)
    scopes = service_scopes(message)
    notices = [_notice(scope, patient, reading, start, len(scopes)) for scope in scopes]
    codes = tuple(notice.procedure for notice in notices)
    return [replace(notice, services=codes, position=number) for number, notice in enumerate(notices)]


def _notice(
    scope: Scope, patient: Identifier, reading: Reading, start: Literal[""] | None, services: int
) -> AppointmentNotice:
    reading.provenance()  # what was found of another service is not this one's
    placer_id, filler_id = _appointment_ids(scope, reading)
    facts: dict[str, Any] = {
        "orders": tuple(_keys(scope, patient, reading)),
        "procedure": reading.find(scope, "appointment_procedure") or Code(),
        "start": _start(scope, reading, start, services),
        "duration_minutes": reading.find(scope, "appointment_duration"),
        "resources": _resources(scope, reading),
        "performing_physician": reading.find(scope, "performing_physician"),
    }
    return AppointmentNotice(placer_id=placer_id, filler_id=filler_id, **facts, provenance=_kept(reading.provenance()))


def _kept(found: Mapping[str, str]) -> dict[str, str]:
    found = dict(found)
    if by_rule := found.pop("station_ae_titles", ""):
        found["requested_stations"] = by_rule
    return {name: place for name, place in found.items() if name in _KEPT}


def _appointment_ids(scope: Scope, reading: Reading) -> tuple[Identifier, Identifier]:
    """FieldRefused without either, as where SCH is missing (#008)."""
    placer, filler = (reading.find(scope, name) or Identifier() for name in APPOINTMENT_IDS)
    if not (placer or filler):
        places = [place for name in APPOINTMENT_IDS for place in reading.paths(name)]
        location = scope.location(places[0]) if places else "SCH^1^1"
        raise FieldRefused("101", location, f"{' and '.join(places)} (appointment IDs) are empty or missing")
    return placer, filler


def _keys(scope: Scope, patient: Identifier, reading: Reading) -> list[OrderKey]:
    """What may name the order, best first; one without numbers if the appointment names none."""
    placers, fillers = (reading.every(scope, name) for name in APPOINTMENT_ORDERS)
    pairs = list(zip_longest(placers, fillers)) or [(None, None)]
    return [
        OrderKey(
            sender=reading.sender,
            placer_order_number=placer or Identifier(),
            filler_order_number=filler or Identifier(),
            patient=patient,
        )
        for placer, filler in pairs
    ]


def _start(scope: Scope, reading: Reading, start: Literal[""] | None, services: int) -> Any:
    """That of the service itself counts more than that of the appointment where there are several. Taken away it is
    empty: by the event, or by SCH-25 of one that is booked or changed.
    """
    gone = "MSH-9.2" if start is not None else ""
    if (reading.find(scope, "appointment_status") or "").upper() == _CANCELLED:
        gone = gone or reading.place("appointment_status")
    if gone:
        reading.note("appointment_start", gone, scope, "")
        return ""
    own = Scope(scope.all("AIS")) if services > 1 else Scope()
    return reading.start(own, "appointment_start") or reading.start(scope, "appointment_start") or None


def _resources(scope: Scope, reading: Reading) -> tuple[str, ...]:
    """The stations of the feed's rule that fits, else every word that may be the name of a room or a scanner."""
    by_rule = stations_by_rule(scope, reading)
    words = (word for found in reading.each(scope, "appointment_resources") for word in found)
    return by_rule or tuple(dict.fromkeys(words))
