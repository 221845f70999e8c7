"""The requests of one association, answered one after the other; a C-CANCEL is seen meanwhile (PS3.7 9.3.2.3)."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from worklist import framing, handling, services, status
from worklist.assembly import Assembly, File, InvalidMessage, Memory, Message, Nowhere, Room, Sink
from worklist.command import Command
from worklist.dimse import Answer, Request
from worklist.handling import Handler, QueryHandler
from worklist.limits import Limits
from worklist.negotiation import Context
from worklist.operations import Cancellation, Query, Single
from worklist.stations import Profile
from worklist.status import OUT_OF_RESOURCES, PROCESSING_FAILURE
from worklist.workers import Workers

#: Requests that wait may hold so many bytes before the peer is not read any more.
MOST_BYTES_WAITING = 1024**2
#: Data sets of more bytes are taken one at a time: decoding one needs up to 25 MB and a second.
LARGE = 256 * 1024
#: Cancels of what is not being answered, for one association: some come too late, many are no use.
MOST_STRAY_CANCELS = 1_000
#: Verbs whose answer must come in time even while the database hangs, and the status that it then is. They have a
#: thread of their own: what costs more, MPPS and images, never keeps them waiting.
_LATE = {"C-FIND": OUT_OF_RESOURCES, "C-ECHO": PROCESSING_FAILURE}

#: Opens a new file for the object that a C-STORE announces, and writes what stands in front of its data set.
Incoming = Callable[[Request], BinaryIO]


@dataclass(frozen=True)
class Service:
    """What a door does for its peers, and the threads that do it."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    handlers: Mapping[str, Handler]
    query: QueryHandler | None
    incoming: Incoming | None
    queries: Workers
    others: Workers
    large: Workers
    room: Room


@dataclass(frozen=True)
class Peer:
    """Who asks, and what was negotiated with it."""

    calling: str
    station: Profile
    address: str
    contexts: Mapping[int, Context]
    longest: int


class Line(Protocol):
    """The association as a dialogue needs it."""

    is_paused: bool

    def send(self, pdus: bytes) -> None: ...

    def settle(self) -> None: ...

    def failed(self, error: Exception) -> None: ...


class Dialogue:
    """Requests are taken from P-DATA and answered over ``line``. All methods belong to the event loop's thread."""

    def __init__(self, service: Service, peer: Peer, line: Line) -> None:
        self._service, self._peer, self._line = service, peer, line
        self._assembly = Assembly(peer.contexts, self._sink_for)
        self._waiting: deque[Message] = deque()
        self._bytes_waiting = 0
        self._running: Single | Query | None = None
        self._late: asyncio.TimerHandle | None = None
        self._message_by: float | None = None
        self._is_over = False
        self._stray_cancels = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered or waits for it."""
        return self._running is None and not self._waiting

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the peer should not be read."""
        return len(self._waiting) >= self._service.limits.requests_waiting or self._bytes_waiting > MOST_BYTES_WAITING

    @property
    def message_by(self) -> float | None:
        """When the message that has begun must be whole, by the loop's clock; None: none has begun."""
        return self._message_by

    def receive(self, body: bytes) -> None:
        """Take a P-DATA-TF. InvalidPdu, InvalidMessage."""
        assembly, began = self._assembly, self._assembly.is_between
        for pdv in framing.pdvs(body):
            message = assembly.add(pdv)
            if message is not None:
                self._received(message)
                began = True
        if assembly.is_between:
            self._message_by = None
        elif began or assembly.is_streaming:
            self._message_by = self._service.loop.time() + self._service.limits.data_set_seconds
        self.go_on()

    def go_on(self) -> None:
        """Answer the next request, or go on with the answers, if the peer takes them."""
        while self._running is None and self._waiting and not self._line.is_paused and not self._is_over:
            message = self._waiting.popleft()
            self._bytes_waiting -= _size(message)
            self._start(message)

    def taken(self) -> None:
        """The peer has taken what was sent."""
        if isinstance(self._running, Query) and self._late is None:
            self._service.queries.submit(self._running.run)
        self.go_on()

    def end(self) -> None:
        """The association is over: nothing is answered any more, nothing stays."""
        self._is_over = True
        self._assembly.discard()
        for message in self._waiting:
            message.sink.discard()
        self._waiting.clear()
        if self._running is not None:
            self._running.abandon()
        self._finish()

    def _received(self, message: Message) -> None:
        message.received_at = time.monotonic()
        if message.command.verb == "C-CANCEL":
            running = self._running
            if running is not None and running.message.command.message_id == message.command.message_id:
                running.cancel()
                return
            self._stray_cancels += 1
            if self._stray_cancels > MOST_STRAY_CANCELS:
                raise InvalidMessage("too many cancels of nothing")
            return
        self._waiting.append(message)
        self._bytes_waiting += _size(message)

    def _sink_for(self, context: Context, asked: Command) -> tuple[Sink, int]:
        limits = self._service.limits
        if asked.verb == "C-CANCEL" or services.refusal(context, asked):
            return Nowhere(), limits.longest_message
        if asked.verb == "C-STORE" and (incoming := self._service.incoming):
            request = self._request(context, asked)
            return File(lambda: incoming(request)), limits.longest_object
        return Memory(self._service.room), limits.longest_message

    def _request(self, context: Context, asked: Command, message: Message | None = None) -> Request:
        """The request as a handler sees it; without a data set as long as there is no ``message`` yet."""
        sink = message.sink if message else None
        return Request(
            verb=asked.verb,
            calling_ae_title=self._peer.calling,
            station=self._peer.station,
            address=self._peer.address,
            received_at=message.received_at if message else 0.0,
            transfer_syntax_uid=context.transfer_syntax,
            sop_class_uid=asked.sop_class_uid,
            sop_instance_uid=asked.sop_instance_uid or None,
            data=sink.data() if isinstance(sink, Memory) else b"",
            file=sink.path if isinstance(sink, File) else None,
            file_offset=sink.offset if isinstance(sink, File) else 0,
            asked_tags=asked.asked_tags,
            is_cancelled=Cancellation(),
        )

    def _start(self, message: Message) -> None:
        asked, sink = message.command, message.sink
        request = self._request(message.context, asked, message)
        if refused := services.refusal(message.context, asked):
            self._answer(message, handling.logged(refused, request))
        elif isinstance(sink, File) and sink.error:
            self._answer(message, handling.logged(status.answer_to(sink.error, request), request))
        else:
            self._run(request, message)

    def _run(self, request: Request, message: Message) -> None:
        service, longest = self._service, self._peer.longest
        if request.verb == "C-FIND" and service.query:
            self._running = Query(service.query, request, message, longest, self._deliver)
        else:
            self._running = Single(service.handlers[request.verb], request, message, longest, self._deliver)
        if request.verb in _LATE:
            self._late = service.loop.call_later(service.limits.query_seconds, self._is_late)
        if request.verb in _LATE:
            workers = service.queries
        else:
            workers = service.large if _size(message) > LARGE else service.others
        workers.submit(self._running.run)

    def _deliver(self, operation: Single | Query, pdus: bytes, is_last: bool) -> None:
        """From the operation's thread."""
        self._service.loop.call_soon_threadsafe(self._delivered, operation, pdus, is_last)

    def _delivered(self, operation: Single | Query, pdus: bytes, is_last: bool) -> None:
        if operation is not self._running:
            return  # it came too late, or the association is over
        try:
            if is_last:
                self._finish()
            elif self._late is not None:
                self._late.cancel()
                self._late = None
            self._line.send(pdus)
            if is_last or not self._line.is_paused:
                self.taken()
            self._line.settle()
        except Exception as error:  # noqa: BLE001 - no other association may suffer from it
            self._line.failed(error)

    def _is_late(self) -> None:
        """The database hangs, or too many queries wait: the peer is told so, and need not time out."""
        operation, self._late = self._running, None
        if operation is None:
            return
        operation.abandon()
        answer = Answer(status=_LATE[operation.request.verb], comment="The database does not answer in time")
        self._finish()
        self._answer(operation.message, handling.logged(answer, operation.request))
        self.go_on()
        self._line.settle()

    def _finish(self) -> None:
        if isinstance(self._running, Query):
            self._running.message.sink.discard()
        self._running = None
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _answer(self, message: Message, answer: Answer) -> None:
        self._line.send(services.encoded(answer, message.context, message.command, self._peer.longest))


def _size(message: Message) -> int:
    return message.sink.size if isinstance(message.sink, Memory) else 0
