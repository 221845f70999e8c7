"""Orders: ORM^O01, and OMI^O23 and OMG^O19, which carry the same groups (HL7 v2.5.1 4.4; IHE RAD-2, RAD-4, RAD-13)."""

from dataclasses import dataclass, field

from hl7.ack import FieldRefused
from hl7.er7 import Message
from hl7.groups import OrderGroup, Scope, order_groups
from hl7.identity import comments, identifier_if_any, patient_identity, visit_info
from hl7.mapping import Reading
from hl7.request import order_key, order_numbers, order_request
from ris import selectors
from ris.errors import UnknownOrder
from ris.inputs import Actor, OrderRequest
from ris.models import Order
from ris.services import orders


@dataclass
class Effect:
    """What a message did: the orders that it touched, for the links of the message store."""

    orders: list[Order] = field(default_factory=list)


@dataclass(frozen=True)
class _Request:
    message: Message
    group: OrderGroup
    reading: Reading
    actor: Actor

    @property
    def scope(self) -> Scope:
        return self.group.scope


def _place(request: _Request) -> Order | None:
    order = orders.place(_order_request(request), request.actor)
    _tell_obstacles(order, request.reading)
    return order


def _change(request: _Request) -> Order | None:
    """XO. One for an order that never came is taken as the order itself."""
    wanted = _order_request(request)
    try:
        order = orders.change(wanted, request.actor)
    except UnknownOrder:
        request.reading.warn("ORC-1 XO names an order that was not here: taken as a new order")
        order = orders.place(wanted, request.actor)
    _tell_obstacles(order, request.reading)
    return order


def _cancel(request: _Request) -> Order | None:
    """CA, which may come without PID (#046)."""
    patient = identifier_if_any(request.message, request.reading)
    key = order_key(request.group, patient, request.reading)
    reason = request.reading.find(request.scope, "cancel_reason") or comments(request.scope.all("NTE")) or ""
    return orders.cancel(key, request.actor, reason[:250])


def _status(request: _Request) -> Order | None:
    """SC. Some systems send their orders as SC with ORC-5 SC or nothing (#032, #038); a cancellation may be one too."""
    status = (request.scope.value("ORC-5.1") or "").upper()
    if status in ("", "SC"):
        return _place(request)
    if status in ("CA", "DC"):
        return _cancel(request)
    request.reading.warn(f"ORC-1 SC with ORC-5 {status[:8]} changes nothing: Sunview itself says how far the exam is")
    return None


def _reply(request: _Request) -> Order | None:
    """An answer to something that we did not ask (#019, #063)."""
    control = request.scope.value("ORC-1.1") or ""
    request.reading.warn(f"ORC-1 {control} is a reply: it changes nothing")
    return None


#: Order control codes (ORC-1, table 0119) that are taken, and what each does.
ORDER_CONTROL = {
    "NW": _place,
    "XO": _change,
    "CA": _cancel,
    "OC": _cancel,
    "DC": _cancel,
    "SC": _status,
    **dict.fromkeys(("OK", "XR", "XX", "CR", "DR", "OR", "RE", "NA", "UA", "UC", "UD", "UX"), _reply),
}


def handle(message: Message, reading: Reading, actor: Actor) -> Effect:
    """Carry out every order group of the message; whatever is refused refuses all of it."""
    groups = order_groups(message)
    if not groups:
        raise FieldRefused("100", "ORC^1", "There is no ORC segment in this order message")
    touched = [_carry_out(_Request(message, group, reading, actor)) for group in groups]
    return Effect(list({order.pk: order for order in touched if order}.values()))


def numbers_named(message: Message, reading: Reading) -> list[str]:
    """Placer, filler and accession numbers in the message, to find it by, whatever became of it."""
    numbers: list[str] = []
    for group in order_groups(message):
        numbers += [identifier.value for identifier in order_numbers(group.scope)]
        numbers += [reading.find(group.scope, "accession_number") or ""]
    return list(dict.fromkeys(number for number in numbers if number))


def _carry_out(request: _Request) -> Order | None:
    control = (request.scope.value("ORC-1.1") or "").upper()
    location = request.scope.location("ORC-1")
    if not control:
        raise FieldRefused("101", location, "ORC-1 (order control) is empty")
    action = ORDER_CONTROL.get(control)
    if action is None:
        taken = " ".join(code for code, does in ORDER_CONTROL.items() if does is not _reply)
        raise FieldRefused("103", location, f"ORC-1 (order control) {control[:8]} is not taken; taken are {taken}")
    return action(request)


def _order_request(request: _Request) -> OrderRequest:
    identity = patient_identity(request.message, request.reading)
    visit = visit_info(request.message, request.reading)
    return order_request(request.group, identity, visit, request.reading)


def _tell_obstacles(order: Order, reading: Reading) -> None:
    """Say in the AA, before anything else, what keeps the order's exams off every worklist."""
    for step in selectors.steps().filter(requested_procedure__order=order):
        for obstacle in selectors.worklist_obstacles(step):
            reading.warn_first(f"Accession {order.accession_number} is on no worklist: {obstacle}")
