"""MLLP over TCP: an asyncio server on persistent connections, and a client.

The server does no HL7 and no database work itself: it hands each message to a function that runs on a small pool of
threads, or those that a connection has sent at once to whoever does them together (hl7.workers), and answers the
messages of one connection in their order, the next ones only after those before.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from django.db import DatabaseError, connection

from hl7.framing import (
    COMMITTED,
    NOISE_LIMIT,
    NOT_COMMITTED,
    SIZE_LIMIT,
    Abandoned,
    Deframer,
    Event,
    Frame,
    frame,
)
from hl7.header import Header

logger = logging.getLogger(__name__)

Answer = bytes | None
#: What a handler gives back: the answer, empty for none, or None when there is nothing that can be answered.
Handler = Callable[[Event, str], Answer]
#: Does several messages of one connection, in their order.
Together = Callable[[Sequence[Event], str], "Future[list[Answer]]"]

#: Messages of one connection that are done together.
_MOST_TOGETHER = 8
#: MSH-9.1 of messages in which a whole document, such as a PDF, is a usual field.
_BEAR_DOCUMENTS = ("ORU", "MDM")


@dataclass(frozen=True)
class Limits:
    """Guards. Within ``frame_seconds`` a frame that has begun must end, and an answer be taken.

    ``size`` is of most messages, ``document_size`` of those that bear documents, in bytes.
    """

    connections: int = 800
    connections_per_peer: int = 400
    frame_seconds: float = 30.0
    idle_seconds: float = 12 * 3600.0
    size: int = SIZE_LIMIT
    document_size: int = 16 * SIZE_LIMIT
    threads: int = 4

    def size_of(self, head: bytes) -> int:
        """How large the message may be that begins with ``head``."""
        header = Header.find(head)
        bears = header is not None and header.component(9, 1).upper() in _BEAR_DOCUMENTS
        return self.document_size if bears else self.size


class Server:
    """Listens on ``address`` (port 0: a free one, then found in ``address``) and answers with ``handler``, or with what
    ``together`` gives.

    A peer that ``admits`` does not know is closed before a byte of it is read. With ``release`` 2 (MLLP Release 2)
    each message is first answered by a commit acknowledgment block, and those of the peer are passed over.
    """

    def __init__(
        self,
        address: tuple[str, int],
        handler: Handler | None = None,
        limits: Limits = Limits(),
        *,
        together: Together | None = None,
        admits: Callable[[str], bool] = lambda peer: True,
        release: int = 1,
    ) -> None:
        self.address, self.limits, self.release = address, limits, release
        self._handler, self._together, self._admits = handler, together, admits
        self._most = _MOST_TOGETHER if together and release == 1 else 1
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._peers: Counter[str] = Counter()
        self._stopping = False
        self.is_open = threading.Event()

    async def run(self, stop: threading.Event) -> None:
        """Serve until ``stop``; then accept no more, answer the messages in hand, and close."""
        self._pool = ThreadPoolExecutor(self.limits.threads, thread_name_prefix="hl7")
        listener = await asyncio.start_server(self._accept, *self.address, backlog=128)
        self.address = listener.sockets[0].getsockname()[:2]
        self.is_open.set()
        try:
            while not stop.is_set():
                await asyncio.sleep(0.05)
        finally:
            self._stopping = True
            listener.close()
            for task in self._tasks - self._busy:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.to_thread(self._close_pool)

    @contextlib.contextmanager
    def in_thread(self) -> Iterator["Server"]:
        """Serve in a thread while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self.run(stop)), name="mllp", daemon=True)
        thread.start()
        try:
            if not self.is_open.wait(10):
                raise OSError(f"Nothing listens on {self.address[0]}:{self.address[1]}")
            yield self
        finally:
            stop.set()
            thread.join(30)

    def _close_pool(self) -> None:
        """End the threads; each closes the database connection that it kept."""
        barrier = threading.Barrier(self.limits.threads)

        def close() -> None:
            barrier.wait()
            connection.close()

        for _ in range(self.limits.threads):
            self._pool.submit(close)
        self._pool.shutdown()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = (writer.get_extra_info("peername") or ("?",))[0]
        if why := self._refusal(peer):
            logger.warning("MLLP connection from %s refused: %s", peer, why)
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._peers[peer] += 1
        try:
            await self._converse(reader, writer, peer, task)
        except (OSError, TimeoutError, asyncio.CancelledError) as error:
            logger.debug("MLLP connection from %s ended: %s", peer, type(error).__name__)
        finally:
            self._peers[peer] -= 1
            self._tasks.discard(task)
            self._busy.discard(task)
            writer.close()

    def _refusal(self, peer: str) -> str:
        if not self._admits(peer):
            return "no active feed of this listener allows its address"
        if len(self._tasks) >= self.limits.connections or self._peers[peer] >= self.limits.connections_per_peer:
            return "too many connections"
        return ""

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str, task: asyncio.Task[None]
    ) -> None:
        deframer = Deframer(self.limits.size, self.limits.size_of)
        deadline = Deadline(self.limits)
        while data := await self._read(reader, deadline.for_(deframer), peer):
            for events in _runs(deframer.feed(data), self._most):
                self._busy.add(task)
                goes_on = await self._answer(events, writer, peer)
                self._busy.discard(task)
                if self._stopping or not goes_on:
                    return
            if deframer.noise > NOISE_LIMIT:
                logger.warning("MLLP connection from %s closed: %s bytes without a message", peer, deframer.noise)
                return

    @staticmethod
    async def _read(reader: asyncio.StreamReader, deadline: float, peer: str) -> bytes:
        """The next bytes; none at the end, or when what has begun does not end in time. An idle peer may stay long."""
        try:
            async with asyncio.timeout_at(deadline):
                return await reader.read(65536)
        except TimeoutError:
            logger.warning("MLLP connection from %s closed: idle, or a message began and did not end in time", peer)
            return b""

    async def _answer(self, events: Sequence[Event], writer: asyncio.StreamWriter, peer: str) -> bool:
        """Whether the connection goes on: not without an answer, so that the sender repeats what it sent."""
        first = events[0]
        if self.release == 2 and isinstance(first, Frame) and first.payload in (COMMITTED, NOT_COMMITTED):
            return first.payload == COMMITTED  # of our answer, which is given again when the message is repeated
        try:
            answers = await asyncio.wrap_future(self._work(events, peer))
        except DatabaseError as error:
            logger.error("MLLP message from %s not answered: the database says %s", peer, type(error).__name__)
            answers = [None]
        else:
            answers = [given for event, given in zip(events, answers, strict=True) if not isinstance(event, Abandoned)]
        await self._write(answers, writer)
        return None not in answers

    def _work(self, events: Sequence[Event], peer: str) -> "Future[list[Answer]]":
        if self._together:
            return self._together(events, peer)
        assert self._handler
        handler = self._handler
        return self._pool.submit(lambda: [handler(event, peer) for event in events])

    async def _write(self, answers: Sequence[Answer], writer: asyncio.StreamWriter) -> None:
        """The answers up to the first that is not given."""
        blocks: list[bytes] = []
        for answer in answers:
            blocks += [] if self.release == 1 else [NOT_COMMITTED if answer is None else COMMITTED]
            if answer is None:
                break
            blocks += [answer] if answer else []
        writer.write(b"".join(map(frame, blocks)))
        async with asyncio.timeout(self.limits.frame_seconds):
            await writer.drain()


def _runs(events: Iterable[Event], most: int) -> Iterator[list[Event]]:
    """The events in order, at most so many at a time."""
    left = iter(events)
    while run := list(islice(left, most)):
        yield run


class Deadline:
    """When what has begun on a connection must have ended, on the event loop's clock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._begun = 0
        self._at: float | None = None

    def for_(self, deframer: Deframer) -> float:
        """The limit of an idle connection while nothing is unfinished; each message that begins has its own time."""
        now = asyncio.get_running_loop().time()
        if not deframer.is_unfinished:
            self._at = None
            return now + self._limits.idle_seconds
        if self._at is None or self._begun != deframer.begun:
            self._at = now + self._limits.frame_seconds
        self._begun = deframer.begun
        return self._at


class Client:
    """One connection to an MLLP listener; one message in flight. OSError (TimeoutError) when the exchange fails."""

    def __init__(self, address: tuple[str, int], timeout: float = 10.0) -> None:
        self.timeout = timeout
        self._socket = socket.create_connection(address, timeout)
        self._deframer = Deframer()

    def exchange(self, payload: bytes) -> bytes:
        """Send one message and wait for the next message of the peer."""
        deadline = time.monotonic() + self.timeout
        self._socket.settimeout(self.timeout)
        self._socket.sendall(frame(payload))
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("The connection was closed without an answer")
            for event in self._deframer.feed(data):
                if isinstance(event, Frame):
                    return event.payload
        raise TimeoutError("No answer in time")

    def close(self) -> None:
        self._socket.close()
