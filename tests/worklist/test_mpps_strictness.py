"""Strict and lenient stations over a real association: every line of the table in ``mpps_rules``, and the counts."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pydicom.dataset import Dataset

from ris.models import PerformedProcedureStep, Station
from tests import making
from tests.worklist.test_encoding import encoded
from tests.worklist.test_mpps import attributes, raw, refused
from worklist import activity, activity_rows, stations
from worklist.emulator import Modality, PerformedExam, Refused, ended
from worklist.models import MppsDefect

pytestmark = pytest.mark.django_db(transaction=True)
UID = "1.2.3"


@pytest.fixture(autouse=True)
def empty(monkeypatch) -> None:
    """No facts of other tests, and a station's strictness is read anew."""
    monkeypatch.setattr(activity.recorder, "facts", activity_rows.Facts())
    monkeypatch.setattr(stations, "STATIONS_SECONDS", 0.0)


@pytest.fixture
def entry(scanner: Modality) -> Dataset:
    making.placed()
    return scanner.find()[0]


@dataclass
class Bench:
    """A scanner with one entry of its worklist."""

    scanner: Modality
    entry: Dataset

    def begin(self) -> PerformedExam:
        self.scanner.create(UID, attributes(self.entry))
        return PerformedExam(UID, self.entry, "CT")

    def create(self, change: Callable[[Dataset], object], uid: str = UID) -> None:
        sent = attributes(self.entry)
        change(sent)
        self.scanner.create(uid, sent)

    def end(self, status: str, change: Callable[[Dataset], object] = lambda _sent: None) -> None:
        exam = self.begin()
        self.scanner.store(exam, 1)
        sent = ended(exam, status)
        change(sent)
        self.scanner.set(UID, sent)

    def set(self, **values: object) -> None:
        self.begin()
        sent = Dataset()
        for keyword, value in values.items():
            setattr(sent, keyword, value)
        self.scanner.set(UID, sent)

    def twice(self) -> None:
        self.begin()
        self.begin()

    def after_the_end(self) -> None:
        self.end("COMPLETED")
        self.scanner.set(UID, comment())

    def cut_off(self) -> None:
        self.send(encoded(attributes(self.entry), implicit=True)[:-3])

    def unannounced(self) -> None:
        """A name in UTF-8 without the Specific Character Set that says so."""
        sent = attributes(self.entry)
        sent.SpecificCharacterSet, sent.PatientName = "ISO_IR 192", "Müller^Jürgen"
        self.send(encoded(sent, implicit=True)[8 + len("ISO_IR 192") :])

    def send(self, data: bytes) -> None:
        answer = Dataset()
        answer.Status = raw(self.scanner, data)
        if answer.Status:
            raise Refused("N-CREATE", answer)


def comment() -> Dataset:
    sent = Dataset()
    sent.CommentsOnThePerformedProcedureStep = "moved"
    return sent


def left_out(keyword: str) -> Callable[[Dataset], object]:
    return lambda sent: sent.__delattr__(keyword)


def changed(keyword: str, value: object) -> Callable[[Dataset], object]:
    return lambda sent: setattr(sent, keyword, value)


def without_protocol(sent: Dataset) -> None:
    sent.PerformedSeriesSequence[0].ProtocolName = ""


#: what a station does, its answer when lenient, when strict, and the defect that is counted.
CASES: dict[str, tuple[Callable[[Bench], object], int, int, str]] = {
    "no UID": (lambda b: b.create(lambda _s: None, "1.02.3"), 0x0117, 0x0117, ""),
    "cut off": (Bench.cut_off, 0x0106, 0x0106, ""),
    "unknown": (lambda b: b.scanner.set("1.2.9", comment()), 0x0112, 0x0112, ""),
    "twice": (Bench.twice, 0x0111, 0x0111, ""),
    "after the end": (Bench.after_the_end, 0x0110, 0x0110, ""),
    "not begun": (
        lambda b: b.create(changed("PerformedProcedureStepStatus", "COMPLETED")),
        0x0106,
        0x0106,
        "N-CREATE: PerformedProcedureStepStatus invalid (must be IN PROGRESS)",
    ),
    "no date": (
        lambda b: b.create(changed("PerformedProcedureStepStartDate", "20251301")),
        0x0106,
        0x0106,
        "N-CREATE: PerformedProcedureStepStartDate invalid (a date that does not exist)",
    ),
    "needed missing": (
        lambda b: b.create(left_out("Modality")),
        0x0120,
        0x0120,
        "N-CREATE: Modality missing (Type 1)",
    ),
    "needed empty": (
        lambda b: b.create(changed("PerformedProcedureStepID", "")),
        0x0121,
        0x0121,
        "N-CREATE: PerformedProcedureStepID empty (Type 1)",
    ),
    "type 1 empty": (
        lambda b: b.end("COMPLETED", without_protocol),
        0x0000,
        0x0121,
        "N-SET: ProtocolName empty (Type 1)",
    ),
    "type 2 missing": (
        lambda b: b.create(left_out("PatientSex")),
        0x0000,
        0x0120,
        "N-CREATE: PatientSex missing (Type 2)",
    ),
    "type 1C missing": (
        Bench.unannounced,
        0x0000,
        0x0120,
        "N-CREATE: SpecificCharacterSet missing (Type 1C)",
    ),
    "completed without series": (
        lambda b: b.end("COMPLETED", left_out("PerformedSeriesSequence")),
        0x0120,
        0x0120,
        "N-SET: PerformedSeriesSequence missing (final state, Type 1)",
    ),
    "abandoned without series": (
        lambda b: b.end("DISCONTINUED", changed("PerformedSeriesSequence", [])),
        0x0000,
        0x0121,
        "N-SET: PerformedSeriesSequence empty (final state, Type 1)",
    ),
    "abandoned": (lambda b: b.scanner.discontinue(b.begin()), 0x0000, 0x0000, ""),
    "not allowed": (
        lambda b: b.set(PatientName="Somebody^Else"),
        0x0000,
        0x0105,
        "N-SET: PatientName not allowed (N-SET)",
    ),
    "not created": (
        lambda b: b.set(CommentsOnThePerformedProcedureStep="moved"),
        0x0000,
        0x0105,
        "N-SET: CommentsOnThePerformedProcedureStep not created before it is set (Note 5)",
    ),
    "all well": (lambda b: b.end("COMPLETED"), 0x0000, 0x0000, ""),
}


@pytest.mark.parametrize("strictness", ["LENIENT", "STRICT"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_refused(scanner, entry, case, strictness):
    """The answer, and the defect with whether it was refused, for the station that sent it."""
    Station.objects.filter(ae_title="CT1").update(mpps_strictness=strictness)
    act, lenient, strict, defect = CASES[case]
    expected = strict if strictness == "STRICT" else lenient
    status = 0x0000
    try:
        act(Bench(scanner, entry))
    except Refused as error:
        status = error.status
    assert status == expected
    assert activity.recorder.write()
    counted = list(MppsDefect.objects.values_list("station__ae_title", "defect", "was_refused"))
    assert counted == ([("CT1", defect, expected != 0)] if defect else [])


def test_a_strict_refusal_changes_nothing(scanner, entry):
    """Not even in part."""
    Station.objects.filter(ae_title="CT1").update(mpps_strictness="STRICT")
    exam = scanner.start(entry)
    sent = ended(exam, "IN PROGRESS")
    sent.PatientID = "P999"
    answer = refused(scanner.set, exam.uid, sent)
    assert (answer.status, answer.answer.AttributeIdentifierList) == (0x0105, 0x00100020)
    assert PerformedProcedureStep.objects.get().attributes["00400250"] == {"vr": "DA"}


def test_defects_are_counted(scanner, entry):
    """Once for each message that has it, whatever it lacks besides."""
    for uid in ("1.2.3", "1.2.4"):
        sent = attributes(entry)
        del sent.PatientSex, sent.StudyID
        scanner.create(uid, sent)
    activity.recorder.write()
    assert dict(MppsDefect.objects.values_list("defect", "times")) == {
        "N-CREATE: PatientSex missing (Type 2)": 2,
        "N-CREATE: StudyID missing (Type 2)": 2,
    }
