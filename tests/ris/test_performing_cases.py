"""The cases of IHE Scheduled Workflow beyond one MPPS for one step, and what scanners get wrong (reliability.md D).

Covered: append, group and overlapping MPPS, abandoned, wrong entry (DCM 110514), other patient by issuer, station other
than scheduled, times that cannot be. Not covered: reconciliation by a person, which is not there yet.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from ris import errors, selectors
from ris.inputs import Code, Identifier
from ris.models import ExpectedInstance, ScheduledProcedureStep, Series, Station, StationAlias, Study, WorkflowEvent
from ris.services import images, orders, performing
from tests import making
from tests.making import HIS, NINE, SCANNER

pytestmark = pytest.mark.usefixtures("site")

WRONG = Code("110514", "DCM", "Incorrect worklist entry selected")


@pytest.fixture
def step():
    return making.only_step(making.placed())


@pytest.fixture
def pair():
    return [making.only_step(making.placed(number)) for number in ("1", "2")]


def fresh(step):
    return ScheduledProcedureStep.objects.select_related("requested_procedure").get(pk=step.pk)


def status(step):
    found = fresh(step)
    return found.status, found.requested_procedure.status


def begin(uid, *steps, **parts):
    return performing.start(making.begun(uid, *steps, **parts), SCANNER)


def end(uid, state="COMPLETED", **parts):
    return performing.update(making.ended(uid, state, **parts), SCANNER)


def wrong(uid, **parts):
    return end(uid, "DISCONTINUED", discontinuation_reason=WRONG, **parts)


def send(step, *uids, **parts):
    for uid in uids:
        images.record(making.image(step, uid, **parts), SCANNER)


def arrived(step):
    exam = selectors.exams().get(pk=step.requested_procedure_id)
    return exam.images_expected, exam.images_arrived


def reasons(verb):
    return list(WorkflowEvent.objects.filter(verb=verb).values_list("reason", flat=True))


# Wrong entry


def test_wrong_entry_while_the_right_mpps_goes_on(step):
    """The withdrawn MPPS never was of this step: the other one alone says how far it is."""
    begin("1.9", step)
    begin("1.8", step)
    wrong("1.9")
    assert status(step)[0] == "STARTED"
    end("1.8", "DISCONTINUED", discontinuation_reason=Code("110513", "DCM", "Discontinued for unspecified reason"))
    assert status(step)[0] == "DISCONTINUED"


def test_wrong_entry_after_a_real_discontinuation(step):
    """The step that somebody began again by mistake is as discontinued as it was before."""
    begin("1.9", step)
    end("1.9", "DISCONTINUED")
    begin("1.8", step)
    wrong("1.8")
    assert status(step)[0] == "DISCONTINUED"


def test_wrong_entry_ended_first_and_the_right_one_completed(step):
    """What was restored is performed by its own MPPS, and the withdrawn one's images are not expected."""
    begin("1.9", step)
    wrong("1.9", images=3)
    assert status(step) == ("SCHEDULED", "SCHEDULED")
    begin("1.8", step)
    end("1.8", images=1)
    assert (status(step), arrived(step)) == (("COMPLETED", "PERFORMED"), (1, 0))
    send(step, "1.8.1.1")
    assert (status(step), arrived(step)) == (("COMPLETED", "IMAGES COMPLETE"), (1, 1))


def test_wrong_entry_appended_to_a_completed_step(step):
    """Nothing happens to the step; its images stay complete, and the history says why the MPPS is there."""
    begin("1.9", step)
    send(step, "1.9.1.1")
    end("1.9", images=1)
    begin("1.8", step)
    send(step, "1.8.1.1")
    wrong("1.8", images=2)
    assert (status(step), arrived(step)) == (("COMPLETED", "IMAGES COMPLETE"), (1, 1))
    assert reasons("wrong entry") == ["Incorrect worklist entry selected"]


def test_images_of_a_wrong_entry_do_not_count(step):
    """Those that are here when it is withdrawn, those that come later, and those of series without a list."""
    begin("1.9", step)
    send(step, "1.9.1.1")
    wrong("1.9", images=2)
    send(step, "1.9.1.2")
    assert arrived(step) == (0, 0)
    assert Series.objects.get().wrong_entry
    assert list(selectors.to_reconcile()[1]) == [Study.objects.get()]
    begin("1.8", step)
    end("1.8", images=1)
    send(step, "1.8.1.1")
    assert (status(step)[1], arrived(step)) == ("IMAGES COMPLETE", (1, 1))


def test_images_of_a_wrong_entry_that_lists_none(step):
    """Without a list all that the exam has got is the withdrawn MPPS', if it is the only one."""
    begin("1.9", step)
    send(step, "1.9.1.1", "1.9.2.1")
    wrong("1.9", instances=())
    assert arrived(step) == (0, 0)
    assert Series.objects.filter(wrong_entry=True).count() == 2


def test_wrong_entry_gives_back_every_step_of_a_group(pair):
    """One MPPS of two steps, withdrawn: both are on the worklist again."""
    begin("1.9", *pair)
    wrong("1.9")
    assert [status(step)[0] for step in pair] == ["SCHEDULED", "SCHEDULED"]


def test_the_right_step_is_performed_afterwards(pair):
    """Picked the first by mistake, performed the second."""
    first, second = pair
    begin("1.9", first)
    wrong("1.9", instances=())
    begin("1.8", second)
    end("1.8", images=1)
    send(second, "1.8.1.1")
    assert (status(first)[0], status(second)) == ("SCHEDULED", ("COMPLETED", "IMAGES COMPLETE"))


def test_a_reason_said_before_the_end_is_remembered_but_completes_all_the_same(step):
    """The code is of a DISCONTINUED step only: an MPPS that is COMPLETED is no wrong entry, whatever it says."""
    begin("1.9", step)
    end("1.9", "IN PROGRESS", discontinuation_reason=WRONG)
    end("1.9")
    assert (status(step)[0], arrived(step)[0]) == ("COMPLETED", 2)


# Group


def test_several_mpps_overlap_several_steps(pair):
    """First MPPS of both steps, second of the second alone: each step is done when all of its own are."""
    first, second = pair
    begin("1.9", first, second)
    begin("1.8", second)
    end("1.9")
    assert (status(first)[0], status(second)[0]) == ("COMPLETED", "STARTED")
    end("1.8", images=1)
    assert status(second)[0] == "COMPLETED"


def test_images_of_a_group_complete_every_exam(pair):
    """They are all stored in the study of one exam; the other's are complete with them, and counted."""
    begin("1.9", *pair)
    end("1.9")
    send(pair[0], "1.9.1.1", "1.9.1.2")
    assert [status(step) for step in pair] == [("COMPLETED", "IMAGES COMPLETE")] * 2
    assert [arrived(step) for step in pair] == [(2, 2), (2, 2)]


def test_group_with_one_study_uid(pair):
    """PS3.4 F.7.2.1.2 note 2: all items may carry one Study UID; accession number and step ID tell them apart."""
    first, second = pair
    shared = first.requested_procedure.study_instance_uid
    for uid, parts in (("1.9", {"scheduled_procedure_step_id": ""}), ("1.8", {"scheduled_procedure_step_id": "1"})):
        references = (making.reference(first), making.reference(second, study_instance_uid=shared, **parts))
        performed = begin(uid, references=references)
        assert set(performed.scheduled_steps.all()) == {first, second}, parts


def test_two_exams_of_one_accession_number():
    """The requested procedure ID tells them apart where the scanner made its own Study UID and no step ID."""
    request = making.order_request("1")
    order = orders.place(replace(request, procedures=request.procedures * 2), HIS)
    second = ScheduledProcedureStep.objects.get(requested_procedure__order=order, requested_procedure__position=2)
    reference = making.reference(
        second,
        study_instance_uid="1.2.3",
        scheduled_procedure_step_id="",
        requested_procedure_id=second.requested_procedure.requested_procedure_id,
    )
    assert list(begin("1.9", references=(reference,)).scheduled_steps.all()) == [second]


# Append and abandoned


def test_append_is_not_told_twice(step):
    """No event of an appended MPPS changes what billing is told: the exam was performed, and stays so."""
    begin("1.9", step)
    end("1.9")
    before = WorkflowEvent.objects.count()
    begin("1.8", step)
    end("1.8")
    later = WorkflowEvent.objects.filter(requested_procedure=step.requested_procedure).order_by("id")[before - 1 :]
    assert later and all(event.old_exam_status == event.exam_status == "PERFORMED" for event in later)


def test_abandoned_with_images(step):
    """Discontinued in the middle: its images exist and count (CID 9300, equipment failure)."""
    begin("1.9", step)
    send(step, "1.9.1.1", "1.9.1.2")
    end("1.9", "DISCONTINUED", discontinuation_reason=Code("110501", "DCM", "Equipment failure"))
    assert (status(step)[0], arrived(step)) == ("DISCONTINUED", (2, 2))
    assert WorkflowEvent.objects.get(verb="discontinue").reason == "Equipment failure"


def test_cancel_while_scanning(step):
    """The desk is refused: the exam has started."""
    begin("1.9", step)
    with pytest.raises(errors.TransitionNotAllowed):
        orders.cancel_exam(step.requested_procedure_id, HIS, "")
    end("1.9")
    assert status(step)[0] == "COMPLETED"


def test_an_mpps_of_a_canceled_step_ends(step):
    """It changes nothing but itself, and stays on the list."""
    orders.cancel_exam(step.requested_procedure_id, HIS, "")
    begin("1.9", step)
    end("1.9")
    assert status(step)[0] == "CANCELED"
    assert [(row.status, row.mismatch) for row in selectors.to_reconcile()[0]] == [("COMPLETED", "NOT_PENDING")]


# Who


@pytest.mark.parametrize(
    ("identifier", "mismatch"),
    [
        (Identifier("P100", "SUNVIEW"), ""),
        (Identifier("P100"), ""),
        (Identifier(), ""),
        (Identifier("P100", "ELSEWHERE"), "PATIENT"),
        (Identifier("P101", "SUNVIEW"), "PATIENT"),
    ],
)
def test_mpps_and_images_ask_the_same_of_a_patient(step, identifier, mismatch):
    """One rule: an issuer that is said must be the one that is known."""
    assert begin("1.9", step, patient=identifier).mismatch == mismatch
    images.record(making.image(step, "1.9.1.1", patient=identifier), SCANNER)
    assert Study.objects.get().mismatch == mismatch


# Where and when


def test_another_station_than_scheduled(step):
    """Performed where it was not planned: accepted, and the history says where."""
    Station.objects.get(ae_title="CT2")
    step.stations.set([Station.objects.get(ae_title="CT1")])
    begin("1.9", step, station_ae_title="CT2")
    assert status(step)[0] == "STARTED"
    assert reasons("other station") == ["performed at CT2, scheduled for CT1"]


def test_a_station_by_another_of_its_names(step):
    """An alias is no other station; neither is one that says nothing."""
    StationAlias.objects.create(station=Station.objects.get(ae_title="CT1"), ae_title="CTOLD")
    begin("1.9", step, station_ae_title="CTOLD")
    begin("1.8", step, station_ae_title="")
    assert reasons("other station") == []


@pytest.mark.parametrize(
    ("start", "finish", "remark"),
    [
        (NINE, NINE, ""),
        (NINE, NINE - timedelta(minutes=1), "ended before it began"),
        (timezone.now() + timedelta(days=2), None, "begins in the future"),
        (NINE, timezone.now() + timedelta(days=2), "ends in the future"),
        (timezone.now() + timedelta(hours=1), None, ""),
    ],
)
def test_times_that_cannot_be(step, start, finish, remark):
    """Taken all the same; the exam's page and its history say so."""
    performed = begin("1.9", step, start=start)
    if finish:
        performed = end("1.9", end=finish)
    assert "; ".join(performed.remarks) == remark
    assert reasons("remark") == ([remark] if remark else [])
    assert status(step)[0] == ("COMPLETED" if finish else "STARTED")


def test_a_growing_list_is_kept_as_it_grows(step):
    """Each N-SET lists all so far: what is known stays as it is, what is gone is gone, a changed one is changed."""
    begin("1.9", step)
    end("1.9", "IN PROGRESS", images=3)
    known = dict(ExpectedInstance.objects.values_list("sop_instance_uid", "pk"))
    end("1.9", images=2)
    assert dict(ExpectedInstance.objects.values_list("sop_instance_uid", "pk")) == {
        uid: pk for uid, pk in known.items() if not uid.endswith(".3")
    }


def test_a_station_without_mpps_after_a_wrong_entry():
    """The withdrawn MPPS does not keep the quiet study from completing the exam."""
    step = making.only_step(making.placed("1", making.step_request(modality="MG")))
    begin("1.9", step, modality="MG", station_ae_title="MG1")
    wrong("1.9", instances=())
    send(step, "1.8.1.1", source_ae_title="MG1")
    assert status(step)[0] == "STARTED"
    assert images.complete_quiet_studies(timezone.now() + timedelta(minutes=6)) == 1
    assert status(step) == ("COMPLETED", "IMAGES COMPLETE")
