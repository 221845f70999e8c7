"""Why an exam is on a list or not. Covered: each kind of key, hidden values, profiles, status, what cannot be told."""

from decimal import Decimal

import pytest

from ris import sight
from ris.inputs import Code
from ris.models import ScheduledProcedureStep, Station
from ris.services import performing, scheduling
from tests import making
from worklist import explaining, query_log
from worklist.explaining import Question, Verdict
from worklist.models import WorklistQuery

pytestmark = pytest.mark.django_db


@pytest.fixture
def step(site) -> ScheduledProcedureStep:
    """A CT on 23 November 2026 at nine, of Grace Hopper."""
    return making.only_step(
        making.placed("4711", making.step_request(station_ae_titles=("CT1",)), patient_weight=Decimal("71.5"))
    )


def told(step, question: Question | None = None, station: str = "CT1") -> Verdict:
    found = Station.objects.get(ae_title=station)
    [case] = explaining.cases_of(step.requested_procedure.order.accession_number)
    return explaining.verdict(case, found, sight.siblings()[found.pk], question)


def logged(*texts: str) -> Question:
    """The question as it comes out of the log."""
    said = Question.said(texts)
    return Question(tuple((keyword, query_log.hidden(keyword, value)) for keyword, value in said.keys))


ON, OFF = "ON", "OFF"


@pytest.mark.parametrize("as_asked", [Question.said, lambda texts: logged(*texts)], ids=["would-be", "logged"])
@pytest.mark.parametrize(
    ("key", "state", "sentence"),
    [
        ("Modality=CT", ON, ""),
        ("Modality=", ON, ""),
        ("Modality=MR\\CT", ON, ""),
        ("Modality=MR", OFF, "Modality: the query asked for MR, the step has CT"),
        ("Modality=MR\\US", OFF, "Modality: the query asked for MR or US, the step has CT"),
        ("ScheduledStationAETitle=CT1", ON, ""),
        ("ScheduledStationAETitle=CT2", OFF, "ScheduledStationAETitle: the query asked for CT2, the step has CT1"),
        ("ScheduledProcedureStepStartDate=20261123", ON, ""),
        (
            "ScheduledProcedureStepStartDate=20261124-",
            OFF,
            "ScheduledProcedureStepStartDate: the query asked for 20261124-, the step has 20261123",
        ),
        (
            "ScheduledProcedureStepStartTime=1000-1200",
            OFF,
            "ScheduledProcedureStepStartTime: the query asked for 1000-1200, the step has 090000",
        ),
        ("ScheduledProcedureStepStatus=SCHEDULED", ON, ""),
        (
            "ScheduledProcedureStepStatus=ARRIVED",
            OFF,
            "ScheduledProcedureStepStatus: the query asked for ARRIVED, the step has SCHEDULED",
        ),
        ("PatientSex=M", OFF, "PatientSex: the query asked for M, the step has F"),
        ("PatientName=HOPPER^grace", ON, ""),
        ("PatientName=Hopper^Grete", OFF, "PatientName: the query asked for another one"),
        ("PatientID=P100", ON, ""),
        ("PatientID=P200", OFF, "PatientID: the query asked for another one"),
        ("PatientBirthDate=19561209", ON, ""),
        ("PatientBirthDate=19561210", OFF, "PatientBirthDate: the query asked for another one"),
        ("StudyInstanceUID=1.2.3", OFF, "StudyInstanceUID: the query asked for another one"),
        ("RequestedProcedureCodeSequence.CodeValue=CTHEAD", ON, ""),
        (
            "RequestedProcedureCodeSequence.CodeValue=CTFOOT",
            OFF,
            "RequestedProcedureCodeSequence.CodeValue: the query asked for another one",
        ),
        ("AccessionNumber=NONE", OFF, "AccessionNumber: the query asked for another one"),
        ("PatientName=*", ON, ""),
        ("PatientID=**", ON, ""),
        ("PatientWeight=71.50", ON, ""),
        ("PatientWeight=71.6", OFF, "PatientWeight: the query asked for another one"),
        ("ScheduledProcedureStepStatus=SCH*", ON, ""),
        ("ScheduledProcedureStepEndTime=09-10", ON, ""),
        ("IssueDateOfImagingServiceRequest=20200101-", ON, ""),
        ("ScheduledProcedureStepStartDate=20261122 - 20261123 ", ON, ""),
    ],
)
def test_each_key(step, as_asked, key, state, sentence):
    """What was asked is said of harmless keys, never of one that could name a patient; logged or not is the same."""
    found = told(step, as_asked([key]))
    assert (found.state, found.reasons, found.doubts) == (state, [sentence] if sentence else [], [])


def test_own_numbers_match(step):
    """By their hash too, one of several UIDs being enough."""
    procedure = step.requested_procedure
    keys = (
        f"AccessionNumber={procedure.order.accession_number}",
        f"StudyInstanceUID=1.2.3\\{procedure.study_instance_uid}",
        f"RequestedProcedureID={procedure.requested_procedure_id}",
        f"ScheduledProcedureStepID={step.scheduled_procedure_step_id}",
        "PlacerOrderNumberImagingServiceRequest=4711",
    )
    assert told(step, Question.said(keys)).state == ON
    assert told(step, logged(*keys)).state == ON


def test_date_and_time_are_one(step):
    """A range over two days is asked of the moment, not of date and time each (PS3.4 K.6.1.2.2)."""
    day, time = "ScheduledProcedureStepStartDate=20261122-20261123", "ScheduledProcedureStepStartTime=1200-1000"
    assert told(step, Question.said((day, time))).state == ON
    [reason] = told(step, Question.said((day, time.replace("-1000", "-0800")))).reasons
    assert reason.startswith("ScheduledProcedureStepStartDate and ScheduledProcedureStepStartTime: ")


def test_the_questions_own_zone_counts(step):
    """Nine o'clock in Dublin is the evening of the day before in Honolulu."""
    zone = "TimezoneOffsetFromUTC=-1000"
    for ask in (lambda *texts: Question.said(texts), logged):
        assert told(step, ask("ScheduledProcedureStepStartDate=20261122", zone)).state == ON
        assert told(step, ask("ScheduledProcedureStepStartDate=20261123", zone)).state == OFF
        assert told(step, ask("Modality=CT", zone)).state == ON


def test_what_is_asked_of_one_item_is_asked_together(site):
    """One protocol code has the value, another the meaning: no item has both (PS3.4 C.2.2.2.6)."""
    codes = (Code("P1", "99X", "head"), Code("P2", "99X", "neck"))
    step = making.only_step(making.placed("1", making.step_request(station_ae_titles=("CT1",), protocol_codes=codes)))
    value, meaning = "ScheduledProtocolCodeSequence.CodeValue=P1", "ScheduledProtocolCodeSequence.CodeMeaning="
    assert told(step, Question.said((value, meaning + "head"))).state == ON
    assert told(step, Question.said((value, meaning + "neck"))).state == OFF


def test_what_was_asked_by_a_pattern_cannot_be_told(step):
    """The log has not kept it; asked anew it can be told."""
    found = told(step, logged("PatientName=Hop*", "Modality=CT"))
    assert (found.state, found.doubts) == ("UNSURE", ["PatientName: asked by a pattern or range, which is not kept"])
    assert told(step, logged("PatientName=Hop*", "Modality=MR")).state == OFF
    assert told(step, Question.said(("PatientName=Hop*",))).state == ON
    assert told(step, Question.said(("PatientName=Hip*",))).state == OFF


def test_a_name_in_three_groups(site):
    """A name asked for in one group is any of the patient's groups, by hash too."""
    patient = making.GRACE.__class__(**{**vars(making.GRACE), "patient_name": "Yamada^Taro=山田^太郎=やまだ^たろう"})
    step = making.only_step(making.placed("1", making.step_request(station_ae_titles=("CT1",)), patient=patient))
    for name in (
        "yamada^taro",
        "山田^太郎",
        "やまだ^たろう",
        "YAMADA^taro=山田^太郎",
        "=山田^太郎",
        "Yamada^Taro=",
        "==やまだ^たろう",
    ):
        assert told(step, Question.said((f"PatientName={name}",))).state == ON
        assert told(step, logged(f"PatientName={name}")).state == ON


def test_rules_and_states_come_first(step, desk):
    """Hold, department, check-in and an inactive station are said beside the keys."""
    question = Question.said(("Modality=MR",))
    scheduling.hold(step.pk, desk)
    assert told(step, question).reasons[0] == "the step is on hold"
    Station.objects.filter(ae_title="CT1").update(only_arrived=True, is_active=False)
    reasons = told(step, question).reasons
    assert len(reasons) == 4
    assert "checked in" in reasons[1]
    assert "not active" in reasons[2]


def test_a_sibling_sees_what_it_asks_for(step):
    """CT2 has nothing of its own, but its question for any CT is answered with CT1's step; another department's not."""
    own = told(step, station="CT2")
    assert own.reasons == ["the step is assigned to CT1"]
    assert own.notes == ["same department: it is answered to a query that asks for that station, or for any"]
    question = Question.said(("Modality=CT",))
    assert told(step, question, "CT2").state == ON
    Station.objects.filter(ae_title="CT2").update(department=None)
    assert told(step, question, "CT2").reasons == ["the step is assigned to CT1"]
    assert told(step, station="CT2").notes == []


def test_what_the_profile_fills_in(step, monkeypatch):
    """Keys that the scanner leaves empty are the profile's, and it is said."""
    Station.objects.filter(ae_title="CT1").update(
        default_keys={"Modality": "MR", "ScheduledProcedureStepStartDate": "TODAY"}
    )
    found = told(step, Question.said(("Modality=",)))
    assert "Modality: the query asked for MR, the step has CT" in found.reasons
    assert "Modality = MR is filled in by the station's profile" in found.notes
    assert any(reason.startswith("ScheduledProcedureStepStartDate") for reason in found.reasons)
    assert not any(reason.startswith("Modality") for reason in told(step, Question.said(("Modality=CT",))).reasons)


def test_what_the_profile_fills_in_hides_from_its_own_list(step):
    """A scanner that asks for no more than its own is not given it: command, page and API say so, and only then."""
    station = Station.objects.filter(ae_title="CT1")
    for keys, state in (
        ({"Modality": "MR"}, OFF),
        ({"ScheduledProcedureStepStartDate": "20261124-"}, OFF),
        ({"ScheduledProcedureStepStartDate": "20261123", "ScheduledProcedureStepStartTime": "0800-1000"}, ON),
        ({"ScheduledStationAETitle": "CT2"}, ON),
    ):
        station.update(default_keys=keys)
        found = told(step)
        assert found.state == state, keys
        assert sight.station_obstacles(step, station.get(), {"CT1"}) == found.reasons
    station.update(default_keys={"Modality": "MR"})
    assert told(step).reasons == [
        "Modality: the query asked for MR, the step has CT (the profile fills in what the scanner leaves empty)"
    ]


def test_an_exam_that_has_started(step):
    """It is on no list, but answers a scanner that asks for STARTED."""
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    assert told(step, Question.said(("Modality=CT",))).reasons == ["the exam has started"]
    assert told(step, Question.said(("ScheduledProcedureStepStatus=STARTED",))).state == ON


def test_what_is_refused_or_not_matched(step):
    """A900H is a reason; a key that is only returned is a note."""
    [reason] = told(step, Question.said(("ScheduledProcedureStepStartDate=yesterday",))).reasons
    assert reason.startswith("the query is refused with A900H")
    [reason] = told(step, Question.said(("ScheduledProcedureStepStartDate=20261399",))).reasons
    assert reason.endswith(": Scheduled Procedure Step Start is a date that does not exist")
    found = told(step, Question.said(("SpecialNeeds=x",)))
    assert (found.state, len(found.notes)) == (ON, 1)


@pytest.mark.parametrize(
    ("keys", "status", "state"),
    [
        ((), 0x0000, "ON"),
        ((), 0xA900, "UNSURE"),
        ((("Modality", "CT"),), 0x0000, "ON"),
        ((("Modality", "CT"),), 0xFE00, "ON"),
        ((("Modality", "CT"),), 0xA700, "UNSURE"),
        ((("Modality", "MR"),), 0xA700, "OFF"),
    ],
)
def test_a_question_that_failed(step, keys, status, state):
    """What could not be read, or was answered in part, cannot be told; that it failed is said in any case."""
    found = told(step, Question(keys, WorklistQuery(pk=1, status=status)))
    assert found.state == state
    assert any(f"{status:04X}H" in words for words in (*found.doubts, *found.notes)) is bool(status)


@pytest.mark.parametrize("text", ["Modality", "Foo=1", "ScheduledProcedureStepSequence=1", "=CT", ""])
def test_no_key(text):
    """A sentence for what is none."""
    with pytest.raises(ValueError, match=r"Keyword=value|no DICOM keyword|a sequence"):
        Question.said([text])
