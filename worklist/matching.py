"""DICOM matching (PS3.4 C.2.2.2, K.6.1.2) as a filter of the ORM."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.db.models import CharField, Exists, Lookup, OuterRef, Q, QuerySet, TextField
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from ris.models import ScheduledProcedureStep, name_key
from ris.selectors import worklist_steps
from ris.states import PENDING, StepStatus
from worklist import clock
from worklist.keys import ABOUT_THE_IDENTIFIER, BY_KEYWORD, STEP_BY_KEYWORD, STEP_SEQUENCE, Key, Match
from worklist.status import DOES_NOT_MATCH_SOP_CLASS, Failure


@dataclass
class Criteria:
    """What an identifier asks for. ``rows`` narrows the query, ``window`` decides about the start exactly,
    ``statuses`` are the step's; ``unsupported`` names keys that could only be taken as return keys (FF01).

    ``named`` are the keys whose value names few rows: they are looked up first, by their own index, for a database
    without statistics would rather walk through all that is pending.
    """

    rows: Q = field(default_factory=Q)
    named: Q = field(default_factory=Q)
    window: clock.Window = field(default_factory=clock.Window)
    statuses: frozenset[StepStatus] = PENDING
    unsupported: list[str] = field(default_factory=list)

    def steps(self) -> QuerySet[ScheduledProcedureStep]:
        """The worklist's steps that match, but for the exact start; in the order of their start."""
        found = worklist_steps(self.statuses).filter(self.rows)
        if self.named:
            keys = ScheduledProcedureStep.objects.filter(self.named).order_by().values_list("pk", flat=True)
            found = found.filter(pk__in=list(keys))
        return found.order_by("start", "pk")

    def covers(self, step: ScheduledProcedureStep) -> bool:
        return step.start is not None and self.window.covers(step.start)


def criteria(identifier: Dataset) -> Criteria:
    """The criteria of a worklist identifier; Failure A900H if it is empty or a key cannot be matched as it stands."""
    if not any(element.keyword not in ABOUT_THE_IDENTIFIER for element in identifier):
        raise _mismatch("The identifier is empty")
    found = Criteria()
    for element in identifier:
        if element.keyword == STEP_SEQUENCE:
            _match_step(element, found)
        elif element.keyword not in ABOUT_THE_IDENTIFIER:
            _match_element(element, BY_KEYWORD, found)
    return found


def _match_step(element: DataElement, found: Criteria) -> None:
    items = list(element.value or [])
    if len(items) > 1:
        raise _mismatch("Scheduled Procedure Step Sequence has more than one item", STEP_SEQUENCE)
    for item in items:
        for nested in item:
            _match_element(nested, STEP_BY_KEYWORD, found)
        found.window = _window(item)
        found.rows &= _start_bounds(found.window)


def _match_element(element: DataElement, table: Mapping[str, Key], found: Criteria) -> None:
    key = table.get(element.keyword)
    if key is None:
        found.unsupported.append(element.keyword or f"{element.tag:08X}")
    elif element.VR == "SQ":
        if any(nested.value not in (None, "", []) for item in element.value or [] for nested in item):
            found.unsupported.append(key.keyword)
    elif values := _values(element):
        _match(key, values, found)


def _match(key: Key, values: list[str], found: Criteria) -> None:
    if key.match is Match.NONE:
        found.unsupported.append(key.keyword)
    elif key.match is Match.STATUS:
        found.statuses = frozenset(status for status in PENDING | {StepStatus.STARTED} if status in values)
    elif key.match is Match.STATION:
        found.rows &= _stations(values)
    elif key.match is not Match.WINDOW:
        asked = Q(*(_any_of(key, column, values) for column in key.columns()), _connector=Q.OR)
        if key.match is Match.UID or (key.match is Match.NUMBER and not any(map(_is_wild, values))):
            found.named &= asked
        else:
            found.rows &= asked


def _stations(ae_titles: list[str]) -> Q:
    if "*" in ae_titles:
        return Q()
    link = ScheduledProcedureStep.stations.through.objects
    return Q(Exists(link.filter(scheduledprocedurestep=OuterRef("pk"), station__ae_title__in=ae_titles)))


def _any_of(key: Key, column: str, values: list[str]) -> Q:
    """Several values of a single value key, as hybrid scanners send for Modality, mean any of them."""
    return Q(*(_one(key, column, value) for value in values), _connector=Q.OR)


def _one(key: Key, column: str, value: str) -> Q:
    if value.strip("*") == "" and key.match is not Match.DATE:
        return Q()
    match key.match:
        case Match.DATE:
            return _dates(column, value, key.keyword)
        case Match.NAME:
            return Q(*(_text(column, pattern) for pattern in _name_patterns(name_key(value))), _connector=Q.OR)
        case Match.PERSON:
            return Q(**{f"{column}__wildcard_folded": value})
        case Match.TEXT | Match.NUMBER:
            return _text(column, value)
        case _:
            return Q(**{column: value})


def _text(column: str, pattern: str) -> Q:
    return Q(**{f"{column}__wildcard" if _is_wild(pattern) else column: pattern})


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _name_patterns(name: str) -> Iterator[str]:
    """A name with one component group is looked for in each of the three groups (PS3.4 C.2.2.2.1.1)."""
    name = name.rstrip("^ ")
    yield name
    if "=" not in name:
        yield from (f"{name}=*", f"*={name}", f"*={name}=*")


def _dates(column: str, value: str, keyword: str) -> Q:
    try:
        first, last = clock.date_range(value)
    except ValueError as error:
        raise _mismatch(f"{keyword} is {error}", keyword) from None
    after = Q(**{f"{column}__gte": first}) if first else Q()
    return after & Q(**{f"{column}__lte": last}) if last else after


def _window(item: Dataset) -> clock.Window:
    keywords = ("ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime")
    values = [" ".join(_values(item[keyword])) if keyword in item else "" for keyword in keywords]
    try:
        return clock.window(*values)
    except ValueError as error:
        raise _mismatch(f"Scheduled Procedure Step Start is {error}", *keywords) from None


def _start_bounds(window: clock.Window) -> Q:
    first, last = window.bounds()
    bounds = {"start__gte": first, "start__lte": last}
    return Q(**{lookup: bound for lookup, bound in bounds.items() if bound is not None})


def _values(element: DataElement) -> list[str]:
    """The key's values without their padding; none for universal matching."""
    value = element.value
    values = list(value) if isinstance(value, (MultiValue, list)) else [value]
    texts = [text for single in values if single is not None and (text := str(single).strip(" \0"))]
    if any("\0" in text for text in texts):
        raise _mismatch(f"{element.keyword} holds a NUL character", element.keyword)
    return texts


def _mismatch(comment: str, *keywords: str) -> Failure:
    return Failure(DOES_NOT_MATCH_SOP_CLASS, comment, *keywords)


@CharField.register_lookup
@TextField.register_lookup
class Wildcard(Lookup):
    """``*`` any characters, ``?`` one (PS3.4 C.2.2.2.4), all else as it stands; case-sensitive on both databases."""

    lookup_name = "wildcard"

    def as_sql(self, compiler, connection):
        pattern = str(self.rhs)
        for char in "\\%_":
            pattern = pattern.replace(char, "\\" + char)
        return self._render(compiler, "LIKE", pattern.replace("*", "%").replace("?", "_"))

    def as_sqlite(self, compiler, connection):
        # SQLite's LIKE folds case and ignores indexes, its GLOB speaks DICOM's wildcards but for the bracket.
        return self._render(compiler, "GLOB", str(self.rhs).replace("[", "[[]"))

    def _render(self, compiler, operator: str, pattern: str):
        column, params = compiler.compile(self.lhs)
        return f"{column} {operator} %s", [*params, pattern]


@CharField.register_lookup
@TextField.register_lookup
class FoldedWildcard(Wildcard):
    """The same, upper and lower case being equal."""

    lookup_name = "wildcard_folded"

    def _render(self, compiler, operator: str, pattern: str):
        column, params = compiler.compile(self.lhs)
        return f"UPPER({column}) {operator} UPPER(%s)", [*params, pattern]
