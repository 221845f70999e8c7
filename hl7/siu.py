"""Appointments: SIU (HL7 v2.5.1 10.4; IHE RAD-48). They book steps of orders, and rarely are an order themselves."""

from datetime import datetime
from typing import Literal

from hl7 import datatypes, spoken
from hl7.ack import FieldRefused
from hl7.er7 import Message, Segment
from hl7.groups import Scope
from hl7.identity import identifier_if_any, patient_identity, visit_info
from hl7.mapping import Reading
from hl7.orders import Effect
from ris.errors import UnknownOrder
from ris.inputs import Actor, AppointmentNotice, Code, Identifier, OrderKey, OrderRequest, ProcedureRequest
from ris.models import Order
from ris.services import appointments, orders

BOOK = ("S12", "S13", "S14")
TAKE_AWAY = ("S15", "S17")
NO_SHOW = ("S26",)

_MINUTES = frozenset(("", "M", "MIN", "MINUTE", "MINUTES"))
_NOT_OURS = "Not of imaging: the appointment names no order and no procedure of the catalogue; nothing was done"
_UNKNOWN = "This appointment (SCH-1, SCH-2, SCH-26, SCH-27, AIS-10) names no order that is here"


def book(message: Message, reading: Reading, actor: Actor) -> Effect:
    """S12, S13, S14: book or move. One that names no order, but a procedure of the catalogue, is the order itself."""
    effects: list[Order] = []
    for notice in _notices(message, reading, start=None):
        try:
            effects.append(appointments.keep(notice, actor))
        except UnknownOrder:
            effects += _without_order(notice, message, reading, actor)
    return _effect(effects)


def take_away(message: Message, reading: Reading, actor: Actor) -> Effect:
    """S15, S17: the order stays, to be scheduled again."""
    effects: list[Order] = []
    for notice in _notices(message, reading, start=""):
        try:
            effects.append(appointments.keep(notice, actor))
        except UnknownOrder:
            _refuse_or_pass(notice, reading)
    return _effect(effects)


def no_show(message: Message, reading: Reading, actor: Actor) -> Effect:
    """S26: the patient did not come."""
    effects: list[Order] = []
    for notice in _notices(message, reading, start=None):
        try:
            effects.append(appointments.no_show(notice, actor))
        except UnknownOrder:
            _refuse_or_pass(notice, reading)
    return _effect(effects)


def _effect(touched: list[Order]) -> Effect:
    return Effect(list({order.pk: order for order in touched}.values()))


def _refuse_or_pass(notice: AppointmentNotice, reading: Reading) -> None:
    """A scheduling system may tell every appointment of the hospital: what is not of imaging is no fault (#057)."""
    if not notice.procedure or appointments.is_imaging(notice.procedure):
        raise UnknownOrder(_UNKNOWN if notice.procedure else f"{_UNKNOWN}, and no procedure (AIS-3)")
    reading.warn(_NOT_OURS)


def _without_order(notice: AppointmentNotice, message: Message, reading: Reading, actor: Actor) -> list[Order]:
    if not appointments.is_imaging(notice.procedure):
        _refuse_or_pass(notice, reading)
        return []
    named = notice.orders[0]
    request = OrderRequest(
        patient=patient_identity(message, reading),
        sender=reading.sender,
        placer_order_number=named.placer_order_number or notice.placer_id,
        filler_order_number=named.filler_order_number or notice.filler_id,
        visit=visit_info(message, reading),
        procedures=(ProcedureRequest(code=notice.procedure, description=notice.procedure.meaning[:64]),),
    )
    order = orders.place(request, actor)
    reading.warn(f"The appointment names no order that is here: it is taken as order {order.accession_number}")
    return [appointments.keep(notice, actor)]


def _notices(message: Message, reading: Reading, *, start: Literal[""] | None) -> list[AppointmentNotice]:
    """One for each AIS, for each is of a procedure; without an AIS one of the whole appointment."""
    sch = message["SCH"]
    if sch is None:
        raise FieldRefused("101", "SCH^1^1", "There is no SCH segment in this appointment message")
    services: list[Segment | None] = [segment for segment in message.segments if segment.name == "AIS"]
    patient = identifier_if_any(message, reading)
    return [_notice(message, sch, ais, patient, reading, start, len(services)) for ais in services or [None]]


def _notice(
    message: Message,
    sch: Segment,
    ais: Segment | None,
    patient: Identifier,
    reading: Reading,
    start: Literal[""] | None,
    services: int,
) -> AppointmentNotice:
    placer_id, filler_id = (datatypes.entity(sch, number) for number in (1, 2))
    if not (placer_id or filler_id):
        raise FieldRefused("101", "SCH^1^1", "SCH-1 and SCH-2 (appointment IDs) are empty")
    own = spoken.usable_time(*(ais.value(number, 1, 1) for number in (4, 5))) if ais else None
    shared = _start(message, sch)
    return AppointmentNotice(
        orders=tuple(_keys(sch, ais, patient, reading)),
        placer_id=placer_id,
        filler_id=filler_id,
        procedure=datatypes.code(ais, 3) if ais else Code(),
        start=start if start is not None else (own or shared) if services > 1 else (shared or own),
        duration_minutes=_duration(sch),
        resources=_resources(message),
    )


def _keys(sch: Segment, ais: Segment | None, patient: Identifier, reading: Reading) -> list[OrderKey]:
    """What may name the order, best first: SCH-26 and SCH-27, AIS-10 (#008), then the appointment's own IDs."""
    pairs = [(datatypes.entity(sch, 26), datatypes.entity(sch, 27))]
    if ais:
        pairs.append((datatypes.entity(ais, 10), Identifier()))
    pairs += [(datatypes.entity(sch, 1), Identifier()), (Identifier(), datatypes.entity(sch, 2))]
    return [
        OrderKey(sender=reading.sender, placer_order_number=placer, filler_order_number=filler, patient=patient)
        for placer, filler in pairs
    ]


def _start(message: Message, sch: Segment) -> datetime | None:
    """SCH-11.4, TQ1-7, and SCH-10.4 of a message that is shifted by one (#057)."""
    return spoken.usable_time(sch.value(11, 1, 4), Scope(message.segments).value("TQ1-7.1"), sch.value(10, 1, 4))


def _duration(sch: Segment) -> int | None:
    """SCH-9 in minutes."""
    number, unit = datatypes.decimal(sch.value(9, 1, 1) or ""), (sch.value(10, 1, 1) or "").upper()
    return int(number) if number and unit in _MINUTES and 0 < number <= 24 * 60 else None


def _resources(message: Message) -> tuple[str, ...]:
    """Every word of AIL-3 and AIG-3 that may be the name of a room or a scanner."""
    segments = [segment for segment in message.segments if segment.name in ("AIL", "AIG")]
    words = (segment.value(3, 1, number) for segment in segments for number in range(1, 5))
    return tuple(dict.fromkeys(datatypes.line(word) for word in words if word))
