"""Who may come in: the stations of the database, and from this machine our own probe."""

import asyncio
import logging

from django.conf import settings
from pydicom.uid import UID

from worklist import activity
from worklist.acceptor import Acceptor
from worklist.binding import (
    FOR_ANYBODY,
    NO_STATIONS,
    UNKNOWN_CALLED,
    UNKNOWN_CALLING,
    Caller,
    Lockout,
    Refusal,
    refusal,
)
from worklist.negotiation import Asked
from worklist.stations import Profile, Stations
from worklist.workers import Workers

logger = logging.getLogger(__name__)

#: Seconds that a peer waits for the list of stations to be read anew; then the last list holds. With
#: Limits.query_seconds that is less than three. Before it was ever read there is more time.
READ_SECONDS, FIRST_READ_SECONDS = 0.4, 1.0


class Admission:
    """Answers A-ASSOCIATE indications, from the event loop. The database is asked in a thread, for all who wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, workers: Workers, stations: Stations) -> None:
        self._loop, self._workers, self._stations = loop, workers, stations
        self._waiting: list[tuple[Asked, Acceptor]] = []
        self._is_reading = self._hangs = False
        self._lockout = Lockout()

    def admit(self, asked: Asked, acceptor: Acceptor) -> None:
        """Accept or reject, now or when the list of stations has been read."""
        if self._stations.is_fresh or self._hangs:
            self._decide(asked, acceptor)
            return
        self._waiting.append((asked, acceptor))
        if len(self._waiting) == 1:
            self._loop.call_later(READ_SECONDS if self._stations.is_known else FIRST_READ_SECONDS, self._waited)
        if not self._is_reading:
            self._is_reading = True
            self._workers.submit(self._read)

    def _read(self) -> None:
        try:
            self._stations.read()
        finally:
            self._loop.call_soon_threadsafe(self._was_read)

    def _waited(self) -> None:
        """The database hangs if it is still being asked: then nobody waits for it any more, until it has answered."""
        self._hangs = self._is_reading
        self._decide_all()

    def _was_read(self) -> None:
        self._is_reading = self._hangs = False
        self._decide_all()

    def _decide_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for asked, acceptor in waiting:
            try:
                self._decide(asked, acceptor)
            except Exception as error:  # noqa: BLE001 - the others wait for their answer too
                acceptor.failed(error)

    def _decide(self, asked: Asked, acceptor: Acceptor) -> None:
        decision = self._decision(asked, acceptor)
        if isinstance(decision, Profile):
            acceptor.accept(decision)
            return
        proposed = [UID(uid).name for uid in asked.abstract_syntaxes]
        activity.refused(asked.calling, asked.called, acceptor.address, decision.why, proposed)
        acceptor.reject(decision.rejection, decision.why)

    def _decision(self, asked: Asked, acceptor: Acceptor) -> Profile | Refusal:
        """The caller's profile, or why it may not come in. Our own AE title is the probe that the process is well."""
        if asked.rejection is not None:
            return FOR_ANYBODY[asked.rejection]
        if asked.called != settings.AE_TITLE:
            return UNKNOWN_CALLED
        if asked.calling == settings.AE_TITLE and acceptor.is_local:
            return Profile()
        if not self._stations.is_known:
            return NO_STATIONS
        station = self._stations.find(asked.calling)
        if station is None:
            return UNKNOWN_CALLING
        caller = Caller(acceptor.address, acceptor.certificate_names, asked.passcode)
        return refusal(station, caller, self._lockout) or station
