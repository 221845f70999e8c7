"""One exam over real sockets: worklist, MPPS, images, and what the domain makes of them."""

import pytest

from ris.models import ExpectedInstance, Instance, PerformedProcedureStep, RequestedProcedure, ScheduledProcedureStep
from tests import making

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_exam_from_worklist_to_images_complete(scanner):
    """The scanner picks the entry, starts, sends images, completes: the exam is IMAGES COMPLETE."""
    order = making.placed()
    scanner.echo()
    (entry,) = scanner.find(ScheduledStationAETitle="CT1", AccessionNumber=order.accession_number)
    exam = scanner.start(entry)
    assert RequestedProcedure.objects.get().status == "IN PROGRESS"
    scanner.store(exam, 3)
    scanner.complete(exam)
    assert RequestedProcedure.objects.get().status == "IMAGES COMPLETE"
    assert Instance.objects.count() == ExpectedInstance.objects.count() == 3
    assert scanner.find(AccessionNumber=order.accession_number) == []


def test_what_the_scanner_sent_is_kept(scanner):
    """The MPPS is kept whole, as DICOM JSON, and its columns hold what the domain asks for."""
    making.placed()
    exam = scanner.start(scanner.find()[0])
    performed = PerformedProcedureStep.objects.get()
    assert performed.sop_instance_uid == exam.uid
    assert (performed.station_ae_title, performed.modality, performed.patient_id) == ("CT1", "CT", "P100")
    assert performed.patient_name == "Hopper^Grace"
    assert performed.attributes["00100010"]["Value"] == [{"Alphabetic": "Hopper^Grace"}]
    scanner.complete(exam) if scanner.store(exam) else None
    performed.refresh_from_db()
    assert performed.attributes["00400252"]["Value"] == ["COMPLETED"]
    assert performed.end is not None


def test_wrong_entry_picked_goes_back_to_the_worklist(scanner):
    """DISCONTINUED with DCM 110514 gives the step back."""
    making.placed()
    exam = scanner.start(scanner.find()[0])
    assert scanner.find() == []
    scanner.discontinue(exam)
    assert ScheduledProcedureStep.objects.get().status == "SCHEDULED"
    assert len(scanner.find()) == 1


def test_append_and_group(scanner):
    """Two MPPS of one step (append), one MPPS of two steps (group): each step follows all its MPPS."""
    making.placed("1", making.step_request(), making.step_request(description="CT neck"))
    first, second = scanner.find()
    group = scanner.start(first, second)
    scanner.store(group)
    scanner.complete(group)
    assert set(ScheduledProcedureStep.objects.values_list("status", flat=True)) == {"COMPLETED"}
    appended = scanner.start(first)
    scanner.store(appended)
    scanner.complete(appended)
    step = ScheduledProcedureStep.objects.order_by("pk")[0]
    assert (step.status, step.performed_steps.count()) == ("COMPLETED", 2)


def test_an_unscheduled_exam_is_kept(scanner):
    """An MPPS for an order nobody knows is answered with success and marked."""
    making.placed()
    entry = scanner.find()[0]
    entry.StudyInstanceUID, entry.AccessionNumber = "1.2.3.4", "NOBODY"
    entry.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID = ""
    scanner.start(entry)
    assert PerformedProcedureStep.objects.get().mismatch == "UNSCHEDULED"
    assert ScheduledProcedureStep.objects.get().status == "SCHEDULED"
