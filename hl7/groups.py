"""The groups of an order message: ORM^O01, OMI^O23 and OMG^O19 are read alike, by what follows what.

Each ORC begins an order and each OBR in it a requested procedure; each IPC is a scheduled procedure step. What stands
between ORC and its OBR is the order's, what follows an OBR is that procedure's, and DG1, AL1 and OBX before the first
ORC are everybody's (#065).
"""

from collections.abc import Callable, Hashable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

from hl7.er7 import Message, Segment, read_path

#: Segments before the first ORC that speak of every order of the message.
_SHARED = frozenset({"MSH", "PID", "PD1", "PV1", "PV2", "DG1", "AL1", "OBX"})
#: Segments that an order lends to each of its procedures which has none of its own.
_LENT = frozenset({"ORC", "TQ1", "DG1", "ZDS", "AL1", "OBX", "NTE", "IPC"})
_RESOURCES = frozenset({"AIG", "AIL", "AIP"})


@dataclass
class Scope:
    """The segments that speak of one thing."""

    segments: list[Segment] = field(default_factory=list)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of its segments, once it is whole."""
        return frozenset(segment.name for segment in self.segments)

    def all(self, name: str) -> list[Segment]:
        return [segment for segment in self.segments if segment.name == name]

    def first(self, name: str) -> Segment | None:
        return next((segment for segment in self.segments if segment.name == name), None)

    def at(self, segment: Segment) -> "Scope":
        """The same with this segment as the first of its name."""
        return Scope([segment, *self.segments])

    def value(self, path: str) -> str | None:
        """The value at a path of the first segment of its name; see er7.Segment.value."""
        name, *numbers = read_path(path)
        segment = self.first(name)
        return segment.value(*numbers) if segment else None

    def location(self, path: str) -> str:
        """The path as ERR-2 writes it, with the segment's place in the message: ``OBR^2^18``."""
        name, number, _repetition, component, _sub = read_path(path)
        segment = self.first(name)
        parts = [name, str(segment.ordinal if segment else 1), str(number)]
        return "^".join([*parts, *(["1", str(component)] if component > 1 else [])])


@dataclass
class OrderGroup:
    """One ORC with its procedures. ``scope`` is the order's own: ORC, what is shared, and its first procedure's."""

    scope: Scope
    procedures: list[Scope]


def order_groups(message: Message) -> list[OrderGroup]:
    """The orders of a message in their order; none if it has no ORC."""
    starts = [index for index, segment in enumerate(message.segments) if segment.name == "ORC"]
    if not starts:
        return []
    shared = [segment for segment in message.segments[: starts[0]] if segment.name in _SHARED]
    ends = [*starts[1:], len(message.segments)]
    return [_group(message.segments[start:end], shared) for start, end in zip(starts, ends, strict=True)]


def joined(groups: Sequence[OrderGroup], key: Callable[[OrderGroup], Hashable]) -> list[OrderGroup]:
    """The groups, those of one key as one order with the procedures of all: some systems repeat ORC for each OBR.

    A key of None stands for itself.
    """
    found: dict[Hashable, OrderGroup] = {}
    for number, group in enumerate(groups):
        name = key(group) or number
        first = found.get(name)
        found[name] = OrderGroup(first.scope, first.procedures + group.procedures) if first else group
    return list(found.values())


def _group(segments: Sequence[Segment], shared: list[Segment]) -> OrderGroup:
    starts = [index for index, segment in enumerate(segments) if segment.name == "OBR"] or [len(segments)]
    own = list(segments[: starts[0]])
    ends = [*starts[1:], len(segments)]
    procedures = [_procedure(list(segments[start:end]), own, shared) for start, end in zip(starts, ends, strict=True)]
    return OrderGroup(procedures[0], procedures)


def _procedure(segments: list[Segment], own: list[Segment], shared: list[Segment]) -> Scope:
    names = {segment.name for segment in segments}
    lent = [segment for segment in own if segment.name in _LENT and (segment.name not in names or _adds_up(segment))]
    names |= {segment.name for segment in lent}
    return Scope(lent + segments + [segment for segment in shared if segment.name not in names or _adds_up(segment)])


def _adds_up(segment: Segment) -> bool:
    """Whether an order's own segments of this name hold beside those of its procedures."""
    return segment.name in ("OBX", "NTE")


def step_scopes(procedure: Scope) -> list[Scope]:
    """One scope for each IPC of a procedure; the procedure's own if it has none."""
    others = [segment for segment in procedure.segments if segment.name != "IPC"]
    return [Scope([ipc, *others]) for ipc in procedure.all("IPC")] or [procedure]


def report_groups(message: Message) -> list[Scope]:
    """The reports of a message: each OBR with the ORC before it and what follows it, and what speaks of all."""
    found: list[Scope] = []
    shared = [segment for segment in message.segments if segment.name in ("MSH", "PID", "PV1")]
    orc: list[Segment] = []
    for segment in message.segments:
        if segment.name == "ORC":
            orc = [segment]
        elif segment.name == "OBR":
            found.append(Scope([*shared, *orc, segment]))
            orc = []
        elif found and segment.name not in ("MSH", "PID", "PV1"):
            found[-1].segments.append(segment)
    return found


def service_scopes(message: Message) -> list[Scope]:
    """The services of an appointment: each AIS with what speaks of all and the resources of its RGS group, or those
    directly behind it where they alternate with AIS segments; the whole message if it has not several AIS.
    """
    starts = [index for index, segment in enumerate(message.segments) if segment.name in ("RGS", "AIS")]
    if sum(message.segments[index].name == "AIS" for index in starts) < 2:
        return [Scope(list(message.segments))]
    head, rest = message.segments[: starts[0]], message.segments[starts[0] :]
    return [Scope([*service, *head]) for group in _divided(rest, "RGS") for service in _services(group)]


def _divided(segments: Sequence[Segment], name: str) -> list[list[Segment]]:
    """The segments in pieces that each begin with one of this name; the first may not."""
    pieces: list[list[Segment]] = [[]]
    for segment in segments:
        if segment.name == name and pieces[-1]:
            pieces.append([])
        pieces[-1].append(segment)
    return pieces


def _services(group: list[Segment]) -> list[list[Segment]]:
    """The AIS segments of one resource group, each with its resources."""
    pieces = _divided(group, "AIS")
    head = pieces.pop(0) if pieces[0][0].name != "AIS" else []
    resources = [[segment for segment in piece if segment.name in _RESOURCES] for piece in pieces]
    if any(resources[:-1]):
        return [[*piece, *head] for piece in pieces]
    return [[*piece, *head, *(resources[-1] if piece is not pieces[-1] else [])] for piece in pieces]


def is_mixed(message: Message) -> bool:
    """Whether it cannot be told whose the orders of a message are: several PID, and an ORC before them."""
    names = [segment.name for segment in message.segments]
    return names.count("PID") > 1 and "ORC" in names[: names.index("PID")]


def patient_groups(message: Message) -> list[Message]:
    """One message for each PID of a message, with what follows it; the message itself without a PID."""
    starts = [index for index, segment in enumerate(message.segments) if segment.name == "PID"]
    if len(starts) < 2:
        return [message]
    head, ends = message.segments[: starts[0]], [*starts[1:], len(message.segments)]
    groups = []
    for start, end in zip(starts, ends, strict=True):
        group = copy(message)
        group.segments = [*head, *message.segments[start:end]]
        groups.append(group)
    return groups


def patient_notes(message: Message) -> list[Segment]:
    """The NTE directly behind PID: they speak of the patient."""
    names = [segment.name for segment in message.segments]
    if "PID" not in names:
        return []
    begin = end = names.index("PID") + 1
    while end < len(names) and names[end] in ("NTE", "PD1"):
        end += 1
    return [segment for segment in message.segments[begin:end] if segment.name == "NTE"]
