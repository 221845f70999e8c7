"""Why a caller is refused: an AE title is easily borrowed, so a station may be bound to networks, a certificate, a
passcode.

Each refusal is an A-ASSOCIATE-RJ (PS3.8 Table 9-21) with the words for the log and for the list of refused callers.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from django.utils.crypto import constant_time_compare, salted_hmac

from ris.networks import within
from worklist.negotiation import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    NO_REASON,
    TEMPORARY_CONGESTION,
    Rejection,
)
from worklist.stations import Profile

#: So many wrong passcodes lock a station's address out for so many seconds.
MOST_FAILURES, LOCKED_SECONDS = 5, 15 * 60.0
#: Stations and addresses whose failures are remembered.
_MOST_REMEMBERED = 1_000


class Refusal(NamedTuple):
    rejection: Rejection
    why: str


class Caller(NamedTuple):
    """What is known of who calls: its address, the names in its certificate (TLS), the passcode that it gave."""

    address: str
    certificate_names: frozenset[str] = frozenset()
    passcode: bytes | None = None


#: What is wrong with a request whoever calls.
FOR_ANYBODY = {
    APPLICATION_CONTEXT_NOT_SUPPORTED: Refusal(APPLICATION_CONTEXT_NOT_SUPPORTED, "unknown application context"),
    NO_REASON: Refusal(NO_REASON, "it takes too short PDUs"),
}
UNKNOWN_CALLED = Refusal(CALLED_AE_TITLE_NOT_RECOGNIZED, "called AE title not recognized")
UNKNOWN_CALLING = Refusal(CALLING_AE_TITLE_NOT_RECOGNIZED, "calling AE title not recognized")
NO_STATIONS = Refusal(TEMPORARY_CONGESTION, "the list of stations cannot be read")
OTHER_NETWORK = Refusal(CALLING_AE_TITLE_NOT_RECOGNIZED, "not from a network of this station")
OTHER_CERTIFICATE = Refusal(CALLING_AE_TITLE_NOT_RECOGNIZED, "without the certificate of this station")
WRONG_PASSCODE = Refusal(NO_REASON, "without the passcode of this station")
LOCKED = Refusal(NO_REASON, "locked out after wrong passcodes")


class Lockout:
    """Counts wrong passcodes by station and address. ``clock`` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[int, str], tuple[int, float]] = OrderedDict()

    def is_locked(self, station: int, address: str) -> bool:
        count, until = self._failures.get((station, address), (0, 0.0))
        if count and self._clock() >= until:
            del self._failures[station, address]
            return False
        return count >= MOST_FAILURES

    def failed(self, station: int, address: str) -> None:
        count, _until = self._failures.pop((station, address), (0, 0.0))
        self._failures[station, address] = (count + 1, self._clock() + LOCKED_SECONDS)
        if len(self._failures) > _MOST_REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, station: int, address: str) -> None:
        self._failures.pop((station, address), None)


def refusal(station: Profile, caller: Caller, lockout: Lockout) -> Refusal | None:
    """Why a known station is refused when it calls so; None: it may come in."""
    if station.networks and not within(caller.address, station.networks):
        return OTHER_NETWORK
    if station.certificate_name and station.certificate_name not in caller.certificate_names:
        return OTHER_CERTIFICATE
    return _identity_refusal(station, caller, lockout) if station.passcode_digest else None


def _identity_refusal(station: Profile, caller: Caller, lockout: Lockout) -> Refusal | None:
    """PS3.7 D.3.3.7. Who gives no passcode guesses none, and is refused without being counted."""
    if lockout.is_locked(station.pk, caller.address):
        return LOCKED
    if caller.passcode is None:
        return WRONG_PASSCODE
    if not constant_time_compare(digest(station.pk, caller.passcode), station.passcode_digest):
        lockout.failed(station.pk, caller.address)
        return WRONG_PASSCODE
    lockout.succeeded(station.pk, caller.address)
    return None


def digest(station: int, passcode: bytes) -> str:
    """What is kept of a passcode. It is made by us and long, so that a slow hash, which a door cannot afford, gains
    nothing."""
    return salted_hmac("worklist.station", f"{station}:{passcode.hex()}", algorithm="sha256").hexdigest()
