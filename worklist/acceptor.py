"""The actions of upper_layer.py's state machine, carried out on a transport (PS3.8 9.2.3, Tables 9-6 to 9-9)."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from worklist import framing, status
from worklist.deadline import Deadline
from worklist.dialogue import Dialogue, Line, Peer
from worklist.handling import printable
from worklist.limits import Limits
from worklist.negotiation import NO_REASON, Asked, Rejection
from worklist.stations import Profile
from worklist.upper_layer import Action, Event, State, transition

logger = logging.getLogger(__name__)

#: Source of a rejection (PS3.8 Table 9-21).
_SERVICE_USER = 1
#: No source of an A-ABORT: it was sent.
_SAID = (-1, -1)


class House(Protocol):
    """The door as an association needs it."""

    loop: asyncio.AbstractEventLoop
    limits: Limits

    def asked(self, body: bytes) -> Asked: ...

    def admit(self, asked: Asked, acceptor: "Acceptor") -> None: ...

    def dialogue(self, peer: Peer, line: Line) -> Dialogue: ...

    def entered(self, acceptor: "Acceptor") -> None: ...

    def left(self, acceptor: "Acceptor") -> None: ...


class Acceptor:
    """The state of one association, and what each event does in it. A subclass brings the transport's calls."""

    __slots__ = (
        "_acceptance",
        "_asked",
        "_body",
        "_deadline",
        "_dialogue",
        "_framing",
        "_house",
        "_rejection",
        "_source",
        "_station",
        "_transport",
        "address",
        "state",
    )
    _transport: asyncio.Transport

    def __init__(self, house: House, address: str) -> None:
        self._house, self.address = house, address
        self.state = State.STA1
        self._framing: framing.Framing | None = framing.Framing()
        self._deadline = Deadline(house.loop, self._overdue)
        self._dialogue: Dialogue | None = None
        self._body = b""
        self._asked: Asked | None = None
        self._station = Profile()
        self._acceptance = b""
        self._rejection: Rejection = NO_REASON
        self._source = (framing.BY_PROVIDER, framing.UNEXPECTED_PDU)

    def _overdue(self) -> None:
        raise NotImplementedError

    def send(self, pdus: bytes) -> None:
        """P-DATA request primitive."""
        self._body = pdus
        self._on(Event.EVT9)

    def accept(self, station: Profile) -> None:
        """A-ASSOCIATE response primitive: the station may come in."""
        if self.state is State.STA3 and self._asked is not None:
            self._station = station
            self._acceptance = self._asked.accept_identified if station.passcode_digest else self._asked.accept
            self._on(Event.EVT7)

    def reject(self, rejection: Rejection, why: str) -> None:
        """A-ASSOCIATE response primitive: it may not."""
        if self.state is State.STA3:
            self._rejection = rejection
            self._log_refusal(why)
            self._on(Event.EVT8)

    def abort(self, why: str) -> None:
        """A-ABORT request primitive where there is an association; else the connection is closed."""
        if self.is_open:
            logger.warning("association of %s from %s aborted: %s", self._caller(), self.address, why)
            self._on(Event.EVT15)
        else:
            self._transport.abort()

    def failed(self, error: BaseException) -> None:
        """Something went wrong that nobody foresaw: this connection ends, no other."""
        logger.error("association of %s from %s failed: %s", self._caller(), self.address, status.place(error))
        self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether an association is established, or may be at any moment."""
        return self.state in (State.STA3, State.STA6, State.STA8)

    @property
    def is_local(self) -> bool:
        """Whether the peer is on this machine."""
        ours, theirs = (self._transport.get_extra_info(name) for name in ("sockname", "peername"))
        return bool(ours and theirs and ours[0] == theirs[0])

    @property
    def certificate_names(self) -> frozenset[str]:
        """The common name and DNS names of the peer's certificate, if TLS asked for one and found it good."""
        certificate = self._transport.get_extra_info("peercert") or {}
        common = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
        return frozenset(common + [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"])

    def _on(self, event: Event) -> None:
        action, self.state = transition(self.state, event)
        _ACTIONS[action](self)

    def _take_body(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def _start_artim(self) -> None:
        self._deadline.set(self._house.limits.closing_seconds)

    def _ae_5(self) -> None:
        self._deadline.set(self._house.limits.request_seconds)

    def _ae_6(self) -> None:
        self._deadline.clear()
        self._body, asked = b"", self._asked
        assert asked is not None
        if asked.rejection is not None and asked.rejection[1] != _SERVICE_USER:
            self.state, self._rejection = State.STA13, asked.rejection
            self._log_refusal("protocol version")
            self._ae_8()
        else:
            self._house.admit(asked, self)

    def _ae_7(self) -> None:
        asked = self._asked
        assert asked is not None and asked.contexts is not None
        self._dialogue = self._house.dialogue(
            Peer(asked.calling, self._station, self.address, asked.contexts, asked.longest), self._line()
        )
        self._transport.write(self._acceptance)
        self._deadline.set(self._house.limits.idle_seconds)

    def _ae_8(self) -> None:
        self._transport.write(framing.reject(*self._rejection))
        self._start_artim()

    def _write(self) -> None:
        self._transport.write(self._take_body())

    def _dt_2(self) -> None:
        assert self._dialogue is not None
        self._dialogue.receive(self._take_body())

    def _ar_2(self) -> None:
        """A-RELEASE indication: answered in ``settle``, once what the peer asked before is answered."""

    def _ar_4(self) -> None:
        self._end_dialogue()
        self._transport.write(framing.RELEASE_RP)
        self._start_artim()

    def _aa_1(self) -> None:
        self._end_dialogue()
        self._send_abort(framing.BY_USER, framing.NO_REASON)
        self._start_artim()

    def _aa_2(self) -> None:
        self._close()

    def _aa_3(self) -> None:
        self._end_dialogue()
        self._close()

    def _aa_4(self) -> None:
        self._end_dialogue()

    def _aa_7(self) -> None:
        self._send_abort(*self._source)

    def _aa_8(self) -> None:
        self._end_dialogue()
        self._send_abort(*self._source)
        self._start_artim()

    def _nothing(self) -> None:
        """AA-6, and where only a timer would be stopped, which ends with the connection."""

    def _send_abort(self, source: int, reason: int) -> None:
        """And say no more: the peer reads the end of our side behind it, whether it knows A-ABORT or not."""
        if self._source is _SAID:
            return
        self._source = _SAID
        self._transport.write(framing.abort(source, reason))
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        self._framing = None
        self._deadline.clear()
        self._transport.abort()

    def _end_dialogue(self) -> None:
        if self._dialogue is not None:
            self._dialogue.end()
            self._dialogue = None

    def _line(self) -> Line:
        raise NotImplementedError

    def _caller(self) -> str:
        return printable(self._asked.calling) if self._asked else "?"

    def _log_refusal(self, why: str) -> None:
        called = printable(self._asked.called) if self._asked else "?"
        words = "association from %s refused: %s, calling %s, called %s"
        logger.warning(words, self.address, why, self._caller(), called)


_ACTIONS: Mapping[Action, Callable[[Acceptor], None]] = {
    Action.AE_5: Acceptor._ae_5,
    Action.AE_6: Acceptor._ae_6,
    Action.AE_7: Acceptor._ae_7,
    Action.AE_8: Acceptor._ae_8,
    Action.DT_1: Acceptor._write,
    Action.DT_2: Acceptor._dt_2,
    Action.AR_2: Acceptor._ar_2,
    Action.AR_4: Acceptor._ar_4,
    Action.AR_5: Acceptor._nothing,
    Action.AR_7: Acceptor._write,
    Action.AA_1: Acceptor._aa_1,
    Action.AA_2: Acceptor._aa_2,
    Action.AA_3: Acceptor._aa_3,
    Action.AA_4: Acceptor._aa_4,
    Action.AA_5: Acceptor._nothing,
    Action.AA_6: Acceptor._nothing,
    Action.AA_7: Acceptor._aa_7,
    Action.AA_8: Acceptor._aa_8,
}
