"""The triggers that write ``StepChange``: the database sees every path, also the admin, loaddata and raw SQL.

One table, ``WATCHED``, for both dialects. SQLite re-makes a table to alter it and refuses while a trigger names it, so
the triggers are dropped before migrations are applied and made after them (``ris.apps``).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from ris.states import PENDING, StepStatus

LOG = "ris_stepchange"
_LIVE = ", ".join(f"'{status}'" for status in sorted(PENDING | {StepStatus.STARTED}))
_CHANGES = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True)
class Watch:
    """A table whose rows are shown on worklists.

    ``steps`` selects the keys of the steps that show a ``{row}``; ``columns`` are those that they show: an UPDATE of
    none of them writes nothing, and without any every UPDATE counts. ``only`` is a condition on the row.
    """

    table: str
    steps: str
    columns: tuple[str, ...] = ()
    events: tuple[str, ...] = ("UPDATE",)
    only: str = ""
    can_move: bool = False

    def condition(self, event: str) -> str:
        """When ``event`` is worth a row: SQL for WHEN, empty for always."""
        rows = {"INSERT": ("NEW",), "DELETE": ("OLD",), "UPDATE": ("OLD", "NEW")}[event]
        parts = [" OR ".join(self.only.format(row=row) for row in rows)] if self.only else []
        if event == "UPDATE" and self.columns:
            old, new = (", ".join(f"{row}.{column}" for column in self.columns) for row in ("OLD", "NEW"))
            parts.append(f"({old}) {{differs from}} ({new})")
        return " AND ".join(f"({part})" for part in parts)

    def selects(self, event: str) -> str:
        """The keys of the steps that ``event`` concerns, as a SELECT of one column ``step``."""
        rows = {"DELETE": ("OLD",)}.get(event, ("OLD", "NEW") if event == "UPDATE" and self.can_move else ("NEW",))
        return " UNION ".join(self.steps.format(row=row) for row in rows)


_STEPS = f"SELECT s.id AS step FROM ris_scheduledprocedurestep s {{join}} WHERE s.status IN ({_LIVE}) AND "
_OF_ORDER = _STEPS.format(join="JOIN ris_requestedprocedure p ON p.id = s.requested_procedure_id")
_OF_PATIENT = _STEPS.format(
    join="JOIN ris_requestedprocedure p ON p.id = s.requested_procedure_id JOIN ris_order o ON o.id = p.order_id"
)
_OF_STATION = _STEPS.format(join="JOIN ris_scheduledprocedurestep_stations l ON l.scheduledprocedurestep_id = s.id")
_OWN = _STEPS.format(join="")

WATCHED: tuple[Watch, ...] = (
    Watch(
        "ris_scheduledprocedurestep",
        "SELECT {row}.id AS step",
        columns=(
            "requested_procedure_id",
            "scheduled_procedure_step_id",
            "status",
            "on_hold",
            "modality",
            "description",
            "protocol_codes",
            "start",
            "duration_minutes",
            "room_id",
            "station_name",
            "location",
            "performing_physician",
            "pre_medication",
            "contrast_agent",
        ),
        events=_CHANGES,
        only=f"{{row}}.status IN ({_LIVE})",
    ),
    Watch(
        "ris_scheduledprocedurestep_stations",
        _OWN + "s.id = {row}.scheduledprocedurestep_id",
        events=_CHANGES,
        can_move=True,
    ),
    Watch(
        "ris_requestedprocedure",
        _OWN + "s.requested_procedure_id = {row}.id",
        columns=(
            "order_id",
            "requested_procedure_id",
            "study_instance_uid",
            "code_value",
            "coding_scheme",
            "code_meaning",
            "description",
            "reason",
            "comments",
        ),
    ),
    Watch(
        "ris_order",
        _OF_ORDER + "p.order_id = {row}.id",
        columns=(
            "patient_id",
            "visit_id",
            "placer_order_number",
            "placer_issuer",
            "filler_order_number",
            "filler_issuer",
            "accession_number",
            "accession_issuer",
            "priority",
            "requesting_physician",
            "referring_physician",
            "current_patient_location",
            "clinical_information",
            "medical_alerts",
            "allergies",
            "pregnancy_status",
            "patient_state",
            "patient_weight",
            "patient_size",
            "transport_arrangements",
            "confidentiality",
            "created_at",
        ),
    ),
    Watch(
        "ris_patient",
        _OF_PATIENT + "o.patient_id = {row}.id",
        columns=(
            "patient_id",
            "issuer_of_patient_id",
            "patient_name",
            "patient_birth_date",
            "patient_sex",
            "patient_address",
            "telephone",
            "patient_comments",
        ),
    ),
    Watch("ris_patientidentifier", _OF_PATIENT + "o.patient_id = {row}.patient_id", events=_CHANGES, can_move=True),
    Watch(
        "ris_visit",
        _OF_PATIENT + "o.visit_id = {row}.id",
        columns=("admission_id", "issuer_of_admission_id", "current_patient_location", "referring_physician"),
    ),
    Watch("ris_room", _OWN + "s.room_id = {row}.id", columns=("name", "location")),
    Watch("ris_station", _OF_STATION + "l.station_id = {row}.id", columns=("ae_title", "name", "modality")),
    Watch("ris_stationalias", "SELECT 0 AS step", events=_CHANGES),
)

#: A TRUNCATE (PostgreSQL) of these empties worklists and fires no trigger of a row.
_TRUNCATED = ("ris_scheduledprocedurestep", "ris_scheduledprocedurestep_stations")

_POSTGRESQL_ROW = (
    f"INSERT INTO {LOG} (transaction, step_pk, at) SELECT pg_current_xact_id()::text::bigint, c.step,"
    " clock_timestamp() FROM ({steps}) c ON CONFLICT DO NOTHING"
)
_SQLITE_ROW = (
    f"INSERT INTO {LOG} (\"transaction\", step_pk, at) SELECT NULL, c.step, strftime('%Y-%m-%d %H:%M:%f', 'now')"
    " FROM ({steps}) c"
)
_EVERYTHING = "SELECT CAST(NULL AS bigint) AS step"


def install(connection: BaseDatabaseWrapper) -> bool:
    """Make the triggers as this module says them, unless they are there; whether any was made.

    What happened while they were missing is unknown, so every process then reads all anew.
    """
    wanted, there = _wanted(connection.vendor), set(_installed(connection))
    if set(wanted) == there:
        return False
    remove(connection)
    with connection.cursor() as cursor:
        for statements in wanted.values():
            for statement in statements:
                cursor.execute(statement)
        cursor.execute(_row(connection.vendor).format(steps=_EVERYTHING))
    return True


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers."""
    with connection.cursor() as cursor:
        for name in _installed(connection):
            cascade = "FUNCTION {} CASCADE" if connection.vendor == "postgresql" else "TRIGGER {}"
            cursor.execute(f"DROP {cascade}".format(name))


def _installed(connection: BaseDatabaseWrapper) -> list[str]:
    postgresql = (
        "SELECT proname FROM pg_proc"
        " WHERE proname LIKE 'stepchange\\_%' AND pronamespace = current_schema::regnamespace"
    )
    sqlite = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'stepchange\\_%' ESCAPE '\\'"
    with connection.cursor() as cursor:
        cursor.execute(postgresql if connection.vendor == "postgresql" else sqlite)
        return [name for (name,) in cursor.fetchall()]


def _wanted(vendor: str) -> dict[str, list[str]]:
    """Name -> statements. The name holds a digest of what the trigger does, so that a changed one is another."""
    return {_name(made): [part.format(name=_name(made)) for part in made] for made in _made(vendor)}


def _name(statements: tuple[str, ...]) -> str:
    return f"stepchange_{hashlib.sha256(''.join(statements).encode()).hexdigest()[:16]}"


def _row(vendor: str) -> str:
    return _POSTGRESQL_ROW if vendor == "postgresql" else _SQLITE_ROW


def _made(vendor: str) -> Iterator[tuple[str, ...]]:
    make = _postgresql if vendor == "postgresql" else _sqlite
    for watch in WATCHED:
        for event in watch.events:
            yield make(watch.table, event, watch.condition(event), watch.selects(event))
    if vendor == "postgresql":
        for table in _TRUNCATED:
            yield _postgresql(table, "TRUNCATE", "", _EVERYTHING)


def _postgresql(table: str, event: str, condition: str, steps: str) -> tuple[str, ...]:
    when = f"WHEN ({condition})".replace("{differs from}", "IS DISTINCT FROM") if condition else ""
    each = "STATEMENT" if event == "TRUNCATE" else "ROW"
    return (
        "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_POSTGRESQL_ROW.format(steps=steps)}; RETURN NULL; END $$",
        f"CREATE TRIGGER {{name}} AFTER {event} ON {table} FOR EACH {each} {when} EXECUTE FUNCTION {{name}}()",
    )


def _sqlite(table: str, event: str, condition: str, steps: str) -> tuple[str, ...]:
    when = f"WHEN {condition}".replace("{differs from}", "IS NOT") if condition else ""
    return (f"CREATE TRIGGER {{name}} AFTER {event} ON {table} {when} BEGIN {_SQLITE_ROW.format(steps=steps)}; END",)
