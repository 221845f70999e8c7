"""Who may call, and how a station wants its worklist: read from the database every few seconds, not per association."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import Error as DatabaseUnavailable

from ris.models import Station
from ris.networks import Network, networks
from ris.selectors import active_stations
from ris.sight import siblings

logger = logging.getLogger(__name__)

#: Seconds for which the list of stations is kept: a new station is let in within this time.
STATIONS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A calling station as its administrator set it (ris.models.Station). ``pk`` 0: our own probe, which sees nothing.

    ``siblings`` are the AE titles of all stations whose rows it may see: its department's, its own among them;
    ``aliases`` the other AE titles by which it calls or asks. ``networks``, ``certificate_name`` and
    ``passcode_digest`` bind it to its machine (worklist.binding); empty they bind it to none.
    """

    pk: int = 0
    ae_title: str = ""
    modality: str = ""
    aliases: frozenset[str] = frozenset()
    siblings: frozenset[str] = frozenset()
    character_set: str = "ISO_IR 192"
    only_arrived: bool = False
    days_before: int | None = None
    days_after: int | None = None
    most_answers: int = 5_000
    overlong: str = Station.Overlong.CUT
    default_keys: Mapping[str, str] = field(default_factory=dict)
    mpps_strictness: str = Station.Strictness.LENIENT
    sends_mpps: bool = True
    networks: tuple[Network, ...] = ()
    certificate_name: str = ""
    passcode_digest: str = ""


class Stations:
    """The profiles of all AE titles that may call, aliases included; to be read anew after STATIONS_SECONDS.

    While the database is away the last list holds, so that a scanner is told A700H and not that it is unknown.
    """

    def __init__(self) -> None:
        self._read_at = 0.0
        self._profiles: dict[str, Profile] | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether ``find`` may be believed without ``read`` before."""
        return self._profiles is not None and time.monotonic() < self._read_at + STATIONS_SECONDS

    @property
    def is_known(self) -> bool:
        """Whether the list was ever read."""
        return self._profiles is not None

    def find(self, ae_title: str) -> Profile | None:
        """The profile of who calls by this AE title; None: unknown or not active. Does not ask the database."""
        return (self._profiles or {}).get(ae_title)

    def read(self) -> None:
        """Ask the database, off the event loop."""
        began = time.monotonic()
        try:
            self._profiles = profiles()
        except DatabaseUnavailable as error:
            logger.error("stations cannot be read: %s", type(error).__name__)
        self._read_at = began


def profiles() -> dict[str, Profile]:
    """AE title or alias -> profile, of all active stations."""
    titles = siblings()
    found: dict[str, Profile] = {}
    for station in active_stations().prefetch_related("aliases"):
        profile = of(station, titles[station.pk])
        found |= dict.fromkeys((station.ae_title, *profile.aliases), profile)
    return found


def of(station: Station, titles: frozenset[str]) -> Profile:
    """A station's profile; ``titles`` are its ``siblings``."""
    return Profile(
        pk=station.pk,
        ae_title=station.ae_title,
        modality=station.modality,
        aliases=frozenset(alias.ae_title for alias in station.aliases.all()),
        siblings=titles,
        character_set=station.character_set,
        only_arrived=station.only_arrived,
        days_before=station.days_before,
        days_after=station.days_after,
        most_answers=station.most_answers,
        overlong=station.overlong,
        default_keys=station.default_keys,
        mpps_strictness=station.mpps_strictness,
        sends_mpps=station.sends_mpps,
        networks=networks(station.allowed_networks),
        certificate_name=station.certificate_name,
        passcode_digest=station.passcode_digest,
    )
