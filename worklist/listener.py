"""Accepting connections: caps are checked before anything is made for a peer, and a TLS handshake holds up nobody."""

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

from worklist.limits import Limits

logger = logging.getLogger(__name__)

_BACKLOG = 512
#: Connections taken in one go before the loop looks after the others.
_AT_ONCE = 64
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Seconds without accepting when the system has no descriptor left.
_PAUSE_SECONDS = 1.0


def listening(address: tuple[str, int], reuse_port: bool) -> socket.socket:
    """A socket that listens at ``address``. Connections inherit that they send at once and notice a dead peer."""
    host, port = address
    family, kind, protocol, _name, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class Listener:
    """Accepts on ``listener``; ``protocol`` makes what serves a connection from an address.

    Who got a place gives it back by ``left``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        limits: Limits,
        tls: ssl.SSLContext | None,
        protocol: Callable[[str], asyncio.Protocol],
    ) -> None:
        self._loop, self._listener, self._limits, self._tls = loop, listener, limits, tls
        self._protocol = protocol
        self._places: Counter[str] = Counter()
        self.taken = 0  #: Connections that have a place.
        self._opening: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Accept from now on."""
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept no more, and end handshakes that go on."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._opening if self._tls else ():
            task.cancel()

    def left(self, address: str) -> None:
        """A connection from ``address`` is gone."""
        self.taken -= 1
        self._places[address] -= 1
        if not self._places[address]:
            del self._places[address]

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, where = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._exhausted(error)
                return
            if self._has_place(where[0]):
                self._open(client, where[0])
            else:
                client.close()

    def _open(self, client: socket.socket, address: str) -> None:
        self.taken += 1
        self._places[address] += 1
        task = self._loop.create_task(self._serve(client, address))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _has_place(self, address: str) -> bool:
        limits = self._limits
        return self.taken < limits.connections and self._places[address] < limits.connections_per_address

    def _exhausted(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            raise error
        logger.error("no connection can be accepted: %s", error.strerror)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self.open)

    async def _serve(self, client: socket.socket, address: str) -> None:
        """Hand the connection to its protocol, after the TLS handshake if there is one."""
        client.setblocking(False)
        tls: dict[str, Any] = {}
        if self._tls:
            tls = {
                "ssl": self._tls,
                "ssl_handshake_timeout": self._limits.handshake_seconds,
                "ssl_shutdown_timeout": self._limits.closing_seconds,
            }
        try:
            await self._loop.connect_accepted_socket(lambda: self._protocol(address), client, **tls)
        except (OSError, asyncio.CancelledError) as error:
            client.close()
            self.left(address)
            logger.warning("connection from %s: no TLS handshake (%s)", address, type(error).__name__)
