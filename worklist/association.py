"""One connection: bytes in and out, what they mean to the state machine, and its deadlines.

No thread and no task belongs to it: an association that says nothing costs a few kilobytes and one timer.
"""

import asyncio
import logging
from typing import cast

from worklist import framing
from worklist.acceptor import Acceptor, House
from worklist.assembly import InvalidMessage
from worklist.dialogue import Dialogue, Line
from worklist.framing import InvalidPdu
from worklist.handling import printable
from worklist.negotiation import InvalidRequest
from worklist.upper_layer import Event, State

logger = logging.getLogger(__name__)

#: Seconds for which the PDUs of one peer are read in one go; then the others have their turn.
TURN_SECONDS = 0.001
#: Bytes of a peer that are thrown away after our A-ABORT, so that it can read why, before the connection is cut.
NOISE_BYTES = 1024**2


class Association(Acceptor, asyncio.Protocol):
    """The acceptor's side of one association, over one transport connection."""

    __slots__ = ("_has_ended", "_is_held", "_noise", "_pdu_by", "_unsent", "is_paused")

    def __init__(self, house: House, address: str) -> None:
        super().__init__(house, address)
        self.is_paused = self._is_held = self._has_ended = False
        self._noise = self._unsent = 0
        self._pdu_by: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._house.entered(self)
        self._on(Event.EVT5)

    def data_received(self, data: bytes) -> None:
        if self.state is State.STA13:
            self._noise += len(data)
            if self._noise > NOISE_BYTES:
                self._transport.abort()
                return
        if self._framing is not None:
            self._framing.feed(data)
            self._read()

    def eof_received(self) -> bool:
        """The peer says no more. If it may be reading still, what it asked before is answered, and then it is over."""
        self._has_ended = self._dialogue is not None and not self._dialogue.is_idle
        return self._has_ended and self._transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        self.is_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        if self.state in (State.STA6, State.STA8):
            self._deadline.set(self._house.limits.write_seconds)

    def resume_writing(self) -> None:
        self.is_paused = False
        if self._dialogue is not None:
            self._dialogue.taken()
            self.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.state is not State.STA1:
            self._on(Event.EVT17)
        self._deadline.end()
        self._house.left(self)

    def settle(self) -> None:
        """After something happened: answer a release that can be answered, hold or read the peer, set the deadline."""
        dialogue = self._dialogue
        if dialogue is None or self.state not in (State.STA6, State.STA8):
            return
        if self.state is State.STA8 and dialogue.is_idle and not self.is_paused:
            self._on(Event.EVT14)
        if self._has_ended and dialogue.is_idle:
            self._transport.close()
        if self.state is State.STA13:
            return
        if dialogue.is_full != self._is_held:
            self._hold(dialogue.is_full)
        elif not self.is_paused:
            self._set_deadline(dialogue)

    def _read(self) -> None:
        """Take the PDUs that are there, for a turn. What is none, or comes out of its turn, ends the association."""
        until = self._house.loop.time() + TURN_SECONDS
        try:
            while self._framing is not None and not self._is_held and (pdu := self._framing.next()):
                self._pdu_by = None
                self._take(*pdu)
                if self._dialogue is not None and self._dialogue.is_full:
                    break
                if self._house.loop.time() > until and self._gives_way():
                    break
        except InvalidPdu as error:
            self._framing, self._source = None, (framing.BY_PROVIDER, error.reason)
            self._log_invalid(str(error))
            self._on(Event.EVT19)
        except InvalidMessage as error:
            self.abort(str(error))
        self.settle()

    def _gives_way(self) -> bool:
        """Have the rest read when the loop has looked after the others: small PDUs come by the thousand."""
        if self._framing is None or self._framing.is_between:
            return False
        self._transport.pause_reading()
        self._house.loop.call_soon(self._read_on)
        return True

    def _read_on(self) -> None:
        if not self._is_held and self.state is not State.STA1:
            self._transport.resume_reading()
            self._read()

    def _take(self, kind: int, body: bytes) -> None:
        event, self._body = framing.EVENTS[kind], body
        if event is Event.EVT6 and self.state is State.STA2:
            try:
                self._asked = self._house.asked(body)
            except InvalidRequest as error:
                raise InvalidPdu(f"A-ASSOCIATE-RQ: {error}") from error
        self._on(event)

    def _hold(self, is_held: bool) -> None:
        self._is_held = is_held
        if is_held:
            self._transport.pause_reading()
            if not self.is_paused:
                self._deadline.clear()
        else:
            self._transport.resume_reading()
            self._read()

    def _set_deadline(self, dialogue: Dialogue) -> None:
        limits, now = self._house.limits, self._house.loop.time()
        if self._framing is None or self._framing.is_between or self._is_held:
            self._pdu_by = None
        elif self._pdu_by is None:
            self._pdu_by = now + limits.pdu_seconds
        times = [by for by in (self._pdu_by, dialogue.message_by) if by is not None]
        if times:
            self._deadline.set(min(times) - now)
        elif dialogue.is_idle:
            self._deadline.set(limits.idle_seconds)
        else:
            self._deadline.clear()

    def _overdue(self) -> None:
        if self.state in (State.STA2, State.STA13):
            self._on(Event.EVT18)
            return
        unsent = self._transport.get_write_buffer_size()
        if self.is_paused and unsent < self._unsent:  # slow, but it takes something
            self._unsent = unsent
            self._deadline.set(self._house.limits.write_seconds)
            return
        self.abort("it takes no answer" if self.is_paused else "it says nothing, or does not end what it began")

    def _log_invalid(self, why: str) -> None:
        logger.warning("connection of %s from %s is not DICOM: %s", self._caller(), self.address, printable(why))

    def _line(self) -> Line:
        return self
