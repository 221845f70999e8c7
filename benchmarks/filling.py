"""Fills a fresh PostgreSQL database: past exams by one statement, the worklist's entries by COPY.

Each row begins with its model's defaults, so that a new column needs no change here.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import connection
from django.db.models import Model
from psycopg import sql

from benchmarks.entries import STATIONS, Entry
from ris.models import (
    Department,
    Order,
    Patient,
    RequestedProcedure,
    Room,
    ScheduledProcedureStep,
    Station,
    Visit,
    name_key,
)

#: Entries have ids above all past exams'.
FIRST_ENTRY = 10_000_000
#: Past exams: ten a patient, over some three years.
EXAMS_A_PATIENT, PAST_DAYS = 10, 1000
ASSIGNMENT = ScheduledProcedureStep.stations.through


def defaults(model: type[Model]) -> dict[str, Any]:
    """Column -> value as the database takes it, of every column but the primary key."""
    now, row = datetime.now(UTC), {}
    for column in model._meta.concrete_fields:
        if not column.primary_key:
            value = now if getattr(column, "auto_now", False) or getattr(column, "auto_now_add", False) else None
            value = column.get_db_prep_save(column.get_default() if value is None else value, connection)
            row[str(column.column)] = getattr(value, "dumps", None) and value.dumps(value.obj) or value
    return row


def stations() -> dict[str, int]:
    """The forty stations, each in a room of its own, all of one department; AE title -> id."""
    department = Department.objects.create(name="Benchmark")
    for ae_title, modality in STATIONS:
        room = Room.objects.create(name=f"ROOM {ae_title}", location=f"ROOM {ae_title}")
        Station.objects.create(
            ae_title=ae_title, name=f"{ae_title}_ROOM", modality=modality, room=room, department=department
        )
    return dict(Station.objects.filter(department=department).values_list("ae_title", "pk"))


def past(database: psycopg.Connection, count: int, station_ids: list[int]) -> None:
    """So many completed exams, the youngest of yesterday."""
    ids = sql.SQL("generate_series(1, {}) AS n").format(count)
    patients = sql.SQL("generate_series(1, {}) AS n").format(max(1, count // EXAMS_A_PATIENT))
    station = f"(ARRAY{station_ids})[1 + n % {len(station_ids)}]"
    modality = "(ARRAY['CT','MR','US','DX','MG','XA'])[1 + n % 6]"
    start = f"date_trunc('day', now()) - interval '1 hour' - n * interval '{PAST_DAYS * 86400 // count} seconds'"
    who = "'PAST' || n"
    name = "'PAST^PATIENT ' || n"
    database.execute("SET session_replication_role = replica")  # neither triggers nor foreign keys, row by row
    database.execute("SET synchronous_commit = off")
    _insert(
        database,
        Patient,
        patients,
        patient_id=who,
        issuer_of_patient_id="'HOSP1'",
        patient_name=name,
        name_key=f"lower({name})",
    )
    number, patient = "'P' || lpad(n::text, 9, '0')", f"1 + n % {max(1, count // EXAMS_A_PATIENT)}"
    _insert(
        database,
        Order,
        ids,
        patient_id=patient,
        sender="'HIS|SUNVIEW'",
        placer_order_number=number,
        placer_issuer="'HIS'",
        accession_number=number,
    )
    _insert(
        database,
        RequestedProcedure,
        ids,
        order_id="n",
        requested_procedure_id=number,
        study_instance_uid="'1.2.826.0.1.3680043.10.9999.3.' || n",
        status="'REPORTED'",
        report_status="'FINAL'",
    )
    _insert(
        database,
        ScheduledProcedureStep,
        ids,
        requested_procedure_id="n",
        scheduled_procedure_step_id=number,
        status="'COMPLETED'",
        modality=modality,
        start=start,
    )
    _insert(database, ASSIGNMENT, ids, scheduledprocedurestep_id="n", station_id=station)
    database.execute("RESET session_replication_role")
    database.commit()


def _insert(database: psycopg.Connection, model: type[Model], rows: sql.Composable, **expressions: str) -> None:
    columns: dict[str, sql.Composable] = {name: sql.Literal(value) for name, value in defaults(model).items()}
    columns |= {name: sql.SQL(text) for name, text in ({"id": "n"} | expressions).items()}
    database.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
            sql.Identifier(model._meta.db_table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(columns.values()),
            rows,
        )
    )


def scheduled(database: psycopg.Connection, chosen: Iterable[Entry], station_ids: Mapping[str, int]) -> None:
    """The entries, each a patient's order for one exam, as the HIS would have placed it."""
    listed = list(chosen)
    _copy(database, Patient, ((entry, _patient(entry)) for entry in listed))
    _copy(database, Visit, ((entry, _visit(entry)) for entry in listed))
    _copy(database, Order, ((entry, _order(entry)) for entry in listed))
    _copy(database, RequestedProcedure, ((entry, _procedure(entry)) for entry in listed))
    _copy(database, ScheduledProcedureStep, ((entry, _step(entry)) for entry in listed))
    _copy(
        database,
        ASSIGNMENT,
        (
            (entry, {"scheduledprocedurestep_id": _id(entry), "station_id": station_ids[entry.station]})
            for entry in listed
        ),
    )
    database.commit()
    with database.transaction():
        database.execute("ANALYZE")


def _copy(database: psycopg.Connection, model: type[Model], rows: Iterable[tuple[Entry, dict[str, Any]]]) -> None:
    row = {"id": None} | defaults(model)
    target = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model._meta.db_table), sql.SQL(", ").join(map(sql.Identifier, row))
    )
    with database.cursor() as cursor, cursor.copy(target) as copy:
        for entry, values in rows:
            copy.write_row(list((row | {"id": _id(entry)} | values).values()))


def _id(entry: Entry) -> int:
    return FIRST_ENTRY + entry.number


def _patient(entry: Entry) -> dict[str, Any]:
    return {
        "patient_id": f"PID{entry.number:07d}",
        "issuer_of_patient_id": "HOSP1",
        "patient_name": entry.patient_name,
        "name_key": name_key(entry.patient_name),
        "patient_birth_date": entry.birth_date,
        "patient_sex": entry.sex,
    }


def _visit(entry: Entry) -> dict[str, Any]:
    return {"patient_id": _id(entry), "admission_id": f"ADM{entry.number:08d}"}


def _order(entry: Entry) -> dict[str, Any]:
    return {
        "patient_id": _id(entry),
        "visit_id": _id(entry),
        "sender": "HIS|SUNVIEW",
        "placer_order_number": f"PL{entry.number:08d}",
        "placer_issuer": "HIS",
        "accession_number": entry.accession,
        "priority": entry.priority,
        "requesting_physician": entry.requesting,
        "referring_physician": entry.referring,
        "current_patient_location": f"WARD {entry.number % 30}",
        "pregnancy_status": 4,
        "patient_weight": entry.weight,
    }


def _procedure(entry: Entry) -> dict[str, Any]:
    return {
        "order_id": _id(entry),
        "requested_procedure_id": f"RP{entry.number:07d}",
        "study_instance_uid": entry.study,
        "code_value": entry.code,
        "coding_scheme": "99LOCAL",
        "code_meaning": entry.description,
        "description": entry.description,
        "status": "SCHEDULED",
    }


def _step(entry: Entry) -> dict[str, Any]:
    start = datetime(entry.day.year, entry.day.month, entry.day.day, tzinfo=UTC)
    return {
        "requested_procedure_id": _id(entry),
        "scheduled_procedure_step_id": f"SPS{entry.number:07d}",
        "status": "SCHEDULED",
        "modality": entry.modality,
        "description": entry.description,
        "protocol_codes": f'[["{entry.code}", "99LOCAL", "{entry.description}"]]',
        "start": start + timedelta(hours=entry.hour, minutes=entry.minute),
        "station_name": f"{entry.station}_ROOM",
        "location": f"ROOM {entry.station}",
        "performing_physician": entry.performing,
    }
