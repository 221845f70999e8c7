"""DICOM matching (PS3.4 C.2.2.2, K.6.1.2): an identifier becomes conditions, which an entry meets or not."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal, InvalidOperation
from typing import Any

from ris.states import PENDING, StepStatus
from worklist import clock
from worklist.entry import SHOWN, Entry
from worklist.identifier import Element, Identifier
from worklist.keys import ABOUT_THE_IDENTIFIER, BY_KEYWORD, STEP_BY_KEYWORD, STEP_SEQUENCE, Key, Match
from worklist.status import DOES_NOT_MATCH_SOP_CLASS, Failure
from worklist.wildcard import beginning, is_wild, pattern, person

_START = ("ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime")


@dataclass(frozen=True)
class Condition:
    """What one key asks of an entry, or of an item inside a sequence. ``exactly`` are the values that it may have, if
    the key names them without wildcard, and ``begins`` how a name in it begins: an index finds the entries."""

    keyword: str
    holds: Callable[[Any], bool]
    exactly: frozenset[str] = frozenset()
    begins: str = ""


@dataclass
class Criteria:
    """What an identifier asks for.

    ``stations`` are the AE titles asked for, of any station without; ``statuses`` the step's; ``unsupported`` names
    keys that could only be taken as return keys (FF01H). ``start`` are the keywords of what ``window`` was made of.
    """

    conditions: list[Condition] = field(default_factory=list)
    window: clock.Window = field(default_factory=clock.Window)
    stations: frozenset[str] | None = None
    statuses: frozenset[StepStatus] = PENDING
    unsupported: list[str] = field(default_factory=list)
    start: tuple[str, ...] = ()

    def met_by(self, entries: Iterable[Entry], ae_titles: Mapping[str, str]) -> Iterator[Entry]:
        """Those of the entries that match; ``ae_titles`` says which station an alias means."""
        tests = [test for _keyword, test in self._tests(ae_titles)]
        for entry in entries:
            for test in tests:
                if not test(entry):
                    break
            else:
                yield entry

    def unmet(self, entry: Entry, ae_titles: Mapping[str, str]) -> list[str]:
        """The keywords of the keys that keep an entry off the answer."""
        return [keyword for keyword, test in self._tests(ae_titles) if not test(entry)]

    def _tests(self, ae_titles: Mapping[str, str]) -> Iterator[tuple[str, Callable[[Entry], bool]]]:
        statuses = self.statuses
        yield "ScheduledProcedureStepStatus", lambda entry: entry.status in statuses
        if self.stations is not None:
            wanted = {ae_titles.get(title, title) for title in self.stations}
            yield "ScheduledStationAETitle", lambda entry: any(one.ae_title in wanted for one in entry.stations)
        if not self.window.is_open:
            yield " and ".join(self.start), self._window_met_by
        for condition in self.conditions:
            yield condition.keyword, condition.holds

    def _window_met_by(self, entry: Entry) -> bool:
        if entry.local is None:
            return False
        return self.window.covers(entry.start) if self.window.zone else self.window.covers_local(entry.local)


def criteria(identifier: Identifier, defaults: Mapping[str, str] | None = None) -> Criteria:
    """The criteria of a worklist identifier; ``defaults`` are values for keys that it leaves empty.

    Failure A900H if it is empty or a key cannot be matched as it stands.
    """
    if not any(_counts(element) for element in identifier):
        raise _mismatch("The identifier is empty")
    found = Criteria()
    zone = next((element.values for element in identifier if element.keyword == "TimezoneOffsetFromUTC"), ())
    left = dict(defaults or {})
    start: dict[str, str] = {}
    for element in identifier:
        if element.keyword == STEP_SEQUENCE:
            for nested in _item(element):
                if _counts(nested):
                    _match_element(nested, STEP_BY_KEYWORD, found, left, start)
        elif _counts(element):
            _match_element(element, BY_KEYWORD, found, left, start)
    for keyword, value in left.items():
        if key := STEP_BY_KEYWORD.get(keyword) or BY_KEYWORD.get(keyword):
            _match(key, value.split("\\"), found, start)
    found.window, found.start = _window(start, zone[0] if zone else ""), tuple(start)
    return found


def _counts(element: Element) -> bool:
    """Whether an element is a key: group lengths (PS3.5 7.2) and private elements (7.8) are none."""
    return not (element.is_group_length or element.is_private or element.keyword in ABOUT_THE_IDENTIFIER)


def _item(element: Element) -> Identifier:
    """The one item of a sequence key, which may be left out (PS3.4 C.2.2.2.6)."""
    if len(element.items) > 1:
        raise _mismatch(f"{element.keyword} has more than one item", element.keyword)
    return element.items[0] if element.items else ()


def _match_element(
    element: Element, table: Mapping[str, Key], found: Criteria, left: dict[str, str], start: dict[str, str]
) -> None:
    key = table.get(element.keyword)
    if key is None or key.match is Match.UNSUPPORTED or (key.vr == "SQ") != (element.vr == "SQ"):
        found.unsupported.append(element.keyword or f"{element.tag:08X}")
    elif element.vr == "SQ":
        _match_sequence(key, _item(element), found)
    elif values := _values(element):
        left.pop(key.keyword, None)
        _match(key, values, found, start)


def _match_sequence(key: Key, item: Identifier, found: Criteria) -> None:
    """An item must meet all of the nested keys (PS3.4 C.2.2.2.6)."""
    nested = Criteria()
    for element in item:
        if _counts(element):
            _match_element(element, key.by_keyword, nested, {}, {})
    found.unsupported += [f"{key.keyword}.{keyword}" for keyword in nested.unsupported]
    if not nested.conditions:
        return

    def holds(entry: Entry) -> bool:
        return any(all(condition.holds(row) for condition in nested.conditions) for row in key.value(entry))

    names = " and ".join(condition.keyword for condition in nested.conditions)
    found.conditions.append(Condition(f"{key.keyword} ({names})", holds))


def _match(key: Key, values: list[str], found: Criteria, start: dict[str, str]) -> None:
    if key.match is Match.NONE:
        found.unsupported.append(key.keyword)
    elif key.match is Match.WINDOW:
        start[key.keyword] = " ".join(values)
    elif any(not value.strip("*") for value in values) and key.match not in (Match.DATE, Match.TIME, Match.NUMBER):
        return  # a lone asterisk matches all, also what has no value (PS3.4 C.2.2.2.4)
    elif key.match is Match.STATUS:
        found.statuses = frozenset(status for status in SHOWN if any(pattern(value)(status) for value in values))
    elif key.match is Match.STATION:
        found.stations = frozenset(values)
    else:
        found.conditions.append(_condition(key, values))


def _condition(key: Key, values: list[str]) -> Condition:
    make = _MATCHERS[key.match]
    try:
        tests = [make(value) for value in values]
    except ValueError as error:
        raise _mismatch(f"{key.keyword} is {error}", key.keyword) from None
    value_of = key.value
    named = key.match in (Match.SINGLE, Match.UID) or (key.match is Match.WILDCARD and not any(map(is_wild, values)))
    first = tests[0]
    if len(tests) == 1:

        def holds(entry: Any) -> bool:
            return (value := value_of(entry)) not in (None, "") and bool(first(value))
    else:

        def holds(entry: Any) -> bool:
            return (value := value_of(entry)) not in (None, "") and any(test(value) for test in tests)

    begins = beginning(values[0]) if key.match is Match.PERSON and len(values) == 1 else ""
    return Condition(key.keyword, holds, frozenset(values) if named else frozenset(), begins)


def _equal(asked: str) -> Callable[[str], bool]:
    return lambda value: value.strip() == asked


def _wild(asked: str) -> Callable[[str], object]:
    matches = pattern(asked)
    return lambda value: matches(value.strip())


def _number(asked: str) -> Callable[[Any], bool]:
    try:
        number = Decimal(asked)
    except InvalidOperation:
        raise ValueError("not a number") from None
    return lambda value: Decimal(value) == number


def _dates(asked: str) -> Callable[[date], bool]:
    first, last = clock.date_range(asked)
    return lambda value: (first is None or first <= value) and (last is None or value <= last)


def _times(asked: str) -> Callable[[time], bool]:
    first, last = clock.time_range(asked)
    return lambda value: first <= value <= last


_MATCHERS: dict[Match, Callable[[str], Callable[[Any], object]]] = {
    Match.SINGLE: _equal,
    Match.WILDCARD: _wild,
    Match.PERSON: person,
    Match.NUMBER: _number,
    Match.DATE: _dates,
    Match.TIME: _times,
    Match.UID: _equal,
}


def _window(start: dict[str, str], offset: str) -> clock.Window:
    try:
        return clock.window(start.get(_START[0], ""), start.get(_START[1], ""), offset)
    except ValueError as error:
        raise _mismatch(f"Scheduled Procedure Step Start is {error}", *_START) from None


def _values(element: Element) -> list[str]:
    """The key's values; none for universal matching."""
    if any("\0" in text for text in element.values):
        raise _mismatch(f"{element.keyword} holds a NUL character", element.keyword)
    return list(element.sought)


def _mismatch(comment: str, *keywords: str) -> Failure:
    return Failure(DOES_NOT_MATCH_SOP_CLASS, comment, *keywords)
