"""What a listener does with a frame: each message in it is processed, and the frame is answered."""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from django.db import InterfaceError, OperationalError, connection

from hl7 import batches, enhanced
from hl7.ack import MessageRejected
from hl7.arrival import DEFAULT_LISTENER, Arrival
from hl7.framing import HEAD_BYTES, Abandoned, Came, Event, Frame, Oversized, in_frames_of_their_own
from hl7.header import Er7Error, Header
from hl7.models import HEADER_LENGTH, InboundMessage
from hl7.receive import refuse
from hl7.together import process_all

logger = logging.getLogger(__name__)

#: A database connection that was idle for so many seconds is tried before it is used.
_TRIED_AFTER_SECONDS = 1.0
_thread = threading.local()


def receive(event: Event, peer: str, listener: int = DEFAULT_LISTENER) -> bytes | None:
    """Keep what came, carry it out, and give the answer: empty if none is wanted, None if there is nothing that could
    be answered. ``listener`` is the key of the Listener.

    OperationalError or InterfaceError when the database cannot be reached: then nothing may be answered. Called on
    threads that each keep their database connection; one that broke is given up.
    """
    return receive_all([(event, peer, listener)])[0]


def receive_all(came: Sequence[Came]) -> list[bytes | None]:
    """The answers to what came at the same time, in its order; see ``receive``. Nothing may be answered on an error."""
    try:
        _try_connection()
        return list(_receive_all(came))
    except (OperationalError, InterfaceError):
        connection.close()
        raise


def _receive_all(came: Sequence[Came]) -> Iterator[bytes | None]:
    """Usual messages that follow each other are processed together."""
    arrivals = [_usual(*each) for each in came]
    for are_usual, found in groupby(zip(came, arrivals, strict=True), lambda pair: pair[1] is not None):
        pairs = list(found)
        if not are_usual:
            yield from (_receive(*each) for each, _arrival in pairs)
            continue
        for answers in _processed([arrival for _each, arrival in pairs if arrival]):
            yield in_frames_of_their_own(answers)


def _usual(event: Event, peer: str, listener: int) -> Arrival | None:
    """The one message of a frame, if it has one and no more."""
    if not isinstance(event, Frame) or not event.payload.startswith(b"MSH") or event.payload.find(b"MSH", 3) > 0:
        return None
    header = Header.find(event.payload)
    return Arrival(event.payload, peer, header, listener=listener) if header else None


def _try_connection() -> None:
    if time.monotonic() - getattr(_thread, "last_used", 0.0) > _TRIED_AFTER_SECONDS:
        connection.health_check_done = False  # type: ignore[attr-defined]
        connection.close_if_health_check_failed()
    _thread.last_used = time.monotonic()


def _receive(event: Event, peer: str, listener: int) -> bytes | None:
    if not isinstance(event, Frame):
        return _not_whole(event, peer, listener)
    try:
        batch = batches.split(event.payload)
    except Er7Error as error:
        return _reject_beginning(event.payload, peer, listener, str(error))
    if batch is None:
        answers = _message(event.payload, peer, listener)
        return None if answers is None else in_frames_of_their_own(answers)
    found = [_message(raw, peer, listener) for raw in batch.messages]
    if not found:
        _keep_unreadable(event.payload, peer, None, "The batch holds no message")
        return None
    return batch.answer([answer for answers in found for answer in answers or ()])


def _message(raw: bytes, peer: str, listener: int) -> list[bytes] | None:
    """The acknowledgments of one message; None if it cannot be answered."""
    header = Header.find(raw)
    if header is None and (header := _header_in_utf16(raw)):
        answer = _reject(raw, header, peer, listener, "UTF-16 cannot be told from MLLP's own bytes: send UTF-8")
        return [answer]
    if header is None:
        _keep_unreadable(raw, peer, None, "The message has no MSH that can be read")
        return None
    return _processed([Arrival(raw, peer, header, listener=listener)])[0]


def _processed(arrivals: list[Arrival]) -> list[list[bytes]]:
    """The acknowledgments of each message."""
    began = time.monotonic()
    found = process_all(arrivals)
    for kept in found:
        logger.info(
            "HL7 in: feed %s, MSH-10 %s, %s, %s, %.0f ms",
            kept.feed,
            kept.control_id,
            kept.message_type,
            kept.outcome,
            (time.monotonic() - began) * 1000,
        )
    return [enhanced.acknowledgments(kept, arrival.header) for kept, arrival in zip(found, arrivals, strict=True)]


def _not_whole(event: Abandoned | Oversized, peer: str, listener: int) -> bytes | None:
    if isinstance(event, Oversized):
        return _reject_beginning(event.head, peer, listener, "The message is larger than what is taken")
    header = Header.find(event.payload)
    _keep_unreadable(event.payload, peer, header, "The message was cut off by the start of another")
    return None


def _reject_beginning(raw: bytes, peer: str, listener: int, why: str) -> bytes | None:
    header = Header.find(raw)
    if header is not None:
        return _reject(raw, header, peer, listener, why)
    _keep_unreadable(raw, peer, None, why)
    return None


def _header_in_utf16(raw: bytes) -> Header | None:
    """The header of a message in UTF-16, which the MLLP specification does not allow but Windows' programs send."""
    for codec, signs in (("utf-16-le", (b"\xff\xfe", b"M\0")), ("utf-16-be", (b"\xfe\xff", b"\0M"))):
        if raw.startswith(signs):
            return Header.find(raw[:HEAD_BYTES].decode(codec, "replace").lstrip("\ufeff").encode())
    return None


def _reject(raw: bytes, header: Header, peer: str, listener: int, why: str) -> bytes:
    """Answer AR to what is not taken as a whole; ``raw`` is its beginning, or all of it."""
    arrival = Arrival(raw[:HEAD_BYTES], peer, header, listener=listener, facts={"is_whole": False})
    return bytes(refuse(arrival, MessageRejected("207", "", why)).answer)


def _keep_unreadable(raw: bytes, peer: str, header: Header | None, reason: str) -> None:
    InboundMessage.objects.create(
        peer=peer,
        raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(),
        control_id=header.text(10, "latin-1")[:HEADER_LENGTH] if header else "",
        outcome=InboundMessage.Outcome.UNREADABLE,
        reason=reason,
    )
    logger.warning("HL7 in: from %s, %s bytes kept: %s", peer, len(raw), reason)
