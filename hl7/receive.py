"""A message's way: raw -> stored -> dispatched -> answered, in one transaction (DESIGN section 4).

The raw message, its effect and its answer become durable together; only then is it answered. A refusal rolls back the
effect, not the message. Without a database nothing is answered, so that the sender repeats. New orders that come at the
same time may share a transaction (hl7.together).
"""

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction

from hl7 import ack, adt, demands, envelope, mentions, orders, oru, siu, spoken
from hl7.ack import FieldRefused, MessageRejected, Verdict
from hl7.arrival import Arrival, feed_of
from hl7.er7 import Message
from hl7.header import Er7Error
from hl7.mapping import Reading
from hl7.models import HEADER_LENGTH, InboundMessage
from hl7.orders import Effect
from ris.errors import Refusal
from ris.inputs import Actor
from ris.services import rows

logger = logging.getLogger(__name__)

Handler = Callable[[Message, Reading, Actor], Effect]
Outcome = InboundMessage.Outcome

#: (MSH-9.1, MSH-9.2) -> what is done.
HANDLERS: dict[tuple[str, str], Handler] = {
    ("ORM", "O01"): orders.handle,
    ("OMI", "O23"): orders.handle,
    ("OMG", "O19"): orders.handle,
    **{("ADT", event): adt.register for event in adt.REGISTER},
    **{("ADT", event): adt.arrive for event in adt.ARRIVE},
    **{("ADT", event): adt.merge for event in adt.MERGE},
    **{("ADT", event): adt.change_identifier for event in adt.CHANGE_IDENTIFIER},
    **{("SIU", event): siu.book for event in siu.BOOK},
    **{("SIU", event): siu.take_away for event in siu.TAKE_AWAY},
    **{("SIU", event): siu.no_show for event in siu.NO_SHOW},
    ("ORU", "R01"): oru.handle,
}
_SENDER_LENGTH = 128
_DEADLOCK = "40P01"
_CONCLUDED = ("outcome", "reason", "answer", "order_numbers", "patient")


class _Repeated(Exception):
    """Another transaction was the first with this control ID."""


class _Conflict(Exception):
    """The control ID was used before for a message with another content."""

    def __init__(self, control_id: str) -> None:
        sentence = f"MSH-10 {control_id} was used before for a message with another content"
        self.refused = MessageRejected("205", "MSH^1^10", sentence)


def process(arrival: Arrival) -> InboundMessage:
    """Keep a message, carry it out and answer it, or find what it was answered before.

    OperationalError or InterfaceError when the database cannot be reached: then nothing may be answered.
    """
    try:
        read(arrival)
        return _at_once(arrival) or _first(arrival) or _carry_out(arrival)
    except Refusal as refused:
        return refuse(arrival, refused)
    except _Conflict as conflict:
        return keep(arrival, Outcome.CONFLICT, ack.refusal(conflict.refused))


def read(arrival: Arrival) -> None:
    """Find the feed, unless it is given, and read the message; refuses what cannot be taken at all."""
    header = arrival.header
    arrival.feed = arrival.feed or feed_of(arrival)
    if any(len(header[number]) > HEADER_LENGTH for number in (3, 4, 9, 10)) or len(arrival.sender) > _SENDER_LENGTH:
        raise MessageRejected("102", "MSH^1", f"MSH-3, MSH-4, MSH-9 or MSH-10 has more than {HEADER_LENGTH} characters")
    if arrival.feed is None:
        raise MessageRejected("103", "MSH^1^3", "No active feed takes messages of this sender (MSH-3, MSH-4, address)")
    envelope.check(arrival)
    try:
        arrival.message = Message.parse(arrival.raw, arrival.feed.default_character_set)
    except Er7Error as error:
        raise MessageRejected("207", "MSH^1", str(error)) from error
    envelope.check_text(arrival)


def original(arrival: Arrival) -> InboundMessage | None:
    """The message with this control ID whose answer a repeat is given."""
    identity = {"control_id": arrival.text(10)} if arrival.text(10) else {"control_id": "", "sha256": arrival.sha256}
    return InboundMessage.objects.filter(
        is_original=True,
        feed=arrival.feed,
        sending_application=arrival.text(3),
        sending_facility=arrival.text(4),
        **identity,
    ).first()


def _first(arrival: Arrival) -> InboundMessage | None:
    """The original, if this is a repeat of it; _Conflict if that said something else."""
    first = original(arrival)
    if first is not None and first.sha256 != arrival.sha256:
        raise _Conflict(arrival.text(10))
    return first


def _at_once(arrival: Arrival) -> InboundMessage | None:
    """The one transaction without savepoints and with the claim at its end, for the many messages that are new and go
    well: a third fewer statements. None, and nothing done, for all others: they are carried out with care.
    """
    try:
        with transaction.atomic(), without_savepoints():
            return accept(arrival, _dispatch(arrival, begin_reading(arrival)))
    except (OperationalError, InterfaceError) as error:
        if not is_deadlock(error):
            raise
        return None
    except Exception:  # noqa: BLE001 - a repeat, a refusal, a race or a fault: _carry_out finds out, and reports it
        return None


def is_deadlock(error: Exception) -> bool:
    """Whether PostgreSQL ended this transaction to let another one go on: nothing of it was kept, it can go again."""
    return getattr(error.__cause__, "sqlstate", "") == _DEADLOCK


def accept(arrival: Arrival, effect: Effect) -> InboundMessage:
    """Write the row of a new message that was carried out."""
    assert arrival.reading
    kept = arrival.row(Outcome.ACCEPTED, is_original=True)
    _conclude(arrival, kept, effect, ack.accepted(arrival.reading.warnings))
    return kept


@contextlib.contextmanager
def without_savepoints() -> Iterator[None]:
    """Inner blocks of the transaction set no savepoint: what fails in one of them fails all of it."""
    connection.features.uses_savepoints = False
    try:
        yield
    finally:
        connection.features.uses_savepoints = True


def _carry_out(arrival: Arrival, *, again: bool = True) -> InboundMessage:
    """The one transaction; who lost a race goes ``again``, once. A fault of ours keeps the message in another one and
    is answered 207."""
    try:
        with transaction.atomic():
            kept = arrival.row(Outcome.RECEIVED, is_original=True)
            _claim(kept)
            answer(arrival, kept)
        return kept
    except _Repeated:  # another connection brought the same message in this instant: it has its answer now
        first = _first(arrival)
        assert first is not None
        return first
    except (OperationalError, InterfaceError) as error:
        if not (again and is_deadlock(error)):
            raise
        return _carry_out(arrival, again=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, the message must be kept and answered
        if again and isinstance(error, IntegrityError):  # another transaction wrote the same row in this instant
            return _carry_out(arrival, again=False)
        where = place(error)
        logger.error("HL7 in: MSH-10 %s could not be processed: %s", arrival.text(10), where)
        return keep(arrival, Outcome.ERROR, ack.INTERNAL_ERROR, reason=where)


def _claim(row: InboundMessage) -> None:
    """Be the first with this control ID. A second one waits here until the first is committed, then is _Repeated."""
    try:
        row.save(force_insert=True)
    except IntegrityError as error:
        raise _Repeated from error


def place(error: Exception) -> str:
    """The kind and the place of a fault, and no more: its text may hold patient data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def answer(arrival: Arrival, kept: InboundMessage) -> Verdict:
    """Dispatch within a savepoint and write outcome and answer into the row."""
    reading = begin_reading(arrival)
    effect = Effect()
    try:
        with transaction.atomic():
            effect = _dispatch(arrival, reading)
        verdict, kept.outcome = ack.accepted(reading.warnings), Outcome.ACCEPTED
    except Refusal as refused:
        verdict, kept.outcome = ack.refusal(refused), Outcome.REFUSED
        effect = orders.tell_refused(refused, actor_of(arrival))
    _conclude(arrival, kept, effect, verdict)
    return verdict


def begin_reading(arrival: Arrival) -> Reading:
    """Read the message by its feed's rules, from the beginning."""
    assert arrival.feed and arrival.message
    arrival.reading = Reading(arrival.feed, arrival.sender, list(arrival.message.warnings))
    return arrival.reading


def _conclude(arrival: Arrival, kept: InboundMessage, effect: Effect, verdict: Verdict) -> None:
    """Write what became of the message into its row, and what it touched beside it."""
    kept.reason = verdict.sentence
    kept.answer = ack.build(arrival.header, verdict, arrival.codec, arrival.codes)
    numbers = [*_numbers(arrival), *(order.accession_number for order in effect.orders)]
    kept.order_numbers = "\n".join(dict.fromkeys(numbers))
    kept.patient_id = effect.patient_pk
    rows.save(kept, _CONCLUDED if kept.pk else None)
    link = InboundMessage.orders.through
    rows.save_all([link(inboundmessage=kept, order=order) for order in effect.orders])
    mentions.keep(kept, arrival.message, touched_order=bool(effect.orders))


def _dispatch(arrival: Arrival, reading: Reading) -> Effect:
    assert arrival.message
    kind, event = spoken.event(arrival.message)
    handler = HANDLERS.get((kind, event))
    if handler is None:
        known = any(kind == other for other, _event in HANDLERS)
        what = f"event {event} of {kind}" if known else f"message type {kind}"
        if reading.policy("unknown_event") == "ignore":
            reading.warn(f"MSH-9: {what[:60]} is not taken: it changes nothing")
            return Effect()
        raise MessageRejected("201" if known else "200", "MSH^1^9", f"MSH-9: {what[:60]} is not taken")
    demands.check_message(arrival.message, reading)
    return handler(arrival.message, reading, actor_of(arrival))


def actor_of(arrival: Arrival) -> Actor:
    """Who replays the message, else its sender; said when the message says so."""
    assert arrival.message
    own = Actor(kind="HL7", name=arrival.sender, source_message=f"HL7 MSH-10 {arrival.text(10)}")
    return replace(arrival.actor or own, said_at=spoken.message_time(arrival.message))


def _numbers(arrival: Arrival) -> list[str]:
    assert arrival.feed and arrival.message
    try:
        return orders.numbers_named(arrival.message, Reading(arrival.feed, arrival.sender))
    except FieldRefused:
        return []


def refuse(arrival: Arrival, refused: Refusal) -> InboundMessage:
    """Keep a message that is not taken at all; a repeat of it is looked at anew."""
    return keep(arrival, Outcome.REFUSED, ack.refusal(refused))


def keep(arrival: Arrival, outcome: str, verdict: Verdict, reason: str = "") -> InboundMessage:
    answer = ack.build(arrival.header, verdict, arrival.codec, arrival.codes)
    kept = arrival.row(outcome, reason=reason or verdict.sentence, answer=answer)
    if arrival.message and outcome != Outcome.ERROR:  # what went wrong may do so again
        kept.order_numbers = "\n".join(_numbers(arrival))
    kept.save(force_insert=True)
    mentions.keep(kept, arrival.message, touched_order=False)
    return kept
