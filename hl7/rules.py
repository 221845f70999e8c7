"""A feed's mapping as data: the document, its check, and the rules that it compiles to. Nothing in it is carried out.

A document is the whole mapping, or what a site does otherwise than its preset (``hl7/presets``): attributes, table
entries and policies stand for themselves, ``stations``, ``required`` and ``forbidden`` replace the preset's.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError

from hl7 import attributes
from hl7.models import Feed
from hl7.sources import Condition, Scope, Source, any_fits, condition, sources, words
from ris.models import AE_TITLE

Document = dict[str, Any]

PRESETS = Path(__file__).resolve().parent / "presets"
#: Policy -> what it may be, the lenient one first.
POLICIES = {
    "change_unknown_order": ("place", "refuse"),
    "status_creates_order": ("yes", "no"),
    "unknown_order_control": ("refuse", "ignore"),
    "cancel_unknown_order": ("keep", "refuse"),
    "unknown_event": ("refuse", "ignore"),
    "report_unknown_order": ("refuse", "ignore"),
    "empty_control_id": ("content", "refuse"),
    "unknown_version": ("nearest", "refuse"),
    "undecodable": ("replace", "refuse"),
}
ACKNOWLEDGMENT = {"accept": ("AA", "CA"), "content_error": ("AE", "AR")}
#: Tables that are of no attribute: the sender's ORC-1 (or ``ORC-1 ORC-5``) in the words of table 0119 (and 0038).
_OTHER_TABLES = frozenset({"order_control"})
_TABLED = frozenset(attributes.TEXTS) | _OTHER_TABLES
_LONGEST = 1000
_PATH = re.compile(r"[A-Z][A-Z0-9]{2}-\d{1,3}(?:\.\d{1,2}){0,2}\Z")
_STATION_RULE = re.compile(r"(\S+) = (\S.*?) -> (\S.*)\Z")
_LISTS = ("stations", "required", "forbidden")
_IDENTIFIERS = frozenset({"patient_identifier", "retired_identifier", "admission_id"})


@dataclass(frozen=True)
class StationRule:
    """``OBR-24.1 = RAD -> CT1, CT2``: ``subject`` is a path or an attribute of the step."""

    subject: str
    values: tuple[str, ...]
    ae_titles: tuple[str, ...]

    def fits(self, text: str | None) -> bool:
        return any_fits(text, self.values)


@dataclass(frozen=True)
class Demand:
    """``PV1-3.1 if MSH-9.2 = A01``: ``name`` is a path or an attribute."""

    name: str
    conditions: tuple[Condition, ...] = ()

    @property
    def is_of_messages(self) -> bool:
        """Whether it says itself of which messages it is; else it is of what is ordered."""
        return any(condition.path.startswith("MSH-9") for condition in self.conditions)

    def holds(self, scope: Scope) -> bool:
        return all(condition.holds("", scope, {}) for condition in self.conditions)


@dataclass(frozen=True)
class Rules:
    """A mapping, compiled. Shared between threads and never changed."""

    attributes: dict[str, tuple[Source, ...]]
    tables: dict[str, dict[str, str]]
    stations: tuple[StationRule, ...]
    required: tuple[Demand, ...]
    forbidden: tuple[Demand, ...]
    policies: dict[str, str]
    acknowledgment: dict[str, str]

    @property
    def codes(self) -> dict[str, str]:
        """What this feed's sender is to be given for AA and AE."""
        return {"AA": self.acknowledgment["accept"], "AE": self.acknowledgment["content_error"]}


def rules_of(feed: Feed) -> Rules:
    """How a feed reads its messages; ValidationError if its mapping is not in order (it was checked when saved)."""
    return _compiled(feed.preset, json.dumps(feed.mapping, sort_keys=True))


def preset(name: str) -> Document:
    """The document of a preset, which says all there is to say."""
    return json.loads((PRESETS / f"{name}.json").read_text(encoding="utf-8"))


def check(preset_name: str, document: Any) -> None:
    """ValidationError with a sentence for each line of a mapping that is not in order."""
    sentences = list(_faults(document))
    if not sentences:
        _compiled(preset_name, json.dumps(document, sort_keys=True))
    if sentences:
        raise ValidationError(sentences)


@lru_cache(maxsize=256)
def _compiled(preset_name: str, text: str) -> Rules:
    document = over(preset(preset_name), json.loads(text))
    return Rules(
        attributes={name: _sources(value) for name, value in document["attributes"].items()},
        tables={name: _table(table) for name, table in document["tables"].items()},
        stations=tuple(_station_rule(line) for line in document["stations"]),
        required=tuple(_demand(line) for line in document["required"]),
        forbidden=tuple(_demand(line) for line in document["forbidden"]),
        policies=document["policies"],
        acknowledgment=document["acknowledgment"],
    )


def over(base: Document, changes: Document) -> Document:
    """A preset with a site's changes over it."""
    merged = {name: base[name] | changes.get(name, {}) for name in ("attributes", "policies", "acknowledgment")}
    tables = changes.get("tables", {})
    merged["tables"] = {
        name: base["tables"].get(name, {}) | tables.get(name, {}) for name in {**base["tables"], **tables}
    }
    return merged | {name: changes.get(name, base[name]) for name in _LISTS}


def _faults(document: Any) -> Iterator[str]:
    if not isinstance(document, dict):
        yield 'A mapping is an object such as {"attributes": {"modality": "OBR-24.1"}}'
        return
    for name, section in document.items():
        if name == "description" and isinstance(section, str):
            continue
        if name not in _SECTIONS:
            yield f"{name}: there is no such section; known are {', '.join(_SECTIONS)}"
        elif not isinstance(section, list if name in _LISTS else dict):
            yield f"{name} is not {'a list' if name in _LISTS else 'an object'}"
        else:
            yield from _SECTIONS[name](section)


def _attribute_faults(section: dict[str, Any]) -> Iterator[str]:
    for name, value in section.items():
        if name not in attributes.NAMES:
            yield f"attributes.{name}: there is no such attribute; known are {', '.join(sorted(attributes.NAMES))}"
            continue
        try:
            found = _sources(value)
        except ValueError as error:
            yield f"attributes.{name}: {error}"
            continue
        for source in found:
            yield from (f"attributes.{name}: {source.path}: {fault}" for fault in _misused(name, source))


def _misused(name: str, source: Source) -> Iterator[str]:
    asked = {condition.kind for condition in source.conditions}
    if name not in attributes.TEXTS and (source.regex or asked & {"modality", "not modality", "uid", "time", "length"}):
        yield f"{name} is read from a whole field, so it takes no regular expression and no condition on its text"
    if name not in _IDENTIFIERS and asked & {"type", "authority", "own"}:
        yield "only identifiers have a type and an authority"


def _table_faults(section: dict[str, Any]) -> Iterator[str]:
    for name, table in section.items():
        if name not in _TABLED:
            yield f"tables.{name}: no attribute with this name takes a table; known are {', '.join(sorted(_TABLED))}"
        elif not isinstance(table, dict) or not all(_is_text(word) for word in (*table, *table.values())):
            yield f'tables.{name} is not an object of texts such as {{"XR": "DX"}}'


def _station_faults(section: list[Any]) -> Iterator[str]:
    for number, line in enumerate(section, 1):
        try:
            _station_rule(line)
        except (ValueError, ValidationError) as error:
            sentence = " ".join(error.messages) if isinstance(error, ValidationError) else error
            yield f"stations, line {number}: {sentence}"


def _demand_faults(where: str) -> Callable[[list[Any]], Iterator[str]]:
    def faults(section: list[Any]) -> Iterator[str]:
        for number, line in enumerate(section, 1):
            try:
                name = _demand(line).name
            except ValueError as error:
                yield f"{where}, line {number}: {error}"
                continue
            if not _PATH.match(name) and (where == "forbidden" or name not in attributes.NAMES):
                yield f"{where}, line {number}: {name!r} is neither a field such as PV1-3.1 nor an attribute"

    return faults


def _choice_faults(where: str, choices: Mapping[str, tuple[str, ...]]) -> Callable[[dict[str, Any]], Iterator[str]]:
    def faults(section: dict[str, Any]) -> Iterator[str]:
        for name, value in section.items():
            if name not in choices:
                yield f"{where}.{name}: there is no such rule; known are {', '.join(choices)}"
            elif value not in choices[name]:
                yield f"{where}.{name}: {value!r} is not one of {', '.join(choices[name])}"

    return faults


_SECTIONS: dict[str, Callable[[Any], Iterator[str]]] = {
    "attributes": _attribute_faults,
    "tables": _table_faults,
    "stations": _station_faults,
    "required": _demand_faults("required"),
    "forbidden": _demand_faults("forbidden"),
    "policies": _choice_faults("policies", POLICIES),
    "acknowledgment": _choice_faults("acknowledgment", ACKNOWLEDGMENT),
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _sources(value: Any) -> tuple[Source, ...]:
    """The places of an attribute: one text with commas, or a list of texts."""
    texts = value if isinstance(value, list) else [value]
    if not all(_is_text(text) for text in texts):
        raise ValueError("is not a text of places such as OBR-24.1, OBR-4.3")
    return tuple(source for text in texts for source in sources(text))


def _table(table: dict[str, str]) -> dict[str, str]:
    return {word.strip().upper(): value for word, value in table.items()}


def _demand(line: Any) -> Demand:
    if not _is_text(line):
        raise ValueError(f"{line!r} is not a line such as PV1-3.1 if MSH-9.2 = A01")
    name, *asked = (word.strip() for word in line.split(" if "))
    conditions = tuple(condition(word) for word in asked)
    if any(not found.path for found in conditions):
        raise ValueError(f"{line!r}: only another field can be asked for, as in if MSH-9.2 = A01")
    return Demand(name, conditions)


def _station_rule(line: Any) -> StationRule:
    found = _STATION_RULE.match(line) if _is_text(line) else None
    if not found or not (found[1] in attributes.TEXTS or _PATH.match(found[1])):
        raise ValueError(f"{line!r} is not a rule such as OBR-24.1 = RAD|XRAY -> XRAY1, XRAY2")
    ae_titles = tuple(title.strip() for title in found[3].split(",") if title.strip())
    for title in ae_titles:
        AE_TITLE(title)
    return StationRule(found[1], words(found[2]), ae_titles)
