"""The log of changed steps, read by each worklist process before it answers, and swept.

PostgreSQL commits transactions in another order than it numbers them, so a reader keeps the snapshot of its last look:
what that one did not see and this one does was committed in between. On SQLite one transaction writes at a time, so
ids are in the order of commits.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from ris.models import ALIASES, StepChange

#: How long a change is kept. A process that has not looked for LONGEST_GAP reads everything.
KEPT, LONGEST_GAP = timedelta(hours=6), timedelta(hours=1)


@dataclass(frozen=True)
class Position:
    """How far a process has read. ``server`` says which database in which run; ``seen`` what it held then."""

    server: Any = None
    seen: Any = None


@dataclass(frozen=True)
class Changes:
    """What was committed since a position: the steps whose facts changed, all of them, the AE titles of stations."""

    position: Position
    steps: frozenset[int] = field(default_factory=frozenset)
    everything: bool = False
    aliases: bool = False


def since(position: Position | None) -> Changes:
    """What changed since ``position``, in one statement; everything, if nobody can say what did.

    What is read after this call is at least as new as the position it gives.
    """
    now, rows = (_on_postgresql if connection.vendor == "postgresql" else _on_sqlite)(position)
    if position is None or rows is None:
        return Changes(now, everything=True, aliases=True)
    touched = set(rows)
    steps = frozenset(step for step in touched if step is not None and step > 0)
    return Changes(now, steps, everything=None in touched, aliases=bool(touched & {None, ALIASES}))


#: The first row is always there: where we are, in which run of which server, and the step of the first change.
_POSTGRESQL = """
SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text || 'ris_stepchange'::regclass::oid,
       c.id, c.step_pk
FROM (VALUES (1)) AS one LEFT JOIN ris_stepchange c
  ON c.transaction >= pg_snapshot_xmin(%(seen)s::pg_snapshot)::text::bigint
 AND (NOT pg_visible_in_snapshot(c.transaction::text::xid8, %(seen)s::pg_snapshot)
      OR c.transaction = pg_current_xact_id_if_assigned()::text::bigint)
"""
#: A snapshot to which everything is in the future; only the position is wanted then, so no row is.
_NEVER = "9223372036854775807:9223372036854775807:"


def _on_postgresql(position: Position | None) -> tuple[Position, Iterable[int | None] | None]:
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL, {"seen": position.seen if position else _NEVER})
        rows = cursor.fetchall()
    now = Position(rows[0][1], rows[0][0])
    if position and position.server != now.server:
        return now, None
    return now, [step for _seen, _server, pk, step in rows if pk is not None]


def _on_sqlite(position: Position | None) -> tuple[Position, Iterable[int | None] | None]:
    """The newest change that was seen must still be there: else the log was emptied or another file is in its place."""
    with connection.cursor() as cursor:
        if position is None:
            cursor.execute("SELECT id, step_pk, at FROM ris_stepchange ORDER BY id DESC LIMIT 1")
        else:
            first = position.seen[0] if position.seen else 0
            cursor.execute("SELECT id, step_pk, at FROM ris_stepchange WHERE id >= %s ORDER BY id", [first])
        rows = cursor.fetchall()
    now = Position(None, rows[-1] if rows else None)
    if position and position.seen:
        return now, [step for _pk, step, _at in rows[1:]] if rows and rows[0] == position.seen else None
    return now, [step for _pk, step, _at in rows]


def purge() -> int:
    """Delete changes that every process has read; how many.

    Each sweep on PostgreSQL leaves a mark: the oldest transaction that was still open. What is older than a mark of
    hours ago was decided by then; the hour at which a change was written would not say so, as its transaction may have
    been committed much later.
    """
    if connection.vendor != "postgresql":
        newest = StepChange.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        return StepChange.objects.filter(at__lt=timezone.now() - KEPT, pk__lt=newest).delete()[0]
    with connection.cursor() as cursor:
        cursor.execute(_LEAVE_MARK)
        cursor.execute(_DELETE_DECIDED, [timezone.now() - KEPT])
        return cursor.rowcount


_LEAVE_MARK = """
INSERT INTO ris_stepchange (transaction, step_pk, at)
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, -1, clock_timestamp() ON CONFLICT DO NOTHING
"""
_DELETE_DECIDED = """
DELETE FROM ris_stepchange WHERE transaction <
  (SELECT max(transaction) FROM ris_stepchange WHERE step_pk = -1 AND at < %s)
"""
