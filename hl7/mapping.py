"""Reading a message by its feed's rules: what is said where, and what the sender should be told.

The rules are data (``hl7/rules.py``, ``hl7/presets``); which reader makes a value of a text is ``hl7/attributes.py``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.conf import settings

from hl7.ack import FieldRefused
from hl7.attributes import COLUMNS, FIELDS, TEXTS
from hl7.er7 import read_path
from hl7.groups import Scope
from hl7.models import Feed
from hl7.rules import Rules, rules_of
from hl7.sources import Source


@dataclass(frozen=True)
class Found:
    """One value that was looked up, for those who ask what is read from where."""

    attribute: str
    source: str
    location: str
    value: Any


@dataclass
class Reading:
    """One message read by a feed's mapping. ``warnings`` are sentences for the sender; no patient data in them."""

    feed: Feed
    sender: str
    warnings: list[str] = field(default_factory=list)
    log: list[Found] = field(default_factory=list)
    _places: dict[str, str] = field(default_factory=dict)

    @cached_property
    def rules(self) -> Rules:
        return rules_of(self.feed)

    def warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def warn_first(self, sentence: str) -> None:
        """A warning of more weight than those before it: MSA-3 may have no room for all."""
        if sentence not in self.warnings:
            self.warnings.insert(0, sentence)

    def policy(self, name: str) -> str:
        """What the feed wants done where sites differ (``rules.POLICIES``)."""
        return self.rules.policies[name]

    def order_control(self, scope: Scope) -> tuple[str, str]:
        """ORC-1 and ORC-5 in the standard's words: the table ``order_control`` has the sender's own (#044)."""
        control, status = ((scope.value(path) or "").upper()[:20] for path in ("ORC-1.1", "ORC-5.1"))
        table = self.rules.tables.get("order_control", {})
        meant = (table.get(f"{control} {status}".strip()) or table.get(control) or control).upper().split()
        return meant[0] if meant else "", meant[1] if len(meant) > 1 else status

    def find(self, scope: Scope, attribute: str) -> Any:
        """The first usable value of an attribute: None if nothing is said, "" if only the explicit null is."""
        return self._first(attribute, self.rules.attributes[attribute], scope)

    def paths(self, attribute: str) -> list[str]:
        """The places where an attribute is looked for."""
        return [source.path for source in self.rules.attributes[attribute]]

    def every(self, scope: Scope, attribute: str) -> list[Any]:
        """The usable values of all its places, best first."""
        found = [self._first(attribute, (place,), scope) for place in self.rules.attributes[attribute]]
        return [value for value in found if value]

    def each(self, scope: Scope, attribute: str) -> list[Any]:
        """The usable value of each segment that has one, in the order of the message; [""] for the explicit null."""
        by_name: dict[str, list[Source]] = {}
        for source in self.rules.attributes[attribute]:
            by_name.setdefault(source.segment, []).append(source)
        segments = [segment for segment in scope.segments if segment.name in by_name]
        found = [self._first(attribute, by_name[segment.name], scope.at(segment), is_one=True) for segment in segments]
        return [value for value in found if value] or [value for value in found if value == ""][:1]

    def joined(self, scope: Scope, attribute: str, sign: str) -> str | None:
        """The texts of each segment as one; None if nothing is said, "" if only the explicit null is."""
        found = self.each(scope, attribute)
        return sign.join(text for value in found for text in value) if found else None

    def _first(self, attribute: str, places: Iterable[Source], scope: Scope, *, is_one: bool = False) -> Any:
        """``is_one``: the first segment of a place's name is the one that is meant, whatever its conditions ask."""
        said = None
        for source in places:
            if source.segment not in scope.names:
                continue
            for seen in [scope] if is_one or not source.is_sought else _each_of(scope, source.segment):
                text = source.taken(seen, self._modalities, whole=attribute in FIELDS)
                if not text:
                    said = text if said is None else said
                    continue
                value = self._read(seen, attribute, source, text)
                if value is not None:
                    self.note(attribute, source.path, seen, value)
                    return value
        return said

    def note(self, attribute: str, place: str, scope: Scope, value: Any) -> None:
        """Remember where a value was found."""
        self._places[attribute] = place
        self.log.append(Found(attribute, place, scope.location(place), value))

    def place(self, attribute: str) -> str:
        """Where the attribute was found since ``provenance`` was last asked; empty if it was not."""
        return self._places.get(attribute, "")

    def provenance(self) -> dict[str, str]:
        """Column -> place of the values that were found since this was last asked."""
        found, self._places = self._places, {}
        return {COLUMNS.get(attribute, attribute): place for attribute, place in found.items()}

    @property
    def _modalities(self) -> dict[str, str]:
        return self.rules.tables.get("modality", {})

    def _read(self, scope: Scope, attribute: str, source: Source, text: str) -> Any:
        try:
            if attribute in TEXTS:
                return TEXTS[attribute](self._translated(attribute, text))
            name, *numbers = read_path(source.path)
            segment = scope.first(name)
            assert segment is not None
            return FIELDS[attribute](segment, numbers[0], numbers[1], numbers[2])
        except ValueError as error:
            sentence = f"{source.path} {error}"
            if source.refuse:
                raise FieldRefused("102", scope.location(source.path), sentence) from error
            self.warn(f"{sentence}: not used")
            return None

    def _translated(self, attribute: str, text: str) -> str:
        table = self.rules.tables.get(attribute)
        return table.get(text.strip().upper(), text) if table else text

    def text(self, scope: Scope, attribute: str, length: int, what: str) -> str | None:
        """A text of an attribute that fits its column; what is cut is told by the name ``what``."""
        return self.cut(self.find(scope, attribute), length, what)

    def cut(self, text: str | None, length: int, what: str) -> str | None:
        if text is None or len(text) <= length:
            return text
        self.warn(f"{what} was cut to {length} characters")
        return text[:length].rstrip()

    def start(self, scope: Scope, attribute: str = "start") -> datetime | Literal[""] | None:
        """When the step shall begin, aware: a zone offset is honoured, else it is the site's time.

        Of an hour that the clocks go through twice the first is meant, and the sender is told (row 113).
        """
        at = self.find(scope, attribute)
        if not at or at.tzinfo:
            return at or (None if at is None else "")
        at = at.replace(tzinfo=ZoneInfo(settings.TIME_ZONE))
        if at.utcoffset() != at.replace(fold=1).utcoffset():
            self.warn(f"{self.place(attribute)} is in the hour in which the clocks change: {at.isoformat()} is meant")
            return at.astimezone(UTC)  # Python says that a time of such an hour equals none of another zone
        return at


def _each_of(scope: Scope, name: str) -> list[Scope]:
    """The scope as each segment of this name sees it."""
    return [scope.at(segment) for segment in scope.all(name)]
