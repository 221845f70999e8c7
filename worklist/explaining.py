"""Why an exam is, or is not, on a scanner's list: by the station's rules, by a question it asked or one it would ask.

A logged question holds no value that could name a patient (``worklist.query_log``): such a key is compared by its hash
with the exam's own value, and what was asked by a pattern cannot be told.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from itertools import product
from typing import Any

from django.utils import timezone
from pydicom.datadict import dictionary_VR, tag_for_keyword

from ris import selectors, sight
from ris.models import ScheduledProcedureStep, Station
from ris.states import PENDING
from worklist import clues, identifier, matching, query_log
from worklist.clock import to_site
from worklist.entry import Entry, of_any
from worklist.keys import ABOUT_THE_IDENTIFIER, BY_KEYWORD, STEP_BY_KEYWORD, Key
from worklist.models import WorklistQuery
from worklist.mwl import TODAY
from worklist.status import OUT_OF_RESOURCES, Failure
from worklist.view import aliases

_STATUS = "ScheduledProcedureStepStatus"
_DATE, _TIME = "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"
_ZONE = "TimezoneOffsetFromUTC"
#: Steps of one accession number that are explained.
MOST_STEPS = 20


@dataclass(frozen=True)
class Question:
    """The matching keys of a query: (keyword, value), several values with backslashes; ``logged`` if it was asked."""

    keys: tuple[tuple[str, str], ...]
    logged: WorklistQuery | None = None

    @classmethod
    def of(cls, logged: WorklistQuery) -> "Question":
        return cls(tuple((keyword, value) for keyword, value in logged.keys), logged)

    @classmethod
    def said(cls, texts: Iterable[str]) -> "Question":
        """Of texts such as ``Modality=CT`` or ``RequestedProcedureCodeSequence.CodeValue=X``.

        ValueError with a sentence if one is none.
        """
        return cls(tuple(_key(text) for text in texts))

    @property
    def words(self) -> str:
        return ", ".join(f"{keyword} = {value}" for keyword, value in self.keys if value) or "no key: every entry"


def _key(text: str) -> tuple[str, str]:
    keyword, equals, value = (part.strip() for part in text.partition("="))
    if not (keyword and equals):
        raise ValueError(f"{keyword[:64]}: a key is written as Keyword=value")
    sequence, _dot, nested = keyword.rpartition(".")
    tag = tag_for_keyword(nested)
    if tag is None or (sequence and tag_for_keyword(sequence) is None):
        raise ValueError(f"{keyword[:64]} is no DICOM keyword")
    if dictionary_VR(tag) == "SQ":
        raise ValueError(f"{keyword} is a sequence: give the keys in it")
    return keyword, value


@dataclass
class Verdict:
    """``reasons`` keep the exam off, a sentence each; ``doubts`` cannot be told; ``notes`` are good to know. ``unmet``
    are the keywords of the keys that do not match."""

    reasons: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        return "OFF" if self.reasons else "UNSURE" if self.doubts else "ON"


@dataclass(frozen=True)
class Case:
    """One step that is asked about, as the worklist has it; ``ae_titles`` say which station an alias means."""

    step: ScheduledProcedureStep
    entry: Entry
    ae_titles: Mapping[str, str]

    @property
    def headline(self) -> str:
        step = self.step
        start = f"{to_site(step.start):%Y-%m-%d %H:%M}" if step.start else "no start"
        return f"{step.scheduled_procedure_step_id} {step.modality or 'no modality'} {step.status}, {start}"


def cases_of(accession_number: str) -> list[Case]:
    """The steps of an accession number in their order."""
    found = selectors.steps().filter(requested_procedure__order__accession_number=accession_number)
    steps = found.order_by("requested_procedure__position", "position", "pk")[:MOST_STEPS]
    ae_titles = aliases()
    return [Case(step, of_any(step.pk), ae_titles) for step in steps]


def verdict(case: Case, station: Station, titles: Collection[str], question: Question | None = None) -> Verdict:
    """Whether a station gets a step; ``titles`` are its ``siblings``. Without a question: if it asks for its own."""
    found = _own(case.step, station, titles) if question is None else _asked(case, station, titles, question)
    found.notes += clues.lost(case.step, station)
    return found


def _asked(case: Case, station: Station, titles: Collection[str], question: Question) -> Verdict:
    step, keys = case.step, _filled(question, station)
    asked = matching.criteria(identifier.asking({_STATUS: dict(keys).get(_STATUS, "")})).statuses
    found = Verdict(selectors.worklist_obstacles(step, PENDING | asked) + sight.hidden_from(step, station, titles))
    if not station.is_active:
        found.reasons.append("the station is not active: its association is refused")
    _compare(case, keys, found)
    if question.logged and question.logged.status:
        words = f"the last time it was answered with {question.logged.status:04X}H, not with success"
        # Its keys could not be read, or some of what matched was left out.
        untold = not question.keys or question.logged.status == OUT_OF_RESOURCES
        (found.doubts if untold else found.notes).append(words)
    asked_at = question.logged.last_at if question.logged else None
    for keyword, value in keys:
        if keyword in found.unmet:
            found.notes += clues.behind(step, keyword, value, asked_at)
    filled = keys[len(question.keys) :]
    found.notes += [f"{keyword} = {value} is filled in by the station's profile" for keyword, value in filled]
    return found


def filled_in(step: ScheduledProcedureStep, station: Station) -> list[str]:
    """What the station's profile fills in, where it asks for no more than its own, and the step is not; a sentence
    each."""
    keys = _filled(Question((("ScheduledStationAETitle", station.ae_title),)), station)[1:]
    found = Verdict()
    if keys:
        _compare(Case(step, of_any(step.pk), aliases()), keys, found)
    return [f"{reason} (the profile fills in what the scanner leaves empty)" for reason in found.reasons]


def _own(step: ScheduledProcedureStep, station: Station, titles: Collection[str]) -> Verdict:
    found = Verdict(sight.station_obstacles(step, station, titles))
    if (
        found.reasons
        and station.is_active
        and not (selectors.worklist_obstacles(step) or sight.hidden_from(step, station, titles))
    ):
        found.notes.append("same department: it is answered to a query that asks for that station, or for any")
    return found


def _filled(question: Question, station: Station) -> tuple[tuple[str, str], ...]:
    """The keys, and behind them those that the station's profile fills in because they were left empty."""
    asked = {keyword for keyword, value in question.keys if value}
    today = f"{timezone.localdate():%Y%m%d}"
    filled = {keyword: today if value == TODAY else value for keyword, value in station.default_keys.items()}
    return question.keys + tuple((keyword, value) for keyword, value in filled.items() if keyword not in asked)


def _compare(case: Case, keys: tuple[tuple[str, str], ...], found: Verdict) -> None:
    """Each key by itself, but date and time, which are one, and what is asked of one item of a sequence."""
    together: dict[str, dict[str, str]] = {}
    for keyword, value in keys:
        if value and keyword not in ABOUT_THE_IDENTIFIER:
            together.setdefault(_group(keyword, value), {})[keyword] = value
    zone = dict(keys).get(_ZONE, "")
    for group, asked in together.items():
        if _is_hidden(asked.get(group, "")):
            _compare_hidden(case, group, asked[group], found)
        else:
            _compare_shown(case, asked, found, zone if group == _DATE else "")


def _group(keyword: str, value: str) -> str:
    """What is compared together; a value that is hidden by itself."""
    if _is_hidden(value):
        return keyword
    return _DATE if keyword == _TIME else keyword.rpartition(".")[0] or keyword


def _is_hidden(value: str) -> bool:
    return query_log.PATTERN in value.split("\\") or query_log.HASH in value


def _compare_shown(case: Case, keys: dict[str, str], found: Verdict, zone: str = "") -> None:
    """``zone`` is the Timezone Offset From UTC (0008,0201) that the question says for its dates and times."""
    try:
        criteria = matching.criteria(identifier.asking(keys | ({_ZONE: zone} if zone else {})))
    except Failure as failure:
        found.reasons.append(f"the query is refused with {failure.status:04X}H: {failure}")
        return
    if criteria.unsupported:
        found.notes.append(f"{', '.join(criteria.unsupported)}: not matched by, taken as a return key (FF01H)")
    if not _matches(case, criteria, by_status=_STATUS in keys):
        found.reasons.append(_sentence(case, keys))
        found.unmet += keys


def _matches(case: Case, criteria: matching.Criteria, by_status: bool) -> bool:
    return not [keyword for keyword in criteria.unmet(case.entry, case.ae_titles) if by_status or keyword != _STATUS]


def _sentence(case: Case, keys: dict[str, str]) -> str:
    """What was asked and what the step has; of a key that could name a patient neither."""
    named = " and ".join(keys)
    if not all(keyword in query_log.READABLE for keyword in keys):
        return f"{named}: the query asked for another one"
    asked = " and ".join(value.replace("\\", " or ") for value in keys.values())
    own = " and ".join(", ".join(_own_values(case, keyword)) or "none" for keyword in keys)
    return f"{named}: the query asked for {asked}, the step has {own}"


def _compare_hidden(case: Case, keyword: str, value: str, found: Verdict) -> None:
    asked = value.split("\\")
    if any(query_log.hashed(keyword, own) in asked for own in _own_values(case, keyword)) or "*" in asked:
        return
    if query_log.PATTERN in asked:
        found.doubts.append(f"{keyword}: asked by a pattern or range, which is not kept")
    else:
        found.reasons.append(f"{keyword}: the query asked for another one")
        found.unmet.append(keyword)


def _own_values(case: Case, keyword: str) -> Iterator[str]:
    """The entry's values of an attribute as texts; of a name the whole and each component group (PS3.5 6.2.1)."""
    sequence, _dot, nested = keyword.rpartition(".")
    key: Key | None = STEP_BY_KEYWORD.get(sequence or nested) or BY_KEYWORD.get(sequence or nested)
    value: Any = key.value(case.entry) if key else None
    if key and sequence:
        key = key.by_keyword.get(nested)
        value = [key.value(row) for row in value] if key else None
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, (date, time)):
            yield f"{each:%Y%m%d}" if isinstance(each, date) else f"{each:%H%M%S}"
        elif each not in (None, ""):
            yield from _names(str(each)) if key and key.vr == "PN" else (str(each),)


def _names(name: str) -> Iterator[str]:
    """All that a key without wildcards may say of a name: one component group, or each of them or nothing in its place
    (PS3.5 6.2.1.2)."""
    groups = name.split("=")
    yield from groups
    yield from ("=".join(said) for said in product(*((group, "") for group in groups)) if any(said))
