"""What the tests of the outbox share: a destination with what it is told, and an outbox at work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hl7.destinations import OFFERED, Kind
from hl7.models import Destination, OutboundMessage
from hl7.send import Outbox, Policy

QUICK = Policy(poll=0.02, first_retry=0.02, longest_retry=0.1, answer=2.0)
TRIES = 3
State = OutboundMessage.State


def destination(
    address: tuple[str, int], name: str = "HIS", kinds: tuple[Kind, ...] = (Kind.ORDER_STATUS,), **rules: Any
) -> Destination:
    """A destination that is told these kinds, each in its first form."""
    to = Destination.objects.create(name=name, host=address[0], port=address[1], **{"tries": TRIES, **rules})
    for kind in kinds:
        to.subscriptions.create(kind=kind, structure=next(iter(OFFERED[kind])), version="2.5.1")
    return to


@contextmanager
def sending() -> Iterator[Outbox]:
    """An outbox at work in a thread."""
    stop = threading.Event()
    outbox = Outbox(stop, QUICK)
    thread = threading.Thread(target=outbox.run)
    thread.start()
    try:
        yield outbox
    finally:
        stop.set()
        thread.join(20)


def count(state: str) -> int:
    return OutboundMessage.objects.filter(state=state).count()


def taken() -> int:
    return count(State.TAKEN)
