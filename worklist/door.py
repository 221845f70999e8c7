"""The front door: one listening port, an event loop in a thread of its own, and the threads that answer requests."""

import asyncio
import logging
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from pynetdicom import AE

from worklist import handling, status
from worklist.acceptor import Acceptor
from worklist.admission import Admission
from worklist.assembly import Room
from worklist.association import Association
from worklist.dialogue import Dialogue, Incoming, Line, Peer, Service
from worklist.dimse import SUCCESS, VERIFICATION
from worklist.limits import USUAL, Limits
from worklist.listener import Listener, listening
from worklist.negotiation import Asked, Negotiation
from worklist.stations import Stations
from worklist.workers import Workers, query_options

logger = logging.getLogger(__name__)

#: Threads for everything but queries and C-ECHO, which have one: handing them to many costs three times (peers.md),
#: and large data sets, which have one too.
_THREADS = 4
#: Seconds that the threads of each kind may take to end what they do when the door is stopped.
_THREAD_SECONDS = 2.0


class Door:
    """One listening port with its handlers by verb: ``{"C-ECHO": handler, ...}``, and ``query`` for C-FIND.

    ``contexts`` are abstract syntax -> transfer syntaxes; ``incoming`` opens a file for each object to store;
    ``stations`` are who may come in. With ``tls`` the port speaks only TLS. With ``reuse_port`` several processes may
    listen at one address.
    """

    def __init__(
        self,
        address: tuple[str, int],
        contexts: Mapping[str, list[str]],
        handlers: Mapping[str, handling.Handler],
        query: handling.QueryHandler | None = None,
        *,
        incoming: Incoming | None = None,
        stations: Stations | None = None,
        limits: Limits = USUAL,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        self.limits = limits
        self._negotiation = Negotiation(contexts)
        self._stations = stations or Stations()
        self._handlers, self._query, self._incoming = handlers, query, incoming
        self._socket = listening(address, reuse_port)
        self.port = int(self._socket.getsockname()[1])
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(_unforeseen)
        self._associations: set[Acceptor] = set()
        self._empty = asyncio.Event()
        self._listener = Listener(self.loop, self._socket, limits, tls, self._association)
        self._thread = threading.Thread(target=self._run, name="dicom", daemon=True)

    def start(self) -> "Door":
        """Accept associations from now on."""
        self._queries = Workers("dicom-query", 1, query_options())
        self._others = Workers("dicom-other", _THREADS)
        self._large = Workers("dicom-large", 1)
        self._admission = Admission(self.loop, self._others, self._stations)
        self._service = Service(
            self.loop,
            self.limits,
            self._handlers,
            self._query,
            self._incoming,
            self._queries,
            self._others,
            self._large,
            Room(self.limits.room),
        )
        self._listener.open()
        self._thread.start()
        return self

    def stop(self, seconds: float = 6.0) -> None:
        """Accept no more, let running associations end for at most ``seconds``, abort the rest."""
        asyncio.run_coroutine_threadsafe(self._end(seconds), self.loop).result()
        with ThreadPoolExecutor(3) as pool:
            ended = list(pool.map(lambda each: each.stop(_THREAD_SECONDS), (self._queries, self._others, self._large)))
        if not all(ended):
            logger.error("a request did not end in time and is left behind")
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    @property
    def connections(self) -> int:
        """Connections that are open, those in a TLS handshake among them."""
        return self._listener.taken

    # What associations ask of their door

    def asked(self, body: bytes) -> Asked:
        return self._negotiation.of(body)

    def admit(self, asked: Asked, acceptor: Acceptor) -> None:
        self._admission.admit(asked, acceptor)

    def dialogue(self, peer: Peer, line: Line) -> Dialogue:
        return Dialogue(self._service, peer, line)

    def entered(self, acceptor: Acceptor) -> None:
        self._associations.add(acceptor)
        self._empty.clear()

    def left(self, acceptor: Acceptor) -> None:
        self._associations.discard(acceptor)
        self._listener.left(acceptor.address)
        if not self._associations:
            self._empty.set()

    def _association(self, address: str) -> Association:
        return Association(self, address)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    async def _end(self, seconds: float) -> None:
        self._listener.close()
        for association in list(self._associations):
            if not association.is_open:
                association.abort("")
        await self._until_empty(seconds)
        for association in list(self._associations):
            association.abort("Sunview stops")
        await self._until_empty(self.limits.closing_seconds)
        for association in list(self._associations):
            association.abort("")
        await asyncio.sleep(0)

    async def _until_empty(self, seconds: float) -> None:
        if self._associations:
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                logger.info("%d associations are still open", len(self._associations))


def _unforeseen(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's exception handler. Its usual one would log values, which may be patient data."""
    error = context.get("exception")
    if not isinstance(error, (ConnectionError, TimeoutError, ssl.SSLError)):
        logger.error("unforeseen in the event loop: %s", status.place(error) if error else "no exception")


def probe(address: tuple[str, int]) -> bool:
    """Whether the door at ``address`` answers a C-ECHO of ours with success."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])
    caller = AE(ae_title=settings.AE_TITLE)
    caller.acse_timeout = caller.dimse_timeout = caller.connection_timeout = 5
    caller.add_requested_context(VERIFICATION)
    association = caller.associate(host, address[1], ae_title=settings.AE_TITLE)
    if not association.is_established:
        return False
    answer = association.send_c_echo()
    association.release()
    return bool(answer and answer.Status == SUCCESS)
