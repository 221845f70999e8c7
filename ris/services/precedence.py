"""Whose word counts when messages overtake each other: the one said last, attribute by attribute.

Each attribute that messages say keeps the stamp of who said it last, and only a stamp that is not lower replaces the
value. A stamp is the time at which the sender said it (``Actor.said_at``: HL7 ORC-9, else MSH-7; now if that is more
than a day ahead), behind a rank. So the messages about one order or patient end in the same state in whichever order
they come:

=====================================  ==========================================================================
an attribute not said                  stays as it is
an attribute said, also to be empty    holds, unless it was said later before; in the same second the later comes
an older message                       only tells what nobody has spoken of since
a patient named by a retired id        only fills gaps: its rank is lower than that of the patient's own identifier
a merge                                joins both patients by the same rule, with what the retired one said ranked low
a cancellation                         is final, whenever it comes: also before its order (services.tombstones)
an order or change after it            is kept for the record, and the order stays canceled
a change before its order              makes a provisional order, which the order completes
=====================================  ==========================================================================

What a person does at the desk is no word of a sender: a booking stays until a sender wishes something else.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Model
from django.utils import timezone

from ris.inputs import Actor

_OWN, _RETIRED = "1", "0"
#: How far a sender's clock may be ahead: a wrong zone, not a wrong year.
_AHEAD = timedelta(days=1)


class Taken(NamedTuple):
    """What became of what was said: the attributes that have another value now, and whether the row must be saved."""

    changed: frozenset[str]
    is_news: bool


def said_at(actor: Actor) -> datetime:
    """When the actor said it. A clock far ahead of ours is not believed: it would silence whatever comes after."""
    now = timezone.now()
    return actor.said_at if actor.said_at and actor.said_at < now + _AHEAD else now


def stamp(actor: Actor, *, retired: bool = False) -> str:
    """The actor's stamp, by which stamps are compared as texts."""
    at = said_at(actor).astimezone(UTC).isoformat(timespec="microseconds")
    return f"{_RETIRED if retired else _OWN} {at}"


def spoken(model: type[Model], said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said at all, as the model's columns hold it: said to be empty is null in a column that takes null."""
    return {
        name: None if value == "" and model._meta.get_field(name).null else value
        for name, value in said.items()
        if value is not None
    }


def take(row: Any, said: Mapping[str, Any], mark: str) -> Taken:
    """Set what is said (see ``spoken``) on an unsaved ``row`` as far as nobody spoke of it later."""
    stamps = {name: mark for name in said if prevails(row, name, mark)}
    changed = frozenset(name for name in stamps if getattr(row, name) != said[name])
    for name in changed:
        setattr(row, name, said[name])
    is_news = bool(changed) or any(row.said_at.get(name) != mark for name in stamps)
    row.said_at = row.said_at | stamps
    return Taken(changed, is_news)


def prevails(row: Any, name: str, mark: str) -> bool:
    """Whether what is said with this stamp holds against what was said of the attribute before."""
    return mark >= row.said_at.get(name, "")


def is_overtaken(row: Any, actor: Actor) -> bool:
    """Whether something of the row was said later than this."""
    return max(row.said_at.values(), default="") > stamp(actor)


def absorb(row: Any, other: Any, names: Iterable[str], *, retired: bool) -> None:
    """Join what was said of ``other`` into an unsaved ``row``; ``retired`` ranks it below what was said of ``row``."""
    for name in names:
        mark = other.said_at.get(name, "")
        mark = _RETIRED + mark[1:] if retired and mark else mark
        if mark > row.said_at.get(name, ""):
            setattr(row, name, getattr(other, name))
            row.said_at = row.said_at | {name: mark}
