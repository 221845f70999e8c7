"""An order message as what it asks for: its order groups, each with the patient and all that it takes to do it."""

from dataclasses import dataclass, replace
from functools import cached_property

from hl7 import spoken
from hl7.ack import FieldRefused
from hl7.control import Action, action_of
from hl7.er7 import Message
from hl7.groups import OrderGroup, Scope, is_mixed, joined, order_groups, patient_groups
from hl7.identity import patient_identity, visit_info
from hl7.mapping import Reading
from hl7.request import order_numbers, order_request, parent_request
from ris.inputs import Actor, OrderRequest, PatientIdentity, VisitInfo


@dataclass(frozen=True)
class Request:
    """One order group, on its way."""

    message: Message
    group: OrderGroup
    reading: Reading
    actor: Actor
    others: tuple[OrderGroup, ...]

    @property
    def scope(self) -> Scope:
        return self.group.scope

    def warn(self, sentence: str) -> None:
        self.reading.warn(sentence)

    def control_of(self, group: OrderGroup) -> str:
        return self.reading.order_control(group.scope)[0]

    @cached_property
    def order(self) -> OrderRequest:
        """All that the group says. FieldRefused for what is missing or is not what it must be."""
        return order_request(self.group, *self._of(), self.reading)

    @property
    def parent(self) -> OrderRequest:
        """What the group says of the order alone."""
        return parent_request(self.group, *self._of(), self.reading)

    def _of(self) -> tuple[PatientIdentity, VisitInfo]:
        return patient_identity(self.message, self.reading), visit_info(self.message, self.reading)


def requests(message: Message, reading: Reading, actor: Actor) -> list[Request]:
    """The message's order groups, each for the patient before it; FieldRefused if it has none."""
    if is_mixed(message):
        raise FieldRefused("100", "PID^2", "There are several PID segments, and an ORC before the first of them")
    return [request for part in patient_groups(message) for request in _requests(part, reading, actor)]


def _requests(message: Message, reading: Reading, actor: Actor) -> list[Request]:
    groups = tuple(order_groups(message))
    if not groups:
        raise FieldRefused("100", "ORC^1", "There is no ORC segment in this order message")
    if len(groups) > 1:
        groups = tuple(joined(groups, lambda group: _same_order(group, reading)))
    times = [spoken.order_time(group.scope, actor.said_at) for group in groups]
    return [
        Request(message, group, reading, replace(actor, said_at=at), groups)
        for group, at in zip(groups, times, strict=True)
    ]


def _same_order(group: OrderGroup, reading: Reading) -> tuple[str, ...] | None:
    """What groups of one message have in common that order or change the same; None for another action."""
    control, status = reading.order_control(group.scope)
    number = order_numbers(group.scope, reading)[0]
    if not number or action_of(control, status) not in (Action.PLACE, Action.SCHEDULED, Action.CHANGE):
        return None
    return control, status, number.value, number.issuer
