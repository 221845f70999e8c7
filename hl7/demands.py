"""What a message must and must not say to be taken: the ``required`` and ``forbidden`` lines of its feed's mapping.

A line is a field or an attribute, ``PV1-3.1 if MSH-9.2 = A01``. One that asks for MSH-9 is of the messages it names,
every other one is of what is ordered: it is asked of each step of each order that is placed or changed.
"""

from collections.abc import Iterable

from hl7.ack import FieldRefused
from hl7.attributes import IDENTITY, NAMES
from hl7.er7 import Message
from hl7.groups import OrderGroup, Scope, order_groups, step_scopes
from hl7.mapping import Reading
from hl7.rules import Demand

_ORDERS = ("ORM", "OMI", "OMG")
_OF_EVERY_ORDER = ("MSH-", "ORC-1.")


def check_message(message: Message, reading: Reading) -> None:
    """Refuse a message that lacks what its type and event call for. Of orders, which may be canceled with little more
    than their number, only MSH and ORC-1 are looked at here.
    """
    lines = [line for line in reading.rules.required if line.is_of_messages]
    scopes = [Scope(message.segments)]
    if message.header.component(9, 1).upper() in _ORDERS:
        lines = [line for line in lines if line.name.startswith(_OF_EVERY_ORDER)]
        scopes = [group.scope for group in order_groups(message)] or scopes
    for scope in scopes if lines else []:
        _check(scope, lines, reading)


def check_order(group: OrderGroup, reading: Reading) -> None:
    """Refuse an order with a step that lacks what the feed's rules call for, or says what they forbid."""
    for scope in (step for procedure in group.procedures for step in step_scopes(procedure)):
        _check(scope, reading.rules.required, reading)
        for line in reading.rules.forbidden:
            if line.holds(scope) and scope.value(line.name):
                raise FieldRefused("102", scope.location(line.name), f"{line.name} may not be said in this message")


def _check(scope: Scope, lines: Iterable[Demand], reading: Reading) -> None:
    for line in lines:
        if line.holds(scope) and not _is_said(scope, line.name, reading):
            path = next(iter(reading.paths(line.name)), "") if line.name in NAMES else line.name
            what = line.name if not path else path if path == line.name else f"{path} ({line.name.replace('_', ' ')})"
            raise FieldRefused("101", scope.location(path) if path else "", f"{what} is missing")
    reading.provenance()  # what was looked up here is looked up again where it belongs


def _is_said(scope: Scope, name: str, reading: Reading) -> bool:
    if name not in NAMES:
        return bool(scope.value(name))
    if name in IDENTITY:
        return any(scope.value(path) for path in reading.paths(name))
    return bool(reading.find(scope, name))
