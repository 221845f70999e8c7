"""What worklists may show, kept in memory by each process and brought up to date before every answer.

An answer holds what was committed before its query was received: the view asks the log of changes in one statement
(``ris.services.changes``) what it has missed, and reads just that. Matching is then done in Python, by one
implementation for both databases, and costs what it returns: entries are found by station and start, or by an
identifier.
"""

import gc
import logging
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from django.db import Error as DatabaseUnavailable
from django.db import connection

from ris import visibility
from ris.models import StationAlias
from ris.selectors import site_zone
from ris.services import changes
from worklist import entry
from worklist.entry import Entry
from worklist.keys import BY_KEYWORD, STEP_BY_KEYWORD
from worklist.matching import Criteria
from worklist.mwl_answer import Form, Writer
from worklist.stations import Profile
from worklist.wildcard import name_groups

logger = logging.getLogger(__name__)

#: Keys that name few entries: each has an index of exact values.
INDEXED = {
    keyword: (BY_KEYWORD.get(keyword) or STEP_BY_KEYWORD[keyword]).value
    for keyword in (
        "AccessionNumber",
        "PatientID",
        "StudyInstanceUID",
        "RequestedProcedureID",
        "ScheduledProcedureStepID",
        "PlacerOrderNumberImagingServiceRequest",
        "FillerOrderNumberImagingServiceRequest",
        "AdmissionID",
    )
}
#: Seconds after which the view is refreshed without a query.
FRESH_SECONDS = 5.0
_patient_name = BY_KEYWORD["PatientName"].value
#: Forms of answers of which the encoded entries are kept, and encoded entries in all, of about a kilobyte each.
MOST_FORMS, MOST_WRITTEN = 64, 200_000
#: An entry with its place in the order of answers: start, then key.
Placed = tuple[datetime, int, Entry]
_AFTER_ALL, _LAST_CHARACTER = 1 << 63, "\U0010ffff"


class View:
    """The entries of this process. Any thread may ask; one at a time reads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._position: changes.Position | None = None
        self._began = self._looked_at = float("-inf")
        self._empty()
        self._aliases: dict[str, str] = {}
        self._writers: OrderedDict[Form, Writer] = OrderedDict()

    def _empty(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._by_station: dict[str, list[Placed]] = defaultdict(list)
        self._by_value: dict[str, dict[str, list[Entry]]] = {keyword: {} for keyword in INDEXED}
        self._by_name: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def refresh(self, received_at: float = 0.0) -> None:
        """Take in what was committed until now, unless a refresh began after ``received_at`` (time.monotonic) anyway.

        A database error is passed on: nothing is answered from an old reading.
        """
        with self._lock:
            if received_at and self._began > received_at:
                return
            began, now = time.monotonic(), time.time()
            known = self._position if now - self._looked_at < changes.LONGEST_GAP.total_seconds() else None
            found = changes.since(known)
            self._take(found)
            # Inside a transaction what was read may yet be rolled back, so the next look reads all again.
            self._position = None if connection.in_atomic_block else found.position
            self._began, self._looked_at = began, now

    def _take(self, found: changes.Changes) -> None:
        """All is read before the view is touched: after a failure it stands where it stood, and need not be read anew.
        When everything is read a failure leaves less than all, so that nobody knows where the view stands."""
        known = aliases() if found.aliases else self._aliases
        new = list(entry.shown(found.steps)) if found.steps and not found.everything else []
        self._position = None
        self._aliases = known
        if found.everything:
            self._empty()
            self._writers.clear()
            self._fill(entry.shown())
        else:
            self._replace(found.steps, new)

    def _fill(self, entries: Iterable[Entry]) -> None:
        gc.disable()  # all of it stays: to look through it again and again for garbage takes as long as reading it
        try:
            for one in entries:
                self._entries[one.pk] = one
                for ae_title in _titles(one):
                    self._by_station[ae_title].append((one.start, one.pk, one))
                self._index(one)
                self._by_name += _names(one)
        finally:
            gc.enable()
        self._by_name.sort()
        for placed in self._by_station.values():
            placed.sort()

    def _replace(self, pks: Collection[int], entries: list[Entry]) -> None:
        for pk in pks:
            if old := self._entries.pop(pk, None):
                self._remove(old)
        for new in entries:
            self._entries[new.pk] = new
            for ae_title in _titles(new):
                insort(self._by_station[ae_title], (new.start, new.pk, new))
            for name in _names(new):
                insort(self._by_name, name)
            self._index(new)

    def _index(self, one: Entry) -> None:
        for keyword, value_of in INDEXED.items():
            if value := value_of(one):
                self._by_value[keyword].setdefault(value.strip(), []).append(one)

    def _remove(self, old: Entry) -> None:
        for ae_title in _titles(old):
            placed = self._by_station[ae_title]
            del placed[bisect_left(placed, (old.start, old.pk))]
        for name in _names(old):
            del self._by_name[bisect_left(self._by_name, name)]
        for keyword, value_of in INDEXED.items():
            if value := value_of(old):
                index, value = self._by_value[keyword], value.strip()
                index[value].remove(old)
                if not index[value]:
                    del index[value]
        for writer in self._writers.values():
            writer.forget(old.pk)

    def find(self, criteria: Criteria, profile: Profile, most: int) -> list[Entry]:
        """The entries that match and that the station may see, in the order of their start, at most ``most``."""
        now = datetime.now(site_zone())
        with self._lock:
            candidates, are_visible = self._candidates(criteria, profile)
            matching = criteria.met_by(candidates, self._aliases)
            if not are_visible:
                matching = (one for one in matching if not hidden(one, profile, now))
            return list(islice(matching, most))

    def _candidates(self, criteria: Criteria, profile: Profile) -> tuple[Iterator[Entry], bool]:
        """Entries among which are all that match, in the order of their start: by identifier, name, or station; and
        whether they are so chosen that the station may see each of them."""
        named = [
            [one for value in condition.exactly for one in self._by_value[condition.keyword].get(value, ())]
            for condition in criteria.conditions
            if condition.exactly and condition.keyword in INDEXED
        ]
        if not named:
            named = [
                self._named(condition.begins)
                for condition in criteria.conditions
                if condition.begins and condition.keyword == "PatientName"
            ]
        if named:
            together = {one.pk: one for one in min(named, key=len)}
            return iter(sorted(together.values(), key=lambda one: (one.start, one.pk))), False
        stations = profile.siblings
        if criteria.stations is not None:
            stations = frozenset(self._aliases.get(title, title) for title in criteria.stations)
        return self._by_time(criteria, stations), stations <= profile.siblings and not visibility.has_rules(profile)

    def _named(self, begins: str) -> list[Entry]:
        low = bisect_left(self._by_name, (begins,))
        high = bisect_left(self._by_name, (begins + _LAST_CHARACTER,))
        return [self._entries[pk] for _name, pk in self._by_name[low:high]]

    def _by_time(self, criteria: Criteria, stations: frozenset[str]) -> Iterator[Entry]:
        first, last = (bound and bound.astimezone(UTC) for bound in criteria.window.bounds())
        slices = [self._between(self._by_station.get(ae_title, []), first, last) for ae_title in stations]
        if len(slices) == 1:
            return (one for _start, _pk, one in slices[0])
        together = {placed[1]: placed for one_slice in slices for placed in one_slice}
        return (one for _start, _pk, one in sorted(together.values()))

    @staticmethod
    def _between(placed: list[Placed], first: datetime | None, last: datetime | None) -> list[Placed]:
        low = bisect_left(placed, (first,)) if first else 0
        high = bisect_right(placed, (last, _AFTER_ALL)) if last else len(placed)
        return placed[low:high]

    def writer(self, form: Form) -> Writer:
        """The writer of a form; those that were used last are kept with what they have written."""
        with self._lock:
            writer = self._writers.pop(form, None)
            if writer is None:
                writer = Writer(form)
            self._writers[form] = writer
            while len(self._writers) > 1 and (
                len(self._writers) > MOST_FORMS or sum(map(len, self._writers.values())) > MOST_WRITTEN
            ):
                self._writers.popitem(last=False)
            return writer


def aliases() -> dict[str, str]:
    """Alias -> the AE title of its station, as the database has them now."""
    return dict(StationAlias.objects.values_list("ae_title", "station__ae_title"))


def _names(one: Entry) -> list[tuple[str, int]]:
    """The component groups of the patient's name, folded, by which an index finds the entry."""
    return [(group, one.pk) for group in name_groups(_patient_name(one)) if group]


def hidden(one: Entry, profile: Profile, now: datetime) -> list[str]:
    """Why a station's rules hide an entry, a sentence each; ``now`` is in the site's zone."""
    stations = _titles(one)
    return visibility.reasons(profile, profile.siblings, status=one.status, start=one.start, stations=stations, now=now)


def _titles(one: Entry) -> list[str]:
    return [station.ae_title for station in one.stations]


#: The one view of this process.
view = View()


def keep_fresh(stop: threading.Event) -> threading.Thread:
    """Read the view now, and have it refreshed when no query does, until ``stop``: in the thread that is given back.

    So the first query of a process need not wait for all entries to be read, nor one in the morning for the night's.
    """
    _refresh_if_stale()
    connection.close()  # the thread has its own
    thread = threading.Thread(target=_keep_fresh, args=(stop,), name="view", daemon=True)
    thread.start()
    return thread


def _keep_fresh(stop: threading.Event) -> None:
    while not stop.wait(FRESH_SECONDS):
        _refresh_if_stale()
    connection.close()


def _refresh_if_stale() -> None:
    try:
        view.refresh(time.monotonic() - FRESH_SECONDS)
    except DatabaseUnavailable as error:
        logger.error("the worklist cannot be read: %s", type(error).__name__)
        connection.close()
