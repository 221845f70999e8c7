"""Orders: ORM^O01, and OMI^O23 and OMG^O19, which carry the same groups (HL7 v2.5.1 4.4; IHE RAD-2, RAD-4, RAD-13).

What an order group does is one row of ``hl7/control.py``; here is how each is done. Which message counts when they
overtake each other is ``ris/services/precedence.py``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from hl7.ack import FieldRefused
from hl7.attributes import APPOINTMENT_IDS, APPOINTMENT_ORDERS
from hl7.control import TAKEN, Action, action_of
from hl7.er7 import Message
from hl7.groups import order_groups, report_groups, service_scopes
from hl7.identity import identifier_if_any
from hl7.mapping import Reading
from hl7.ordering import Request, requests
from hl7.request import order_key, order_numbers
from ris import selectors
from ris.errors import CancelRefused, Refusal, UnknownOrder
from ris.inputs import Actor, Identifier, OrderKey
from ris.models import Order, Patient
from ris.services import order_numbers as numbers
from ris.services import orders, parents, planning, precedence


@dataclass
class Effect:
    """What a message did: the orders that it touched, or the patient, for the links of the message store."""

    orders: list[Order] = field(default_factory=list)
    patient: Patient | None = None

    @property
    def patient_pk(self) -> int | None:
        """Whom the message was about."""
        return self.orders[0].patient_id if self.orders else self.patient.pk if self.patient else None


def _place(request: Request) -> Order | None:
    return _told(request, orders.place(request.order, request.actor))


def _place_held(request: Request) -> Order | None:
    """NW that is on hold from its beginning; an order that was canceled stays so."""
    order = _place(request)
    return order if order is None or order.canceled_at is not None else _hold(request)


def _scheduled(request: Request) -> Order | None:
    """SC as NW (#032, #038), unless the feed's policy is that a status makes no order."""
    if request.reading.policy("status_creates_order") == "yes":
        return _place(request)
    return _told(request, orders.change(request.order, request.actor))


def _change(request: Request) -> Order | None:
    """XO. One for an order that never came makes a provisional one, if the feed's policy is so."""
    wanted = request.order
    try:
        order = orders.change(wanted, request.actor)
    except UnknownOrder:
        if request.reading.policy("change_unknown_order") != "place":
            raise
        request.warn("ORC-1 XO names an order that was not here: taken as a new order, provisional until that comes")
        order = orders.place(wanted, request.actor, provisional=True)
    return _told(request, order)


def _cancel(request: Request) -> Order | None:
    """CA, which may come without PID (#046), and before its order."""
    key, reason = _key(request), _reason(request)
    try:
        return orders.cancel(key, request.actor, reason)
    except UnknownOrder:
        if request.reading.policy("cancel_unknown_order") != "keep":
            raise
        order = orders.cancel_ahead(key, request.actor, reason)
        if order is None:
            request.warn(f"No order here has the number {numbers.spelled(key)}: it will be canceled when it comes")
        return order


def _replace(request: Request) -> Order | None:
    """RP: the old order is canceled. Where its own number comes again behind it, that is a change."""
    key = _key(request)
    following = [group for group in request.others if request.control_of(group) == "RO"]
    if not following:
        request.warn("ORC-1 RP without an RO behind it: the order is canceled and nothing takes its place")
    same = {order_numbers(group.scope, request.reading)[0].value for group in following}
    if key.placer_order_number.value in same - {""}:
        return None
    return _cancel(request)


def _hold(request: Request) -> Order | None:
    return orders.hold(_key(request), request.actor, _reason(request))


def _release(request: Request) -> Order | None:
    return orders.release(_key(request), request.actor)


def _parent(request: Request) -> Order | None:
    """PA: kept without exams, so that it is on no worklist; its children are orders of their own."""
    if request.message["PID"] is None:
        request.warn("ORC-1 PA without PID: a parent order of nobody is not kept")
        return None
    if not any(request.control_of(group) == "CH" for group in request.others):
        request.warn("ORC-1 PA without a CH: a parent order is on no worklist, its children are")
    return orders.place(request.parent, request.actor)


def _child(request: Request) -> Order | None:
    """CH: the order, linked with its parent, which is awaited if it is not here yet."""
    wanted = request.order
    if parent := _parent_key(request):
        parents.await_parent(parent, wanted.patient, request.actor)
    return _told(request, orders.place(replace(wanted, parent=parent), request.actor))


def _parent_key(request: Request) -> OrderKey | None:
    """ORC-8 (EIP: placer number, filler number, each of subcomponents), else the PA before it in the message."""
    orc = request.scope.first("ORC")
    assert orc is not None
    parts = [[orc.value(8, 1, component, sub) or "" for sub in (1, 2)] for component in (1, 2)]
    placer, filler = (Identifier(*part) for part in parts)
    if not (placer or filler):
        before = takewhile(lambda group: group is not request.group, request.others)
        parents = [group for group in before if request.control_of(group) == "PA"]
        if not parents:
            return None
        placer, filler = order_numbers(parents[-1].scope, request.reading)
    return OrderKey(sender=request.reading.sender, placer_order_number=placer, filler_order_number=filler)


def _send_number(request: Request) -> Order | None:
    order = _place(request)
    assert order is not None
    request.reading.warn_first(f"The filler order number is {order.filler_order_number or order.accession_number}")
    return order


def _take_number(request: Request) -> Order | None:
    placer, filler = order_numbers(request.scope, request.reading)
    if not (placer and filler):
        return _reply(request)
    key = OrderKey(sender=request.reading.sender, filler_order_number=filler)
    return orders.assign_placer_number(key, placer, request.actor)


def _status(request: Request) -> Order | None:
    status = request.scope.value("ORC-5.1") or ""
    control = request.scope.value("ORC-1.1") or ""
    request.warn(
        f"ORC-1 {control[:8]} with ORC-5 {status[:8]} changes nothing: Sunview itself says how far the exam is"
    )
    return None


def _reply(request: Request) -> Order | None:
    """An answer to something that we did not ask (#019, #063)."""
    control = request.scope.value("ORC-1.1") or ""
    request.warn(f"ORC-1 {control[:8]} is a reply: it changes nothing")
    return None


_ACTIONS: dict[Action, Callable[[Request], Order | None]] = {
    Action.PLACE: _place,
    Action.PLACE_HELD: _place_held,
    Action.SCHEDULED: _scheduled,
    Action.CHANGE: _change,
    Action.CANCEL: _cancel,
    Action.REPLACE: _replace,
    Action.HOLD: _hold,
    Action.RELEASE: _release,
    Action.PARENT: _parent,
    Action.CHILD: _child,
    Action.SEND_NUMBER: _send_number,
    Action.TAKE_NUMBER: _take_number,
    Action.STATUS: _status,
    Action.REPLY: _reply,
}


def handle(message: Message, reading: Reading, actor: Actor) -> Effect:
    """Carry out every order group of the message; whatever is refused refuses all of it."""
    return carry_out(requests(message, reading, actor))


def carry_out(wanted: Sequence[Request]) -> Effect:
    """Do what each group asks for; whatever is refused refuses all of it."""
    touched = [_carry_out(request) for request in wanted]
    return Effect(list({order.pk: order for order in touched if order}.values()))


def places(request: Request) -> bool:
    """Whether the group places an order and does nothing else."""
    return action_of(*request.reading.order_control(request.scope)) is Action.PLACE


def tell_refused(refused: Refusal, actor: Actor) -> Effect:
    """Keep what must be seen of a refusal, after it was rolled back: that an order was not canceled any more."""
    if not isinstance(refused, CancelRefused):
        return Effect()
    return Effect([orders.tell_refused_cancel(refused.order_pk, actor, str(refused))])


def numbers_named(message: Message, reading: Reading) -> list[str]:
    """Placer, filler, accession and appointment numbers in the message, to find it by, whatever became of it."""
    found: list[str] = []
    for scope in [group.scope for group in order_groups(message)] or report_groups(message):
        found += [identifier.value for identifier in order_numbers(scope, reading)]
        found += [reading.find(scope, "accession_number") or ""]
    for scope in service_scopes(message) if message["SCH"] or message["AIS"] else []:
        for attribute in APPOINTMENT_ORDERS + APPOINTMENT_IDS:
            found += [number.value for number in reading.every(scope, attribute)]
    return list(dict.fromkeys(number for number in found if number))


def _carry_out(request: Request) -> Order | None:
    control, status = request.reading.order_control(request.scope)
    location = request.scope.location("ORC-1")
    if not control and not (status and numbers.candidates(_key(request)).exists()):
        raise FieldRefused("101", location, "ORC-1 (order control) is empty, and ORC-5 is of no order that is here")
    action = action_of(control, status)
    if action is None:
        sentence = f"ORC-1 (order control) {control[:8]} is not taken; taken are {' '.join(TAKEN)}"
        if request.reading.policy("unknown_order_control") == "refuse":
            raise FieldRefused("103", location, sentence)
        request.warn(sentence)
        return None
    return _ACTIONS[action](request)


def _key(request: Request) -> OrderKey:
    patient = identifier_if_any(request.message, request.reading)
    return order_key(request.group, patient, request.reading)


def _reason(request: Request) -> str:
    reading = request.reading
    reason = reading.find(request.scope, "cancel_reason") or reading.joined(request.scope, "comments", "\n") or ""
    return reason[:250]


def _told(request: Request, order: Order) -> Order:
    """Say in the AA, before anything else, what keeps the order's exams off every worklist."""
    if precedence.is_overtaken(order, request.actor):
        request.warn("A later message spoke of this order: only what it left open was taken from this one")
    if order.canceled_at is not None:
        request.reading.warn_first(f"Accession {order.accession_number} is canceled and stays so")
        return order
    for step in planning.off_worklists(order):
        for obstacle in selectors.worklist_obstacles(step):
            request.reading.warn_first(f"Accession {order.accession_number} is on no worklist: {obstacle}")
    return order
