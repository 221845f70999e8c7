"""The cases of IHE Scheduled Workflow as scanners play them, over real associations.

The rules behind them are in tests/ris/test_performing_cases.py; Table F.7.2-1 is in test_mpps_rules.py.
"""

import logging
import threading
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from pydicom.dataset import Dataset

from ris import selectors
from ris.inputs import Identifier, PatientIdentity
from ris.models import PerformedProcedureStep, ScheduledProcedureStep, Series, Station, WorkflowEvent
from ris.services import orders, patients
from tests import making
from tests.waiting import wait_until
from tests.worklist.test_mpps import attributes, refused
from worklist import early_updates, mpps_tasks, synthetic
from worklist.clock import to_site
from worklist.destinations import EarlyUpdate
from worklist.emulator import Modality, PerformedExam, ended

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def entries(scanner: Modality) -> list[Dataset]:
    """The worklist with two orders of one patient."""
    for number in ("1", "2"):
        making.placed(number)
    return scanner.find()


def states() -> list[tuple[str, str]]:
    """Status of each step and of its exam, in the order of the orders."""
    steps = ScheduledProcedureStep.objects.select_related("requested_procedure").order_by("pk")
    return [(step.status, step.requested_procedure.status) for step in steps]


def images() -> list[tuple[int, int]]:
    return [(exam.images_expected, exam.images_arrived) for exam in selectors.exams().order_by("pk")]


def mismatches() -> list[str]:
    return [row.get_mismatch_display() for row in selectors.to_reconcile()[0]]


def changed(entry: Dataset, **values: object) -> Dataset:
    sent = attributes(entry)
    for keyword, value in values.items():
        setattr(sent, keyword, value)
    return sent


def test_simple_with_intermediate_sets(scanner, entries):
    """Two N-SETs between: each list replaces the one before, the status stays, the last one counts."""
    exam = scanner.start(entries[0])
    for _series in range(2):
        scanner.store(exam, 2)
        scanner.set(exam.uid, ended(exam, "IN PROGRESS"))
        assert states()[0] == ("STARTED", "IN PROGRESS")
    scanner.complete(exam)
    assert (states()[0], images()[0]) == (("COMPLETED", "IMAGES COMPLETE"), (4, 4))


def test_append(scanner, entries):
    """A second MPPS after the end: the step stays COMPLETED, its new images are expected too."""
    for count in (2, 3):
        exam = scanner.start(entries[0])
        assert states()[0][0] == ("STARTED" if count == 2 else "COMPLETED")
        scanner.store(exam, count)
        scanner.complete(exam)
    assert (states()[0], images()[0]) == (("COMPLETED", "IMAGES COMPLETE"), (5, 5))
    ends = WorkflowEvent.objects.filter(verb="complete")
    assert ends.count() == 1


def test_group(scanner, entries):
    """One MPPS and one set of images for two entries."""
    exam = scanner.start(*entries)
    scanner.store(exam)
    scanner.complete(exam)
    assert (states(), images()) == ([("COMPLETED", "IMAGES COMPLETE")] * 2, [(2, 2)] * 2)


def test_groups_that_overlap(scanner, entries):
    """The first entry in one MPPS, both in another that ends first."""
    one, both = scanner.start(entries[0]), scanner.start(*entries)
    scanner.store(both)
    scanner.complete(both)
    assert [status for status, _exam in states()] == ["STARTED", "COMPLETED"]
    scanner.store(one)
    scanner.complete(one)
    assert states() == [("COMPLETED", "IMAGES COMPLETE")] * 2


def test_abandoned_and_begun_again(scanner, entries):
    """Discontinued for a reason of CID 9300 with images; then another MPPS resumes the step."""
    exam = scanner.start(entries[0])
    scanner.store(exam, 1)
    scanner.discontinue(exam, ("110501", "DCM", "Equipment failure"))
    assert (states()[0][0], images()[0]) == ("DISCONTINUED", (1, 1))
    again = scanner.start(entries[0])
    assert states()[0] == ("STARTED", "IN PROGRESS")
    scanner.store(again, 1)
    scanner.complete(again)
    assert (states()[0], images()[0]) == (("COMPLETED", "IMAGES COMPLETE"), (2, 2))


def test_wrong_entry_and_then_the_right_one(scanner, entries):
    """The first was picked, the second was meant: the first is on the worklist again, its images count for nobody."""
    wrong = scanner.start(entries[0])
    scanner.store(wrong, 2)
    scanner.discontinue(wrong)
    scanner.send([late_image(wrong)])
    assert (states()[0], images()[0]) == (("SCHEDULED", "SCHEDULED"), (0, 0))
    assert Series.objects.get().wrong_entry and len(scanner.find()) == 2
    right = scanner.start(entries[1])
    scanner.store(right, 2)
    scanner.complete(right)
    assert (states()[1], images()) == (("COMPLETED", "IMAGES COMPLETE"), [(0, 0), (2, 2)])


def late_image(exam) -> Dataset:
    """One more image of the series, that is sent late."""
    return synthetic.image(exam, 9)


def test_wrong_entry_among_other_reasons(scanner, entries):
    """The code need not be the first item, and may have come before the status."""
    exam = scanner.start(entries[0])
    early, end = Dataset(), ended(exam, "DISCONTINUED")
    early.PerformedProcedureStepDiscontinuationReasonCodeSequence = [code("110513"), code("110514")]
    scanner.set(exam.uid, early)
    scanner.set(exam.uid, end)
    assert states()[0] == ("SCHEDULED", "SCHEDULED")


def code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", "Reason"
    return item


def test_unscheduled(scanner, entries):
    """A trauma scan without any order: taken, and on the list to reconcile, to its end."""
    sent = attributes(entries[0])
    item = sent.ScheduledStepAttributesSequence[0]
    item.StudyInstanceUID = "1.2.3.4"
    item.AccessionNumber = item.RequestedProcedureID = item.ScheduledProcedureStepID = ""
    sent.PatientID = "TRAUMA1"
    scanner.create("1.2.3", sent)
    assert (mismatches(), states()[0][0]) == (["no scheduled step found"], "SCHEDULED")
    last = Dataset()
    last.PerformedProcedureStepStatus = "DISCONTINUED"
    last.PerformedProcedureStepEndDate, last.PerformedProcedureStepEndTime = "20261123", "1000"
    scanner.set("1.2.3", last)
    assert PerformedProcedureStep.objects.get().status == "DISCONTINUED"


@pytest.mark.parametrize(
    ("patient_id", "issuer", "is_other"),
    [("P100", "SUNVIEW", False), ("P100", "", False), ("P999", "SUNVIEW", True), ("P100", "ELSEWHERE", True)],
)
def test_another_patient_than_scheduled(scanner, entries, patient_id, issuer, is_other):
    """By number or by issuer: taken, linked to nothing, and shown."""
    scanner.create("1.2.3", changed(entries[0], PatientID=patient_id, IssuerOfPatientID=issuer))
    assert mismatches() == (["another patient than scheduled"] if is_other else [])
    assert states()[0][0] == ("SCHEDULED" if is_other else "STARTED")


def test_a_patient_merged_while_scanning(scanner, entries):
    """The scanner goes on with the old number: its MPPS and its images are of the right exam."""
    exam = scanner.start(entries[0])
    patients.merge(PatientIdentity(identifier=Identifier("P900", "SUNVIEW")), making.GRACE.identifier, making.HIS)
    scanner.store(exam)
    scanner.complete(exam)
    scanner.create("1.2.4", attributes(entries[1]))
    assert (mismatches(), [status for status, _exam in states()]) == ([], ["COMPLETED", "STARTED"])


def test_canceled_at_the_desk_after_the_query(scanner, entries):
    """The entry is still on the scanner's screen: the scan is taken and shown, the cancel stands."""
    step = ScheduledProcedureStep.objects.earliest("pk")
    orders.cancel_exam(step.requested_procedure_id, making.HIS, "")
    exam = scanner.start(entries[0])
    scanner.store(exam)
    scanner.complete(exam)
    assert (states()[0], mismatches()) == (
        ("CANCELED", "CANCELED"),
        ["the step was canceled or not yet scheduled"],
    )


def test_another_station_than_scheduled(scanner, entries):
    """Row 86: accepted, and the history says where it was."""
    step = ScheduledProcedureStep.objects.earliest("pk")
    step.stations.set([Station.objects.get(ae_title="CT2")])
    scanner.start(entries[0])
    assert states()[0][0] == "STARTED"
    assert WorkflowEvent.objects.get(verb="other station").reason == "performed at CT1, scheduled for CT2"


def test_a_set_before_its_create(scanner, entries):
    """Row 6: 0112H, no change; the content waits ten minutes for a person, and the repeat is taken after all."""
    exam = PerformedExam("1.2.3", entries[0], "CT")
    scanner.store(exam)
    end = ended(exam, "COMPLETED")
    for _time in range(2):
        assert refused(scanner.set, exam.uid, end).status == 0x0112
    early = EarlyUpdate.objects.get()
    assert (early.sop_instance_uid, early.ae_title, early.times) == (exam.uid, "CT1", 2)
    assert early.attributes["00400252"]["Value"] == ["COMPLETED"]
    assert not PerformedProcedureStep.objects.exists()
    scanner.create(exam.uid, attributes(entries[0]))
    scanner.set(exam.uid, end)
    assert PerformedProcedureStep.objects.get().status == "COMPLETED"


def test_the_content_of_an_early_set_is_forgotten(db, monkeypatch):
    """After ten minutes the fact stays without it; of too many the newest stay."""
    monkeypatch.setattr(early_updates, "MOST", 2)
    for number in range(4):
        early_updates.park("CT1", f"1.{number}", {"00400252": {"vr": "CS", "Value": ["COMPLETED"]}})
    assert set(EarlyUpdate.objects.values_list("sop_instance_uid", flat=True)) == {"1.2", "1.3"}
    EarlyUpdate.objects.filter(sop_instance_uid="1.2").update(last_at=timezone.now() - timedelta(minutes=11))
    mpps_tasks.forget_early_updates()
    kept = dict(EarlyUpdate.objects.values_list("sop_instance_uid", "attributes"))
    assert (kept["1.2"], bool(kept["1.3"])) == (None, True)


@pytest.mark.parametrize(("other", "words"), [({}, "the same again"), ({"PatientID": "P9"}, "with other content")])
def test_the_same_create_twice(scanner, entries, caplog, other, words):
    """Row 7: 0111H and no change; the log tells a scanner that missed our answer from one that reuses a UID."""
    caplog.set_level(logging.INFO)
    sent = attributes(entries[0])
    scanner.create("1.2.3", sent)
    step = Dataset()
    step.PerformedProcedureStepDescription = "changed since"
    scanner.set("1.2.3", step)
    before = PerformedProcedureStep.objects.get().attributes
    for keyword, value in other.items():
        setattr(sent, keyword, value)
    assert refused(scanner.create, "1.2.3", sent).status == 0x0111
    assert PerformedProcedureStep.objects.get().attributes == before
    assert f"N-CREATE of 1.2.3 came twice, {words}" in caplog.text and "P9" not in caplog.text


def test_two_sets_at_once(scanner, entries):
    """Row 91: neither is lost; of two ends one wins and the other is told A710H."""
    exam = scanner.start(entries[0])
    scanner.store(exam)
    outcomes: list[str] = []

    def run(act, sent: Dataset) -> None:
        try:
            act(exam.uid, sent)
            outcomes.append("taken")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an outcome of this thread
            outcomes.append(str(error))

    def at_once(*sent: Dataset) -> None:
        threads = [threading.Thread(target=run, args=(scanner.set, one)) for one in sent]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    first, second = Dataset(), Dataset()
    first.PerformedProcedureStepDescription, second.PerformedProcedureTypeDescription = "one", "two"
    at_once(first, second)
    kept = PerformedProcedureStep.objects.get().attributes
    assert outcomes == ["taken"] * 2
    assert (kept["00400254"]["Value"], kept["00400255"]["Value"]) == (["one"], ["two"])
    outcomes.clear()
    at_once(ended(exam, "COMPLETED"), ended(exam, "DISCONTINUED"))
    wait_until(lambda: len(outcomes) == 2)
    assert sorted(outcomes)[1] == "taken" and "may no longer be updated" in sorted(outcomes)[0]


@pytest.mark.parametrize(
    ("hours", "remark"),
    [(-1, "ended before it began"), (48, "ends in the future"), (0, "")],
)
def test_times_that_cannot_be(scanner, entries, hours, remark):
    """Row 92: 0000H, and the exam's history and page say so."""
    exam = scanner.start(entries[0])
    scanner.store(exam)
    sent, moment = ended(exam, "COMPLETED"), to_site(datetime.now().astimezone() + timedelta(hours=hours, seconds=1))
    sent.PerformedProcedureStepEndDate = f"{moment:%Y%m%d}"
    sent.PerformedProcedureStepEndTime = f"{moment:%H%M%S}"
    scanner.set(exam.uid, sent)
    assert states()[0][0] == "COMPLETED"
    assert list(WorkflowEvent.objects.filter(verb="remark").values_list("reason", flat=True)) == (
        [remark] if remark else []
    )


def test_the_page_of_an_exam_shows_what_cannot_be(scanner, entries, admin_client):
    """Beside the MPPS."""
    exam = scanner.start(entries[0])
    PerformedProcedureStep.objects.update(end=datetime(2020, 1, 1, tzinfo=timezone.get_current_timezone()))
    page = admin_client.get(f"/exams/{ScheduledProcedureStep.objects.earliest('pk').requested_procedure_id}/")
    assert exam and "ended before it began" in page.content.decode()
