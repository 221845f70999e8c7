"""Many callers at once: nothing twice, nothing lost, no deadlock. On SQLite and on PostgreSQL."""

import threading
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from ris.errors import DuplicatePerformedStep, Refusal
from ris.inputs import Identifier, OrderKey, PatientIdentity
from ris.models import (
    Instance,
    Order,
    Patient,
    PerformedProcedureStep,
    RequestedProcedure,
    ScheduledProcedureStep,
    Series,
    Study,
    Tombstone,
    WorkflowEvent,
)
from ris.services import images, orders, patients, performing, scheduling
from tests import making
from tests.making import HIS, NINE, SCANNER
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(transactional_db):
    call_command("loaddata", "sunview", verbosity=0)


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Run every act in a thread of its own from one starting line; results or refusals in their order."""
    line, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(index: int, act: Callable[[], object]) -> None:
        try:
            line.wait()
            results[index] = act()
        except Refusal as refusal:
            results[index] = refusal
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index, act)) for index, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_one_order_from_many_callers(site):
    """The same new order of a new patient, sent by six callers in one instant, is one order of one patient."""
    results = at_once(*[lambda: making.placed("1")] * 6)
    assert [type(result) for result in results] == [Order] * 6
    assert (Patient.objects.count(), Order.objects.count(), ScheduledProcedureStep.objects.count()) == (1, 1, 1)
    assert WorkflowEvent.objects.filter(verb="schedule").count() == 1


def test_identifiers_never_collide(site):
    """Orders placed in one instant get numbers of their own."""
    at_once(*[lambda number=number: making.placed(str(number)) for number in range(8)])
    for model, column in [
        (Order, "accession_number"),
        (RequestedProcedure, "requested_procedure_id"),
        (RequestedProcedure, "study_instance_uid"),
        (ScheduledProcedureStep, "scheduled_procedure_step_id"),
    ]:
        values = list(model.objects.values_list(column, flat=True))
        assert len(set(values)) == len(values) == 8


def test_cancel_against_start(site):
    """HIS cancels while the scanner starts: one of them is first, and both are told the truth."""
    step = making.only_step(making.placed())
    cancel = lambda: orders.cancel_exam(step.requested_procedure_id, HIS, "")  # noqa: E731
    canceled, performed = at_once(cancel, lambda: performing.start(making.begun("1.9", step), SCANNER))
    step.refresh_from_db()
    assert isinstance(performed, PerformedProcedureStep)
    if step.status == "CANCELED":
        assert performed.mismatch == "NOT_PENDING"
    else:
        assert (step.status, isinstance(canceled, Refusal)) == ("STARTED", True)


def test_one_mpps_twice(site):
    """Two N-CREATE of one UID in one instant: one is kept, the other is told that it is a duplicate."""
    step = making.only_step(making.placed())
    results = at_once(*[lambda: performing.start(making.begun("1.9", step), SCANNER)] * 2)
    assert sorted(type(result).__name__ for result in results) == ["DuplicatePerformedStep", "PerformedProcedureStep"]
    assert any(isinstance(result, DuplicatePerformedStep) for result in results)
    assert WorkflowEvent.objects.filter(verb="start").count() == 1


def test_images_from_many_associations(site):
    """The last image, whichever it is, completes the exam once."""
    step = making.only_step(making.placed())
    performing.start(making.begun("1.9", step), SCANNER)
    performing.update(making.ended("1.9", images=8), SCANNER)
    at_once(
        *[lambda number=number: images.record(making.image(step, f"1.9.1.{number}"), SCANNER) for number in range(1, 9)]
    )
    assert RequestedProcedure.objects.get().status == "IMAGES COMPLETE"
    assert WorkflowEvent.objects.filter(verb="images complete").count() == 1


def test_first_images_of_an_unknown_study(site):
    """No order is locked for them: who finds that another made the study or series in this instant begins anew."""
    step = making.only_step(making.placed())
    unknown = [making.image(step, f"1.7.{number % 2}.{number}", study_instance_uid="1.7") for number in range(8)]
    results = at_once(*[lambda image=image: images.record(image, SCANNER) for image in [*unknown, unknown[0]]])
    assert sorted(created for _instance, created in results) == [False] + [True] * 8
    assert (Study.objects.count(), Series.objects.count(), Instance.objects.count()) == (1, 2, 8)


def test_cancellation_against_its_order(site):
    """A cancellation that comes in the instant of its order: whoever is first, the order is canceled."""
    for number in range(6):
        key = OrderKey(sender="HIS|SUNVIEW", placer_order_number=Identifier(str(number), "HIS"))
        results = at_once(
            lambda number=number: making.placed(str(number)), lambda key=key: orders.cancel_ahead(key, HIS)
        )
        assert isinstance(results[0], Order)
    assert set(ScheduledProcedureStep.objects.values_list("status", flat=True)) == {"CANCELED"}
    assert Order.objects.filter(canceled_at__isnull=False).count() == 6 and not Tombstone.objects.exists()


def test_merge_against_everything(site):
    """Merges both ways, orders and check-ins of the two patients in one instant end without deadlock or loss."""
    step = making.only_step(making.placed("1"))
    other = PatientIdentity(identifier=Identifier("P900", "SUNVIEW"))
    patients.register(other, HIS)
    results = at_once(
        lambda: patients.merge(other, making.GRACE.identifier, HIS),
        lambda: patients.merge(making.GRACE, other.identifier, HIS),
        lambda: making.placed("2"),
        lambda: scheduling.arrive(step.pk, HIS),
        lambda: scheduling.book(step.pk, room_pk=3, start=NINE, actor=HIS),
    )
    assert not [result for result in results if result is None]
    survivor = patients.find(making.GRACE.identifier)
    assert survivor == patients.find(other.identifier)
    assert set(Order.objects.values_list("patient", flat=True)) == {survivor.pk}


def test_an_order_that_is_merged_while_somebody_waits_for_it_is_still_here(site):
    """A lock that reads the patient beside the order finds neither once the order has moved (PostgreSQL 13.2.1)."""
    step = making.only_step(making.placed("1"))
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(at_once(lambda: scheduling.arrive(step.pk, HIS))))
    with transaction.atomic():
        patients.merge(PatientIdentity(identifier=Identifier("P900", "SUNVIEW")), making.GRACE.identifier, HIS)
        thread.start()
        wait_until(_somebody_waits, seconds=20)
    thread.join(60)
    assert found == [step] and ScheduledProcedureStep.objects.get().status == "ARRIVED"


def _somebody_waits() -> bool:
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0] > 0
