"""Rows on their way into the database: each is written at once, or, where several new orders are placed together
(services.together), gathered and written at the end: one statement for all rows of a table.

A gathered row has what is said of it until the end; of patients, orders and what is below them also its key, because
our numbers are made from it. The others get theirs when they are written, so that events and messages keep their order.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

from ris.models import Order, Patient, RequestedProcedure, ScheduledProcedureStep, Visit

R = TypeVar("R", bound=Model)
T = TypeVar("T")

_KEYED = (Patient, Visit, Order, RequestedProcedure, ScheduledProcedureStep)
_TABLES = [model._meta.db_table for model in _KEYED]
_NEXT_KEYS = """
SELECT of, nextval(pg_get_serial_sequence(of, 'id')) FROM unnest(%s::text[]) AS of, generate_series(1, %s)
"""


class _Gathering:
    def __init__(self, known: dict[Hashable, Any], count: int) -> None:
        self.known = known
        self._count = count
        self._keys: dict[str, list[int]] = {table: [] for table in _TABLES}
        self.new: dict[type[Model], list[Model]] = {}
        self.ids: set[int] = set()

    def add(self, row: Model) -> None:
        if isinstance(row, _KEYED):
            row.pk = self._next_key(row._meta.db_table)
        self.new.setdefault(type(row), []).append(row)
        self.ids.add(id(row))

    def _next_key(self, table: str) -> int:
        if not self._keys[table]:
            with connection.cursor() as cursor:
                cursor.execute(_NEXT_KEYS, [_TABLES, self._count])
                for of, key in cursor.fetchall():
                    self._keys[of].append(key)
        return self._keys[table].pop(0)

    def write(self) -> None:
        for model, found in self.new.items():
            model._default_manager.bulk_create(found)


class _Local(threading.local):
    gathering: _Gathering | None = None


_local = _Local()


@contextmanager
def gathered(known: dict[Hashable, Any], count: int) -> Iterator[None]:
    """Gather new rows while the block runs, then write them; PostgreSQL only, and within a transaction.

    ``known`` is what ``once`` need not ask, ``count`` how many rows of a table to expect. IntegrityError like any
    database error comes at the end, when nothing of the transaction can be kept. What the block reads must not be among
    what it writes: only what is asked by ``once`` and ``new`` may be.
    """
    gathering = _local.gathering = _Gathering(known, count)
    try:
        yield
    finally:
        _local.gathering = None
    gathering.write()


def is_gathering() -> bool:
    """Whether the orders of this transaction are placed together, which says that all of them are new."""
    return _local.gathering is not None


def save(row: R, fields: Iterable[str] | None = None) -> R:
    """Write a row, of an old one only ``fields`` if they are given; a gathered one is written once, at the end."""
    gathering = _local.gathering
    if gathering is None or (row.pk is not None and id(row) not in gathering.ids):
        row.save(update_fields=fields)
    elif id(row) not in gathering.ids:
        gathering.add(row)
    return row


def save_all(rows: Sequence[Model]) -> None:
    """Write new rows of one table, each of which may be there already."""
    if is_gathering():
        for row in rows:
            save(row)
    elif rows:
        type(rows[0])._default_manager.bulk_create(rows, ignore_conflicts=True)


def is_new(row: Model) -> bool:
    """Whether the row is gathered and not yet written: then nothing in the database can refer to it."""
    return _local.gathering is not None and id(row) in _local.gathering.ids


def new(model: type[R]) -> list[R]:
    """The gathered rows of a table."""
    rows: Any = _local.gathering.new.get(model, []) if _local.gathering else []
    return rows


def once(key: Hashable, read: Callable[[], T]) -> T:
    """What ``read`` gives; where orders are placed together it is asked once for a ``key``."""
    if _local.gathering is None:
        return read()
    if key not in _local.gathering.known:
        _local.gathering.known[key] = read()
    found: T = _local.gathering.known[key]
    return found


def note(key: Hashable, value: Any) -> None:
    """From now on ``once`` gives this for the ``key``, where orders are placed together."""
    if _local.gathering is not None:
        _local.gathering.known[key] = value
