"""Messages that came at the same time: new orders are carried out together, in one transaction with one commit.

That is only how they are written (ris.services.together): each is read, placed and answered by the same functions as
one alone. If anything at all is in the way, nothing is done together and each is processed by itself.
"""

import logging
from collections.abc import Sequence
from itertools import groupby

from django.db import InterfaceError, OperationalError, transaction

from hl7 import demands, orders, receive
from hl7.arrival import Arrival
from hl7.models import InboundMessage
from hl7.ordering import Request
from ris.services import together

logger = logging.getLogger(__name__)


def process_all(arrivals: Sequence[Arrival]) -> list[InboundMessage]:
    """What became of each, in their order; see receive.process."""
    kept: list[InboundMessage] = []
    for are_orders, found in groupby(arrivals, _is_order):
        run = list(found)
        kept += (_together(run) if are_orders else None) or [receive.process(arrival) for arrival in run]
    return kept


def _is_order(arrival: Arrival) -> bool:
    kind = tuple(arrival.header.component(9, number).upper() for number in (1, 2))
    return receive.HANDLERS.get(kind) is orders.handle  # type: ignore[arg-type]


def _together(run: Sequence[Arrival]) -> list[InboundMessage] | None:
    """None, and nothing done, unless all of them place new orders and all goes well."""
    if not together.is_possible():
        return None
    try:
        wanted = [_requests(arrival) for arrival in run]
        placed = [request.order for requests in wanted for request in requests]
        with transaction.atomic(), receive.without_savepoints(), together.placing(placed):
            return [
                receive.accept(arrival, orders.carry_out(requests))
                for arrival, requests in zip(run, wanted, strict=True)
            ]
    except (OperationalError, InterfaceError) as error:
        if not receive.is_deadlock(error):
            raise
    except Exception as error:  # noqa: BLE001 - a repeat, a refusal, a race or a fault: receive.process finds out which
        logger.debug("HL7 in: %s messages are processed one by one: %s", len(run), type(error).__name__)
    return None


def _requests(arrival: Arrival) -> list[Request]:
    """The orders that a message places; NotNew if it does anything else."""
    receive.read(arrival)
    assert arrival.message
    reading = receive.begin_reading(arrival)
    demands.check_message(arrival.message, reading)
    requests = orders.requests(arrival.message, reading, receive.actor_of(arrival))
    if not all(orders.places(request) for request in requests):
        raise together.NotNew
    return requests
