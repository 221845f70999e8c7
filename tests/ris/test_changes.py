"""The log of changed steps. Covered: every table that worklists show, on both databases; commits in another order than
transaction IDs (PostgreSQL); rollbacks; what nobody can say; the sweep; triggers after migrations."""

import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from ris import triggers
from ris.models import (
    MARK,
    Order,
    Patient,
    PatientIdentifier,
    RequestedProcedure,
    Room,
    ScheduledProcedureStep,
    Station,
    StationAlias,
    StepChange,
    Visit,
)
from ris.services import changes
from tests import making

pytestmark = pytest.mark.django_db(transaction=True)
only_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="transaction IDs are PostgreSQL's")


@pytest.fixture
def step(site) -> ScheduledProcedureStep:
    """A scheduled step with station, room and visit."""
    step = making.only_step(making.placed("1", making.step_request(station_ae_titles=("CT1",))))
    order = step.requested_procedure.order
    order.visit = Visit.objects.create(patient=order.patient, admission_id="V1")
    order.save()
    step.room = Room.objects.get(name="CT 1")
    step.save()
    return step


def now() -> changes.Position:
    return changes.since(None).position


def update(model, **values):
    return lambda: model.objects.update(**values)


def first(model, **values):
    return lambda: model.objects.filter(pk=model.objects.order_by("pk")[0].pk).update(**values)


def station(**values):
    return lambda: Station.objects.filter(ae_title="CT1").update(**values)


def room(**values):
    return lambda: Room.objects.filter(name="CT 1").update(**values)


def unassign():
    ScheduledProcedureStep.stations.through.objects.all().delete()


def delete(pk: int) -> None:
    """In SQL, with what refers to it."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ris_workflowevent WHERE step_id = %s", [pk])
        cursor.execute("DELETE FROM ris_scheduledprocedurestep_stations WHERE scheduledprocedurestep_id = %s", [pk])
        cursor.execute("DELETE FROM ris_scheduledprocedurestep WHERE id = %s", [pk])


def identify():
    PatientIdentifier.objects.create(patient=Patient.objects.get(), value="OLD", is_retired=True)


def rename():
    patient = Patient.objects.get()
    patient.patient_name = "Hopper^Grace^Brewster"
    patient.save()


#: What is done, and whether worklists show it.
SHOWN = [
    ("the step moves", update(ScheduledProcedureStep, start=making.NINE + timedelta(hours=1)), True),
    ("the step is held", update(ScheduledProcedureStep, on_hold=True), True),
    ("the step ends", update(ScheduledProcedureStep, status="COMPLETED"), True),
    ("its protocol changes", update(ScheduledProcedureStep, protocol_codes=[["P", "X", "other"]]), True),
    ("only its provenance changes", update(ScheduledProcedureStep, provenance={"a": ["b", "c"]}), False),
    ("the same again", update(ScheduledProcedureStep, modality="CT"), False),
    ("its station is taken away", unassign, True),
    ("the exam is described anew", update(RequestedProcedure, description="other"), True),
    ("the exam is reported", update(RequestedProcedure, report_status="FINAL"), False),
    ("the order has another priority", update(Order, priority="STAT"), True),
    ("the patient is weighed", update(Order, patient_weight=71), True),
    ("the order was told", update(Order, said_at={"priority": "1"}), False),
    ("the patient has another name", rename, True),
    ("the patient has another telephone", update(Patient, telephone="1"), True),
    ("the patient has an older identifier", identify, True),
    ("the patient lies elsewhere", update(Visit, current_patient_location="WARD 2"), True),
    ("the patient is discharged", update(Visit, status="DISCHARGED"), False),
    ("the room has another name", room(name="CT left"), True),
    ("the room moves on the board", room(position=9), False),
    ("another room has another name", first(Room, name="X"), False),
    ("the station has another AE title", station(ae_title="CT9"), True),
    ("the station has another character set", station(character_set="ISO_IR 100"), False),
    ("another station has another name", first(Station, name="X"), False),
]


@pytest.mark.parametrize(("does", "is_shown"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
def test_what_worklists_show_is_logged_once(step, does, is_shown):
    """And nothing else, whatever way it is written."""
    before = now()
    does()
    found = changes.since(before)
    assert (found.steps, found.everything) == ({step.pk} if is_shown else set(), False)
    assert not changes.since(found.position).steps


def test_steps_that_are_over_are_not_logged(step):
    """A million past exams cost nothing."""
    ScheduledProcedureStep.objects.update(status="COMPLETED")
    before = now()
    Order.objects.update(priority="STAT")
    ScheduledProcedureStep.objects.update(description="x")
    delete(step.pk)
    assert not changes.since(before).steps


def test_made_and_deleted_steps_are_logged(step):
    """By a service, and by SQL."""
    before = now()
    other = making.only_step(making.placed("2", making.step_request(station_ae_titles=("CT2",))))
    found = changes.since(before)
    assert found.steps == {other.pk}
    delete(other.pk)
    assert other.pk in changes.since(found.position).steps


def test_an_alias_is_no_step(step):
    """Only the names of stations are to be read anew."""
    before = now()
    StationAlias.objects.create(station=Station.objects.get(ae_title="CT1"), ae_title="CTOLD")
    found = changes.since(before)
    assert (found.steps, found.aliases, found.everything) == (frozenset(), True, False)


def test_what_is_rolled_back_was_never_there(step):
    """Nothing is logged of it."""
    before = now()
    with pytest.raises(RuntimeError), transaction.atomic():
        Order.objects.update(priority="STAT")
        raise RuntimeError
    assert not changes.since(before).steps


def test_an_emptied_database_is_everything(step):
    """Tables may be emptied under a running process."""
    before = now()
    call_command("flush", interactive=False, verbosity=0)
    assert changes.since(before).everything


@only_postgresql
def test_a_lower_transaction_that_commits_later_is_seen(step):
    """Two transactions: the one that began first commits last. Both are told, each once."""
    other = making.only_step(making.placed("2", making.step_request(station_ae_titles=("CT2",))))
    begun, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                ScheduledProcedureStep.objects.filter(pk=step.pk).update(description="slow")
                begun.set()
                assert may_commit.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    before = now()
    thread.start()
    assert begun.wait(20)
    ScheduledProcedureStep.objects.filter(pk=other.pk).update(description="quick")
    quick = changes.since(before)
    again = changes.since(quick.position)
    may_commit.set()
    thread.join(20)
    late = changes.since(again.position)
    assert (quick.steps, again.steps, late.steps) == ({other.pk}, frozenset(), {step.pk})
    logged = dict(
        StepChange.objects.filter(step_pk__in=[step.pk, other.pk]).order_by("pk").values_list("step_pk", "transaction")
    )
    assert logged[step.pk] < logged[other.pk]


@only_postgresql
def test_a_restarted_server_is_everything(step):
    """What another server, or this one before it was restored, had counted says nothing."""
    before = now()
    assert changes.since(changes.Position("another server", before.seen)).everything


def test_the_sweep_leaves_what_may_not_have_been_read(step):
    """A change goes once it was decided hours ago: on PostgreSQL a mark of then says so, not when it was written."""
    Order.objects.update(priority="STAT")
    old = StepChange.objects.latest("pk")
    StepChange.objects.update(at=timezone.now() - 2 * changes.KEPT)
    before = now()
    Order.objects.update(priority="ROUTINE")
    if connection.vendor == "postgresql":
        changes.purge()
        assert StepChange.objects.filter(pk=old.pk).exists()
        StepChange.objects.filter(step_pk=MARK).update(at=timezone.now() - 2 * changes.KEPT)
        StepChange.objects.filter(step_pk=MARK).update(transaction=old.transaction + 1)
    changes.purge()
    assert not StepChange.objects.filter(pk=old.pk).exists()
    found = changes.since(before)
    assert found.everything or found.steps == {step.pk}


def test_every_trigger_is_there_after_migrations(step):
    """A migration that re-makes a table (SQLite) or alters it takes no trigger away; then everything is read anew."""
    before, installed = now(), set(triggers._installed(connection))
    assert installed == set(triggers._wanted(connection.vendor))
    call_command("migrate", "ris", "0002", verbosity=0)
    assert not triggers._installed(connection)
    call_command("migrate", verbosity=0)
    assert set(triggers._installed(connection)) == installed
    executor = MigrationExecutor(connection)
    assert not executor.migration_plan(executor.loader.graph.leaf_nodes("ris"))
    assert changes.since(before).everything
