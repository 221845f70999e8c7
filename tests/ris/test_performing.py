"""MPPS and images: what the scanner reports drives the exam to its end, and reality is never refused."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ris import errors, selectors
from ris.inputs import Code, Identifier, PatientIdentity, ScheduledStepReference
from ris.models import (
    ExpectedInstance,
    Instance,
    PerformedProcedureStep,
    RequestedProcedure,
    ScheduledProcedureStep,
    Study,
    WorkflowEvent,
)
from ris.services import images, orders, patients, performing
from tests import making
from tests.making import HIS, SCANNER

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def step():
    return making.only_step(making.placed())


def fresh(step):
    return ScheduledProcedureStep.objects.select_related("requested_procedure").get(pk=step.pk)


def status(step):
    found = fresh(step)
    return found.status, found.requested_procedure.status


def send(step, *uids):
    for uid in uids:
        images.record(making.image(step, uid), SCANNER)


def test_start_and_complete(step):
    """N-CREATE starts, the final N-SET completes, the last image it lists makes the images complete."""
    performing.start(making.begun("1.9", step), SCANNER)
    assert status(step) == ("STARTED", "IN PROGRESS")
    send(step, "1.9.1.1")
    performing.update(making.ended("1.9"), SCANNER)
    assert status(step) == ("COMPLETED", "PERFORMED")
    exam = selectors.exams().get()
    assert (exam.images_expected, exam.images_arrived) == (2, 1)
    send(step, "1.9.1.2")
    assert status(step) == ("COMPLETED", "IMAGES COMPLETE")
    verbs = list(WorkflowEvent.objects.values_list("verb", flat=True))
    assert verbs == ["register", "order", "schedule", "start", "complete", "images complete"]


def test_images_first(step):
    """Images that are all here before the final N-SET complete the exam with it."""
    performing.start(making.begun("1.9", step), SCANNER)
    send(step, "1.9.1.1", "1.9.1.2")
    performing.update(making.ended("1.9"), SCANNER)
    assert status(step) == ("COMPLETED", "IMAGES COMPLETE")


def test_an_image_twice(step):
    """The same image again changes nothing."""
    first, created = images.record(making.image(step, "1.9.1.1"), SCANNER)
    again, created_again = images.record(making.image(step, "1.9.1.1", path="elsewhere"), SCANNER)
    assert (created, created_again) == (True, False)
    assert first == again
    assert Instance.objects.get().path == "images/1.9.1.1.dcm"


def test_statements_of_an_image(step):
    """One of a series that is here already takes few, and as few among a hundred images."""
    performing.start(making.begun("1.9", step), SCANNER)
    counts = []
    for number in range(1, 101):
        with CaptureQueriesContext(connection) as statements:
            send(step, f"1.9.1.{number}")
        counts.append(len([one for one in statements if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))]))
    assert set(counts[1:]) == {8}


def test_duplicate_and_final(step):
    """A second N-CREATE of one UID, an N-SET of none, an N-SET after the end are refused."""
    performing.start(making.begun("1.9", step), SCANNER)
    with pytest.raises(errors.DuplicatePerformedStep):
        performing.start(making.begun("1.9", step), SCANNER)
    with pytest.raises(errors.UnknownPerformedStep):
        performing.update(making.ended("1.8"), SCANNER)
    performing.update(making.ended("1.9"), SCANNER)
    with pytest.raises(errors.PerformedStepIsFinal, match="may no longer be updated"):
        performing.update(making.ended("1.9", "DISCONTINUED"), SCANNER)
    assert status(step)[0] == "COMPLETED"


def test_attributes_are_laid_over(step):
    """An N-SET replaces the attributes it names and leaves the rest."""
    performing.start(
        making.begun("1.9", step, attributes={"A": {"vr": "CS"}, "B": {"vr": "SQ", "Value": [1]}}), SCANNER
    )
    performing.update(making.ended("1.9", attributes={"B": {"vr": "SQ", "Value": [2]}}), SCANNER)
    assert selectors.performed_step("1.9").attributes == {"A": {"vr": "CS"}, "B": {"vr": "SQ", "Value": [2]}}


def test_intermediate_set(step):
    """An N-SET that keeps IN PROGRESS is no event; the list of instances it gives is replaced by the next."""
    performing.start(making.begun("1.9", step), SCANNER)
    before = WorkflowEvent.objects.count()
    performing.update(making.ended("1.9", "IN PROGRESS", images=5), SCANNER)
    assert WorkflowEvent.objects.count() == before
    assert selectors.exams().get().images_expected == 0
    performing.update(making.ended("1.9", images=3), SCANNER)
    assert ExpectedInstance.objects.count() == selectors.exams().get().images_expected == 3


def test_append(step):
    """A second MPPS for a completed step never re-opens it; its images are expected too."""
    performing.start(making.begun("1.9", step), SCANNER)
    send(step, "1.9.1.1", "1.9.1.2")
    performing.update(making.ended("1.9"), SCANNER)
    performing.start(making.begun("1.8", step), SCANNER)
    assert status(step) == ("COMPLETED", "IMAGES COMPLETE")
    performing.update(making.ended("1.8", images=1), SCANNER)
    assert status(step) == ("COMPLETED", "PERFORMED")
    send(step, "1.8.1.1")
    assert status(step) == ("COMPLETED", "IMAGES COMPLETE")
    assert WorkflowEvent.objects.filter(verb="append").count() == 2


def test_second_mpps_while_the_first_runs(step):
    """The step is complete only when all its MPPS are final."""
    performing.start(making.begun("1.9", step), SCANNER)
    performing.start(making.begun("1.8", step), SCANNER)
    performing.update(making.ended("1.9"), SCANNER)
    assert status(step)[0] == "STARTED"
    performing.update(making.ended("1.8", "DISCONTINUED"), SCANNER)
    assert status(step)[0] == "COMPLETED"


def test_group():
    """One MPPS for the steps of two orders starts and completes both."""
    first, second = (making.only_step(making.placed(number)) for number in ("1", "2"))
    performing.start(making.begun("1.9", first, second), SCANNER)
    assert status(first)[0] == status(second)[0] == "STARTED"
    performing.update(making.ended("1.9"), SCANNER)
    assert status(first)[0] == status(second)[0] == "COMPLETED"


@pytest.mark.parametrize(
    ("code", "expected"), [("110513", ("DISCONTINUED", "DISCONTINUED")), ("110514", ("SCHEDULED", "SCHEDULED"))]
)
def test_discontinued(step, code, expected):
    """A discontinued step ends; one picked by mistake (DCM 110514) goes back to the worklist."""
    performing.start(making.begun("1.9", step), SCANNER)
    performing.update(making.ended("1.9", "DISCONTINUED", discontinuation_reason=Code(code, "DCM", "why")), SCANNER)
    assert status(step) == expected


def test_again_after_discontinued(step):
    """A discontinued exam that is begun again goes on and ends as completed."""
    performing.start(making.begun("1.9", step), SCANNER)
    performing.update(making.ended("1.9", "DISCONTINUED"), SCANNER)
    performing.start(making.begun("1.8", step), SCANNER)
    assert status(step)[0] == "STARTED"
    performing.update(making.ended("1.8"), SCANNER)
    assert status(step)[0] == "COMPLETED"


def test_unknown_step(db):
    """An MPPS for a step nobody knows is kept and waits for reconciliation."""
    unknown = (ScheduledStepReference(study_instance_uid="1.2.3", scheduled_procedure_step_id="?"),)
    performed = performing.start(making.begun("1.9", references=unknown), SCANNER)
    assert performed.mismatch == "UNSCHEDULED"
    assert list(selectors.to_reconcile()[0]) == [performed]
    performing.update(making.ended("1.9"), SCANNER)
    assert PerformedProcedureStep.objects.get().status == "COMPLETED"


def test_other_patient(step):
    """An MPPS that names another patient changes no step: no automatic link, and it is shown."""
    performed = performing.start(making.begun("1.9", step, patient=Identifier("P999", "SUNVIEW")), SCANNER)
    assert (performed.mismatch, status(step)[0]) == ("PATIENT", "SCHEDULED")
    assert WorkflowEvent.objects.filter(verb="mismatch", step=step).exists()


def test_canceled_step(step):
    """An MPPS for a canceled step is kept and shown; the cancel stands."""
    orders.cancel_exam(step.requested_procedure_id, HIS, "")
    performed = performing.start(making.begun("1.9", step), SCANNER)
    assert (performed.mismatch, status(step)[0]) == ("NOT_PENDING", "CANCELED")


@pytest.mark.parametrize(
    "parts",
    [
        {"study_instance_uid": "1.2.3.4"},
        {"study_instance_uid": "1.2.3.4", "accession_number": ""},
        {"scheduled_procedure_step_id": ""},
        {"scheduled_procedure_step_id": "", "study_instance_uid": "1.2.3.4"},
    ],
)
def test_how_a_step_is_found(step, parts):
    """A scanner that leaves out or renames an identifier still finds the step by what is left."""
    report = making.begun("1.9", references=(making.reference(step, **parts),))
    assert performing.start(report, SCANNER).mismatch == ""
    assert status(step)[0] == "STARTED"


def test_merged_patient(step):
    """An MPPS with the number of before a merge is of the right patient."""
    patients.merge(PatientIdentity(identifier=Identifier("P900", "SUNVIEW")), making.GRACE.identifier, HIS)
    assert performing.start(making.begun("1.9", step), SCANNER).mismatch == ""


def test_image_without_order(db):
    """An image of no order is kept and waits for reconciliation."""
    other = ScheduledProcedureStep(requested_procedure=RequestedProcedure(study_instance_uid="1.7"))
    images.record(making.image(other, "1.7.1.1"), SCANNER)
    assert Study.objects.get().mismatch == "UNSCHEDULED"
    assert list(selectors.to_reconcile()[1]) == [Study.objects.get()]


def test_image_of_another_patient(step):
    """An image of another patient than ordered does not count for the exam."""
    performing.start(making.begun("1.9", step), SCANNER)
    performing.update(making.ended("1.9", images=1), SCANNER)
    images.record(making.image(step, "1.9.1.1", patient=Identifier("P999")), SCANNER)
    assert Study.objects.get().mismatch == "PATIENT"
    assert status(step) == ("COMPLETED", "PERFORMED")


def test_image_found_by_accession_number(step):
    """A scanner that made its own Study UID is found by the accession number."""
    number = step.requested_procedure.order.accession_number
    images.record(making.image(step, "1.9.1.1", study_instance_uid="1.2.3", accession_number=number), SCANNER)
    assert Study.objects.get().requested_procedure == step.requested_procedure


@pytest.fixture
def mammogram(site):
    return making.only_step(making.placed("1", making.step_request(modality="MG")))


def test_station_without_mpps(mammogram):
    """Without MPPS the first image starts the exam; a study gone quiet completes it, and says that it is inferred."""
    images.record(making.image(mammogram, "1.9.1.1", source_ae_title="MG1"), SCANNER)
    assert status(mammogram) == ("STARTED", "IN PROGRESS")
    now = timezone.now()
    assert images.complete_quiet_studies(now + timedelta(minutes=4)) == 0
    assert images.complete_quiet_studies(now + timedelta(minutes=6)) == 1
    assert status(mammogram) == ("COMPLETED", "IMAGES COMPLETE")
    assert fresh(mammogram).requested_procedure.images_inferred
    assert images.complete_quiet_studies(now + timedelta(minutes=9)) == 0


def test_quiet_is_not_for_mpps(step):
    """A station that sends MPPS is not completed by silence, nor started by an image."""
    send(step, "1.9.1.1")
    assert status(step)[0] == "SCHEDULED"
    performing.start(making.begun("1.9", step), SCANNER)
    assert images.complete_quiet_studies(timezone.now() + timedelta(days=1)) == 0
