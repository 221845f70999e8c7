"""The addresses at which HL7 is taken: SUNVIEW_MLLP and the rows of Listener, each with its feeds and limits."""

import asyncio
import ipaddress
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import DatabaseError, connection

from hl7.arrival import DEFAULT_LISTENER
from hl7.framing import Event
from hl7.mllp import Answer, Limits, Server
from hl7.models import Feed, Listener
from hl7.workers import Workers
from ris.networks import Network, within

logger = logging.getLogger(__name__)

#: Does the work of one message; takes the listener's key behind what an mllp.Handler takes.
Work = Callable[[Event, str, int], Answer]

#: Seconds after which a changed network of a feed holds.
_REFRESH_SECONDS = 5.0


class Doors:
    """Who may connect to which listener: the networks of its active feeds, as they were read last."""

    def __init__(self) -> None:
        self._networks: dict[int, set[Network]] = {}
        self._told: set[tuple[int, str]] = set()

    def refresh(self) -> None:
        """Read the networks. DatabaseError leaves them as they were."""
        networks: dict[int, set[Network]] = {}
        for feed in Feed.objects.filter(is_active=True):
            networks.setdefault(feed.listener_id or DEFAULT_LISTENER, set()).update(feed.networks())
        if networks != self._networks:
            self._networks, self._told = networks, set()

    def admit(self, listener: int, peer: str) -> bool:
        """Whether an active feed of the listener allows the address; the first refusal of each is told."""
        if within(peer, self._networks.get(listener, ())):
            return True
        if (listener, peer) not in self._told and not ipaddress.ip_address(
            peer
        ).is_loopback:  # our own supervisor looks whether we answer
            self._told.add((listener, peer))
            logger.warning("MLLP: %s may not connect: no active feed of the listener allows its address", peer)
        return False

    def keep_fresh(self, stop: threading.Event) -> None:
        """Read the networks again and again until ``stop``."""
        while not stop.wait(_REFRESH_SECONDS):
            try:
                self.refresh()
            except DatabaseError as error:
                logger.warning("MLLP: who may connect could not be read: %s", type(error).__name__)
            finally:
                connection.close()


@dataclass(frozen=True)
class Listening:
    """Every server of this process."""

    servers: list[Server]
    doors: Doors

    async def run(self, stop: threading.Event) -> None:
        """Serve at every address until ``stop``; OSError if one of them is taken."""
        await asyncio.gather(*(server.run(stop) for server in self.servers))


def listening(work: Work | Workers, threads: int) -> Listening:
    """The servers as they are configured now. DatabaseError if that cannot be read."""
    doors = Doors()
    doors.refresh()

    def server(listener: int, address: tuple[str, int], limits: Limits, release: int = 1) -> Server:
        admits = partial(doors.admit, listener)
        if isinstance(work, Workers):
            submit = work.submit
            return Server(
                address,
                together=lambda events, peer: submit([(event, peer, listener) for event in events]),
                limits=limits,
                admits=admits,
                release=release,
            )
        return Server(address, lambda event, peer: work(event, peer, listener), limits, admits=admits, release=release)

    servers = [server(DEFAULT_LISTENER, settings.MLLP_ADDRESS, Limits(threads=threads))]
    for row in Listener.objects.filter(is_active=True):
        servers.append(server(row.pk, (row.host, row.port), _limits(row, threads), row.release))
    return Listening(servers, doors)


def _limits(row: Listener, threads: int) -> Limits:
    return Limits(
        connections_per_peer=row.connections_per_peer,
        idle_seconds=row.idle_minutes * 60.0,
        size=row.size_kb * 1024,
        document_size=row.document_size_kb * 1024,
        threads=threads,
    )
