"""A message's way: raw -> stored -> dispatched -> answered, in one transaction (DESIGN section 4).

The raw message, its effect and its answer become durable together; only then is it answered. A refusal rolls back the
effect, not the message. Without a database nothing is answered, so that the sender repeats.
"""

import hashlib
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction

from hl7 import ack, adt, orders
from hl7.ack import FieldRefused, MessageRejected, Verdict
from hl7.er7 import Message
from hl7.framing import Abandoned, Frame, Oversized
from hl7.header import Er7Error, Header
from hl7.mapping import Reading
from hl7.models import HEADER_LENGTH, Feed, InboundMessage
from hl7.orders import Effect
from ris.errors import Refusal
from ris.inputs import Actor

logger = logging.getLogger(__name__)

Handler = Callable[[Message, Reading, Actor], Effect]
Outcome = InboundMessage.Outcome

#: (MSH-9.1, MSH-9.2) -> what is done.
HANDLERS: dict[tuple[str, str], Handler] = {
    ("ORM", "O01"): orders.handle,
    ("OMI", "O23"): orders.handle,
    ("OMG", "O19"): orders.handle,
    **{("ADT", event): adt.register for event in adt.REGISTER},
    **{("ADT", event): adt.merge for event in adt.MERGE},
}
_SENDER_LENGTH = 128


class _Repeated(Exception):
    """Another transaction was the first with this control ID."""


class _Conflict(Exception):
    """The control ID was used before for a message with another content."""

    def __init__(self, control_id: str) -> None:
        sentence = f"MSH-10 {control_id} was used before for a message with another content"
        self.refused = MessageRejected("205", "MSH^1^10", sentence)


@dataclass
class Arrival:
    """A message on its way. ``codec`` is what its text was read with, Latin-1 while that is not known."""

    raw: bytes
    peer: str
    header: Header
    feed: Feed | None = None
    message: Message | None = None

    @property
    def codec(self) -> str:
        return self.message.codec if self.message else "latin-1"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def text(self, number: int) -> str:
        return self.header.text(number, self.codec)

    @property
    def sender(self) -> str:
        return f"{self.text(3)}|{self.text(4)}"

    def row(self, outcome: str, **facts: object) -> InboundMessage:
        """The message as it is kept."""
        return InboundMessage(
            feed=self.feed,
            peer=self.peer,
            raw=self.raw,
            sha256=self.sha256,
            message_type=self.text(9)[:HEADER_LENGTH],
            control_id=self.text(10)[:HEADER_LENGTH],
            sending_application=self.text(3)[:HEADER_LENGTH],
            sending_facility=self.text(4)[:HEADER_LENGTH],
            outcome=outcome,
            **facts,
        )


def receive(event: Frame | Abandoned | Oversized, peer: str) -> bytes | None:
    """Keep what came, carry it out, and give the answer; None if there is nothing that could be answered.

    OperationalError or InterfaceError when the database cannot be reached: then nothing may be answered. Called on
    threads that each keep their database connection; one that broke is given up.
    """
    connection.health_check_done = False  # type: ignore[attr-defined]
    connection.close_if_health_check_failed()
    try:
        return _receive(event, peer)
    except (OperationalError, InterfaceError):
        connection.close()
        raise


def _receive(event: Frame | Abandoned | Oversized, peer: str) -> bytes | None:
    began = time.monotonic()
    raw = event.head if isinstance(event, Oversized) else event.payload
    header = Header.find(raw)
    if header is None or isinstance(event, Abandoned):
        why = "was cut off by the start of another" if isinstance(event, Abandoned) else "has no MSH that can be read"
        _keep_unreadable(raw, peer, header, f"The message {why}")
        return None
    arrival = Arrival(raw, peer, header)
    if isinstance(event, Oversized):
        kept = _refuse(arrival, MessageRejected("207", "", "The message is larger than what is taken"))
    else:
        kept = _process(arrival)
    logger.info(
        "HL7 in: feed %s, MSH-10 %s, %s, %s, %.0f ms",
        kept.feed,
        kept.control_id,
        kept.message_type,
        kept.outcome,
        (time.monotonic() - began) * 1000,
    )
    return bytes(kept.answer)


def _process(arrival: Arrival) -> InboundMessage:
    try:
        _read(arrival)
        return _first(arrival) or _carry_out(arrival)
    except Refusal as refused:
        return _refuse(arrival, refused)
    except _Conflict as conflict:
        return _keep(arrival, Outcome.CONFLICT, ack.refusal(conflict.refused))


def _read(arrival: Arrival) -> None:
    """Find the feed and read the message; refuses what cannot be taken at all."""
    header = arrival.header
    if any(len(header[number]) > HEADER_LENGTH for number in (3, 4, 9, 10)) or len(arrival.sender) > _SENDER_LENGTH:
        raise MessageRejected("102", "MSH^1", f"MSH-3, MSH-4, MSH-9 or MSH-10 has more than {HEADER_LENGTH} characters")
    arrival.feed = _feed_of(arrival)
    if arrival.feed is None:
        raise MessageRejected("103", "MSH^1^3", "No active feed takes messages of this sender (MSH-3, MSH-4, address)")
    try:
        arrival.message = Message.parse(arrival.raw, arrival.feed.default_character_set)
    except Er7Error as error:
        raise MessageRejected("207", "MSH^1", str(error)) from error


def _feed_of(arrival: Arrival) -> Feed | None:
    """The feed that names the sender most closely."""
    feeds = sorted(
        Feed.objects.filter(is_active=True),
        key=lambda feed: (not feed.sending_application, not feed.sending_facility, feed.pk),
    )
    return next((feed for feed in feeds if feed.takes(arrival.text(3), arrival.text(4), arrival.peer)), None)


def _first(arrival: Arrival) -> InboundMessage | None:
    """The first message with this control ID, which has the answer to repeat; _Conflict if it said something else."""
    identity = {"control_id": arrival.text(10)} if arrival.text(10) else {"control_id": "", "sha256": arrival.sha256}
    first = InboundMessage.objects.filter(
        is_original=True,
        feed=arrival.feed,
        sending_application=arrival.text(3),
        sending_facility=arrival.text(4),
        **identity,
    ).first()
    if first is not None and first.sha256 != arrival.sha256:
        raise _Conflict(arrival.text(10))
    return first


def _carry_out(arrival: Arrival) -> InboundMessage:
    """The one transaction. A fault of ours keeps the message in another one and is answered 207."""
    try:
        with transaction.atomic():
            kept = arrival.row(Outcome.RECEIVED, is_original=True)
            _claim(kept)
            _answer(arrival, kept)
        return kept
    except _Repeated:  # another connection brought the same message in this instant: it has its answer now
        first = _first(arrival)
        assert first is not None
        return first
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the message must be kept and answered
        # The kind and the place of the fault only: its text may hold patient data.
        where = f"{type(error).__name__} at {_place(error)}"
        logger.error("HL7 in: MSH-10 %s could not be processed: %s", arrival.text(10), where)
        return _keep(arrival, Outcome.ERROR, ack.INTERNAL_ERROR, reason=where)


def _claim(row: InboundMessage) -> None:
    """Be the first with this control ID. A second one waits here until the first is committed, then is _Repeated."""
    try:
        row.save(force_insert=True)
    except IntegrityError as error:
        raise _Repeated from error


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _answer(arrival: Arrival, kept: InboundMessage) -> None:
    """Dispatch within a savepoint and write outcome and answer into the row."""
    assert arrival.feed and arrival.message
    reading = Reading(arrival.feed, arrival.sender, list(arrival.message.warnings))
    effect = Effect()
    try:
        with transaction.atomic():
            effect = _dispatch(arrival, reading)
        verdict, kept.outcome = ack.accepted(reading.warnings), Outcome.ACCEPTED
    except Refusal as refused:
        verdict, kept.outcome = ack.refusal(refused), Outcome.REFUSED
    kept.reason = verdict.sentence
    kept.answer = ack.build(arrival.header, verdict, arrival.codec)
    numbers = [*_numbers(arrival), *(order.accession_number for order in effect.orders)]
    kept.order_numbers = "\n".join(dict.fromkeys(numbers))
    kept.save(update_fields=["outcome", "reason", "answer", "order_numbers"])
    kept.orders.add(*effect.orders)


def _dispatch(arrival: Arrival, reading: Reading) -> Effect:
    assert arrival.message
    kind, event = (arrival.header.component(9, number).upper() for number in (1, 2))
    handler = HANDLERS.get((kind, event))
    if handler is None:
        known = any(kind == other for other, _event in HANDLERS)
        what = f"event {event} of {kind}" if known else f"message type {kind}"
        raise MessageRejected("201" if known else "200", "MSH^1^9", f"MSH-9: {what[:60]} is not taken")
    actor = Actor(kind="HL7", name=arrival.sender, source_message=f"HL7 MSH-10 {arrival.text(10)}")
    return handler(arrival.message, reading, actor)


def _numbers(arrival: Arrival) -> list[str]:
    assert arrival.feed and arrival.message
    try:
        return orders.numbers_named(arrival.message, Reading(arrival.feed, arrival.sender))
    except FieldRefused:
        return []


def _refuse(arrival: Arrival, refused: Refusal) -> InboundMessage:
    """Keep a message that is not taken at all; a repeat of it is looked at anew."""
    return _keep(arrival, Outcome.REFUSED, ack.refusal(refused))


def _keep(arrival: Arrival, outcome: str, verdict: Verdict, reason: str = "") -> InboundMessage:
    answer = ack.build(arrival.header, verdict, arrival.codec)
    kept = arrival.row(outcome, reason=reason or verdict.sentence, answer=answer)
    kept.save(force_insert=True)
    return kept


def _keep_unreadable(raw: bytes, peer: str, header: Header | None, reason: str) -> None:
    InboundMessage.objects.create(
        peer=peer,
        raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(),
        control_id=header.text(10, "latin-1")[:HEADER_LENGTH] if header else "",
        outcome=Outcome.UNREADABLE,
        reason=reason,
    )
    logger.warning("HL7 in: from %s, %s bytes kept: %s", peer, len(raw), reason)
