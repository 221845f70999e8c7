"""MPPS status codes over real sockets (PS3.4 F.7.2, PS3.7 annex C)."""

from io import BytesIO

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import N_CREATE

from ris.models import PerformedProcedureStep, ScheduledProcedureStep, Station
from tests import making
from tests.waiting import wait_until
from tests.worklist.test_encoding import encoded
from worklist.dimse import MPPS, MPPS_RETRIEVE
from worklist.emulator import Modality, PerformedExam, Refused, begun, ended
from worklist.mpps_table import RULES

pytestmark = pytest.mark.django_db(transaction=True)
TYPE_1 = [rule.keyword for rule in RULES if rule.create == "1/1"]


@pytest.fixture
def entry(scanner: Modality) -> Dataset:
    making.placed()
    return scanner.find()[0]


def attributes(entry: Dataset) -> Dataset:
    return begun("CT1", "CT", entry)


def refused(act, *args) -> Refused:
    with pytest.raises(Refused) as info:
        act(*args)
    return info.value


@pytest.mark.parametrize("value", [b"75 kg ", b"\\ ", b"nan ", b"1e400 "])
def test_numbers_that_are_none_end_no_exam(value, scanner, entry):
    """A weight that nobody can read is left out and counted, at N-CREATE and at N-SET; a strict station gets 0106H."""

    def sent(dataset: Dataset) -> bytes:
        mark = b"1.234567"[: len(value)]
        dataset.PatientWeight = mark.decode()
        return encoded(dataset, implicit=True).replace(mark, value)

    assert raw(scanner, sent(attributes(entry))) == 0x0000
    kept = PerformedProcedureStep.objects.get().attributes
    assert "00101030" not in kept and "00400253" in kept
    Station.objects.update(mpps_strictness=Station.Strictness.STRICT)
    strict = attributes(entry)
    wait_until(lambda: raw(scanner, sent(strict), f"1.2.3.{PerformedProcedureStep.objects.count()}") == 0x0106)


def test_the_same_instance_again_is_a_duplicate(scanner, entry):
    """0111H, and nothing changes."""
    scanner.create("1.2.3", attributes(entry))
    assert refused(scanner.create, "1.2.3", attributes(entry)).status == 0x0111
    assert PerformedProcedureStep.objects.count() == 1


def test_without_an_instance_uid_one_is_made(scanner, entry):
    """PS3.7 10.1.5.1.4: the SCP names the instance in its answer."""
    answers = []
    caller = AE(ae_title="CT1")
    caller.add_requested_context(MPPS)
    handlers = [(evt.EVT_DIMSE_RECV, lambda event: answers.append(event.message.command_set))]
    association = caller.associate(*scanner.worklist_address, ae_title="SUNVIEW", evt_handlers=handlers)
    association.send_n_create(attributes(entry), MPPS, None)
    association.release()
    assert PerformedProcedureStep.objects.get().sop_instance_uid == answers[0].AffectedSOPInstanceUID


def test_an_instance_uid_that_is_none(scanner, entry):
    """0117H, never success."""
    for uid in ("1.2.abc", "1.02.3", "../../etc/passwd", "1..2"):
        assert refused(scanner.create, uid, attributes(entry)).status == 0x0117, uid
    assert not PerformedProcedureStep.objects.exists()


def test_type_1_at_create(scanner, entry):
    """Missing is 0120H, empty is 0121H, and the comment names it."""
    for keyword in TYPE_1:
        sent = attributes(entry)
        setattr(sent, keyword, [] if keyword.endswith("Sequence") else "")
        assert refused(scanner.create, "1.2.3", sent).status == 0x0121, keyword
        delattr(sent, keyword)
        answer = refused(scanner.create, "1.2.3", sent)
        assert answer.status == 0x0120
        assert keyword in str(answer)
    assert not PerformedProcedureStep.objects.exists()


def test_values_that_are_none(scanner, entry):
    """0106H for another status than IN PROGRESS, and for what cannot be kept as it is."""
    wrong = {
        "PerformedProcedureStepStatus": "COMPLETED",
        "PerformedProcedureStepStartDate": "20251301",
        "PerformedProcedureStepStartTime": "99",
        "PerformedProcedureStepID": "12345678901234567",
        "PatientID": "9" * 65,
        "TimezoneOffsetFromUTC": "Europe",
    }
    for keyword, value in wrong.items():
        sent = attributes(entry)
        setattr(sent, keyword, value)
        assert refused(scanner.create, "1.2.3", sent).status == 0x0106, keyword
    assert not PerformedProcedureStep.objects.exists()


def test_a_study_uid_that_is_none(scanner, entry):
    """0106H inside the Scheduled Step Attributes Sequence, 0121H where it is empty."""
    sent = attributes(entry)
    sent.ScheduledStepAttributesSequence[0].StudyInstanceUID = "1.2.x"
    assert refused(scanner.create, "1.2.3", sent).status == 0x0106
    sent.ScheduledStepAttributesSequence[0].StudyInstanceUID = ""
    assert refused(scanner.create, "1.2.3", sent).status == 0x0121


def test_type_2_attributes_may_be_left_out(scanner, entry):
    """Scanners in the field omit them; the exam starts all the same."""
    sent, kept = attributes(entry), {*TYPE_1, "PatientID"}
    for element in list(sent):
        if element.keyword not in kept:
            del sent[element.tag]
    scanner.create("1.2.3", sent)
    assert ScheduledProcedureStep.objects.get().status == "STARTED"


def test_set_of_an_unknown_instance(scanner, entry):
    """0112H."""
    exam = PerformedExam("1.2.3", entry, "CT")
    assert refused(scanner.set, "1.2.3", ended(exam, "DISCONTINUED")).status == 0x0112


def test_set_after_the_end(scanner, entry):
    """0110H with Error ID A710H and the standard's comment, whatever the message holds."""
    exam = scanner.start(entry)
    scanner.store(exam)
    scanner.complete(exam)
    late = Dataset()
    late.PerformedProcedureStepStatus = "DISCONTINUED"
    answer = refused(scanner.set, exam.uid, late)
    assert (answer.status, answer.answer.ErrorID) == (0x0110, 0xA710)
    assert answer.answer.ErrorComment == "Performed Procedure Step Object may no longer be updated"
    assert PerformedProcedureStep.objects.get().status == "COMPLETED"


def test_a_set_after_the_end_that_is_wrong_besides(scanner, entry):
    """A710H comes before whatever else is wrong with the message."""
    exam = scanner.start(entry)
    scanner.discontinue(exam)
    for keyword, value in {"PerformedProcedureStepEndDate": "20259999", "PerformedSeriesSequence": [Dataset()]}.items():
        late = Dataset()
        late.PerformedProcedureStepEndTime = "101010"
        setattr(late, keyword, value)
        answer = refused(scanner.set, exam.uid, late)
        assert (answer.status, answer.answer.get("ErrorID")) == (0x0110, 0xA710), keyword


def test_type_1_at_the_end(scanner, entry):
    """COMPLETED without series, end date or end time: 0120H with its tag, or 0121H if it is there and empty."""
    exam = scanner.start(entry)
    scanner.store(exam)
    for keyword in [rule.keyword for rule in RULES if rule.final == "1"]:
        sent = ended(exam, "COMPLETED")
        setattr(sent, keyword, [] if keyword.endswith("Sequence") else "")
        assert refused(scanner.set, exam.uid, sent).status == 0x0121, keyword
        delattr(sent, keyword)
        answer = refused(scanner.set, exam.uid, sent)
        assert answer.status == 0x0120
        assert answer.answer.AttributeIdentifierList == tag_for_keyword(keyword)
    assert PerformedProcedureStep.objects.get().status == "IN PROGRESS"


def test_what_came_before_counts_at_the_end(scanner, entry):
    """Series in one N-SET, the end in another: sequences are set whole, the rest stays."""
    exam = scanner.start(entry)
    scanner.store(exam)
    series, rest = Dataset(), ended(exam, "COMPLETED")
    series.PerformedSeriesSequence = rest.PerformedSeriesSequence
    del rest.PerformedSeriesSequence
    scanner.set(exam.uid, series)
    assert PerformedProcedureStep.objects.get().status == "IN PROGRESS"
    scanner.set(exam.uid, rest)
    assert PerformedProcedureStep.objects.get().expected.count() == 2


def test_an_unknown_status_in_a_set(scanner, entry):
    """0106H; empty is 0121H."""
    exam, sent = scanner.start(entry), Dataset()
    sent.PerformedProcedureStepStatus = "DONE"
    assert refused(scanner.set, exam.uid, sent).status == 0x0106
    sent.PerformedProcedureStepStatus = ""
    assert refused(scanner.set, exam.uid, sent).status == 0x0121


def test_what_may_not_be_set_is_left_alone(scanner, entry):
    """A patient name in an N-SET is not taken, the rest is."""
    exam = scanner.start(entry)
    sent = Dataset()
    sent.PatientName, sent.Modality, sent.CommentsOnThePerformedProcedureStep = "Somebody^Else", "MR", "moved"
    scanner.set(exam.uid, sent)
    kept = PerformedProcedureStep.objects.get().attributes
    assert kept["00100010"]["Value"] == [{"Alphabetic": "Hopper^Grace"}]
    assert kept["00400280"]["Value"] == ["moved"]
    assert kept["00080060"]["Value"] == ["CT"]


def test_ten_thousand_references(scanner, entry):
    """A study of ten thousand images ends in one N-SET."""
    exam = scanner.start(entry)
    image = Dataset()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    for number in range(10_000):
        copy = Dataset()
        copy.SOPClassUID, copy.SOPInstanceUID = image.SOPClassUID, f"1.2.3.{number}"
        exam.images.append(copy)
    scanner.complete(exam)
    assert PerformedProcedureStep.objects.get().expected.count() == 10_000


def test_a_reported_name_in_latin_1(scanner, entry):
    """The character set of the MPPS is honoured."""
    sent = attributes(entry)
    sent.SpecificCharacterSet, sent.PatientName = "ISO_IR 100", "Müller^Jürgen"
    scanner.create("1.2.3", sent)
    assert PerformedProcedureStep.objects.get().patient_name == "Müller^Jürgen"


def raw(scanner: Modality, data: bytes, uid: str = "1.2.3") -> int:
    """The status of an N-CREATE whose attribute list is these bytes."""
    caller = AE(ae_title="CT1")
    caller.add_requested_context(MPPS, "1.2.840.10008.1.2")
    association = caller.associate(*scanner.worklist_address, ae_title="SUNVIEW")
    primitive = N_CREATE()
    primitive.MessageID, primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = 1, MPPS, uid
    primitive.AttributeList = BytesIO(data)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(primitive, 1)
    _context, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    return int(answer.Status)


def test_truncated_attributes_are_refused(scanner, entry):
    """0106H for a data set that ends too early, never success (reliability.md, fact 5); the whole one is taken."""
    data = encoded(attributes(entry), implicit=True)
    for length in (5, 100, len(data) // 2, len(data) - 1):
        assert raw(scanner, data[:length]) in (0x0106, 0x0120)
    assert not PerformedProcedureStep.objects.exists()
    assert raw(scanner, data) == 0x0000


def test_an_object_can_be_read_back(scanner, entry):
    """MPPS Retrieve, N-GET: what was created and set, or only the attributes asked for (PS3.4 F.8)."""
    exam = scanner.start(entry)
    scanner.discontinue(exam)
    caller = AE(ae_title="CT1")
    caller.add_requested_context(MPPS_RETRIEVE)
    association = caller.associate(*scanner.worklist_address, ae_title="SUNVIEW")
    asked = [tag_for_keyword("PerformedProcedureStepStatus")]
    status, one = association.send_n_get(asked, MPPS_RETRIEVE, exam.uid)
    assert (status.Status, one.PerformedProcedureStepStatus, "PatientID" in one) == (0x0000, "DISCONTINUED", False)
    assert len(one) == 1
    status, some = association.send_n_get([*asked, 0x00400220, 0x00081060], MPPS_RETRIEVE, exam.uid)
    assert (status.Status, len(some)) == (0x0001, 1)  # a name that is in no MPPS
    _status, whole = association.send_n_get([], MPPS_RETRIEVE, exam.uid)
    assert (whole.PatientID, whole.Modality) == ("P100", "CT")
    status, _nothing = association.send_n_get(asked, MPPS_RETRIEVE, "1.2.3.4")
    association.release()
    assert status.Status == 0x0112
