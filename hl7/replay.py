"""Carry out kept messages again, after what refused them was mended: each in its own transaction, each once.

The first row of a message's content is the lock. Whoever replays says which replay of it was the last that they saw:
of a double click, or of two people, one replays and the other is told.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from hl7 import ack, receive
from hl7.arrival import DEFAULT_LISTENER, Arrival, feed_of
from hl7.header import Header
from hl7.models import InboundMessage
from hl7.preview import Preview, preview
from hl7.retention import CONTENT, close
from ris.errors import Refusal
from ris.inputs import Actor

logger = logging.getLogger(__name__)

Outcome = InboundMessage.Outcome

#: Messages that are looked at or replayed in one go.
MOST = 200
_AT_ONCE = "its sender sent it again in this moment: look at it anew"


class NotReplayed(Exception):
    """This message is not carried out again; the sentence says why."""


@dataclass(frozen=True)
class Candidate:
    """A message that may be replayed. ``seen`` is the last replay of it, 0 for none: what `replay` wants to hear."""

    message: InboundMessage
    seen: int
    accepted_as: int | None

    @property
    def obstacle(self) -> str:
        return obstacle(self.message)

    def preview(self) -> Preview | str:
        """What a replay would do now, each message as if it were replayed alone; or why there is none."""
        arrival = _arrival(self.message)
        feed = arrival.feed or feed_of(arrival) or self.message.feed
        return preview(bytes(self.message.raw), feed, arrival.peer) if feed else "No active feed takes this sender"


@dataclass(frozen=True)
class Result:
    """What became of one message: the row of its replay, or why it was not replayed."""

    message: InboundMessage
    kept: InboundMessage | None
    why_not: str = ""


def attempts(message: InboundMessage) -> QuerySet[InboundMessage]:
    """Every row of this content under this control ID, the oldest first: as it came, came again, and was replayed."""
    return InboundMessage.objects.filter(**{name: getattr(message, name) for name in CONTENT}).order_by("id")


def candidates(messages: Iterable[InboundMessage]) -> list[Candidate]:
    """In order of arrival and each content once, however often it came."""
    newest_first = sorted(messages, key=lambda message: -message.pk)
    by_content = {tuple(getattr(message, name) for name in CONTENT): message for message in newest_first}
    return [_candidate(message) for message in sorted(by_content.values(), key=lambda message: message.pk)]


def _candidate(message: InboundMessage) -> Candidate:
    return Candidate(message, _last_replay(message), _accepted_as(message))


def _last_replay(message: InboundMessage) -> int:
    return attempts(message).filter(replay_of__isnull=False).values_list("pk", flat=True).last() or 0


def _accepted_as(message: InboundMessage) -> int | None:
    return attempts(message).filter(outcome=Outcome.ACCEPTED).values_list("pk", flat=True).last()


def obstacle(message: InboundMessage) -> str:
    """Why it cannot be replayed, whoever asks; empty if it can."""
    if not message.is_whole:
        return "only its beginning was kept, because it is too large"
    if message.outcome == Outcome.UNREADABLE:
        return "it is not a message that can be read"
    return "it is being received" if message.outcome == Outcome.RECEIVED else ""


def replay_all(chosen: Iterable[tuple[int, int]], who: str, *, accepted_too: bool = False) -> list[Result]:
    """Replay the messages ``(pk, seen)`` in order of arrival, each whatever becomes of the others."""
    results = []
    for pk, seen in sorted(chosen)[:MOST]:
        message = InboundMessage.objects.get(pk=pk)
        try:
            results.append(Result(message, replay(message, who, seen=seen, accepted_too=accepted_too)))
        except NotReplayed as error:
            results.append(Result(message, None, str(error)))
    return results


def replay(message: InboundMessage, who: str, *, seen: int, accepted_too: bool = False) -> InboundMessage:
    """Carry the message out again as its feed reads it now; the row that keeps the result, whatever it is.

    NotReplayed if it was replayed since ``seen`` (a pk, 0 for never), was accepted and that is not asked for, or came
    again from its sender in this very moment.
    """
    try:
        with transaction.atomic():
            attempts(message).select_for_update().only("id").first()
            _check(message, seen, accepted_too)
            kept = _carry_out(message, who, accepted_too)
            if kept.outcome == Outcome.ACCEPTED:
                close(attempts(message), who, f"replayed as message {kept.pk} and accepted")
    except IntegrityError as error:
        raise NotReplayed(_AT_ONCE) from error
    except OperationalError as error:
        if not receive.is_deadlock(error):  # a replay claims the control ID before it acts, the listener after
            raise
        raise NotReplayed(_AT_ONCE) from error
    logger.info("HL7 in: MSH-10 %s replayed by %s: %s", kept.control_id, who, kept.outcome)
    return kept


def _check(message: InboundMessage, seen: int, accepted_too: bool) -> None:
    if why_not := obstacle(message):
        raise NotReplayed(why_not)
    last = _last_replay(message)
    if last != seen:
        raise NotReplayed(f"it has been replayed meanwhile, as message {last}")
    accepted = _accepted_as(message)
    if accepted and not accepted_too:
        raise NotReplayed(f"it was accepted before, as message {accepted}")


def _arrival(message: InboundMessage) -> Arrival:
    raw = bytes(message.raw)
    header = Header.find(raw)
    if header is None:
        raise NotReplayed("it is not a message that can be read")
    listener = message.feed.listener_id or DEFAULT_LISTENER if message.feed else None
    return Arrival(raw, message.peer, header, listener=listener)


def _carry_out(message: InboundMessage, who: str, accepted_too: bool) -> InboundMessage:
    """As receive does, but for the actor, and that the new row tells of which message it is a replay."""
    arrival = _arrival(message)
    arrival.facts = {"replay_of": message.replay_of or message, "replayed_by": who[:150]}
    try:
        arrival.feed = feed_of(arrival) or message.feed
        receive.read(arrival)
    except Refusal as refused:
        return receive.keep(arrival, Outcome.REFUSED, ack.refusal(refused))
    try:
        with transaction.atomic():
            return _answered(arrival, who, accepted_too)
    except (OperationalError, InterfaceError, IntegrityError, NotReplayed):
        raise
    except Exception as error:  # noqa: BLE001 - as in receive: whatever it is, the attempt is kept and shown
        where = receive.place(error)
        logger.error("HL7 in: replay of MSH-10 %s could not be processed: %s", message.control_id, where)
        return receive.keep(arrival, Outcome.ERROR, ack.INTERNAL_ERROR, reason=where)


def _answered(arrival: Arrival, who: str, accepted_too: bool) -> InboundMessage:
    """From now on a repeat of the message by its sender is given this answer."""
    first = receive.original(arrival)
    is_ours = first is None or first.sha256 == arrival.sha256
    if first is not None and is_ours and first.outcome == Outcome.ACCEPTED and not accepted_too:
        raise NotReplayed(_AT_ONCE)  # its sender repeated it since _check, and that was accepted
    if first is not None and is_ours:
        InboundMessage.objects.filter(pk=first.pk).update(is_original=False)
    kept = arrival.row(Outcome.RECEIVED, is_original=is_ours)
    kept.save(force_insert=True)
    source = f"HL7 MSH-10 {kept.control_id}, replay {kept.pk}"
    arrival.actor = Actor(kind="USER", name=who, source_message=source)
    receive.answer(arrival, kept)
    return kept
