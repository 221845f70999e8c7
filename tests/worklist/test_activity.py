"""What scanners did. Covered: each kind of fact, bounds, several processes, an absent database, hidden values."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import DataError, IntegrityError, OperationalError, connection

from ris.models import Station
from tests import making
from tests.waiting import wait_until
from worklist import activity, activity_rows, query_log, stations
from worklist.models import MppsDefect, StationActivity, TextLoss, UnknownCaller, WorklistQuery

CT1 = "CT1"


@pytest.fixture(autouse=True)
def empty(monkeypatch) -> None:
    """A recorder without facts of other tests."""
    monkeypatch.setattr(activity.recorder, "facts", activity_rows.Facts())


@pytest.fixture
def ct1(site) -> stations.Profile:
    return stations.profiles()[CT1]


def ask(profile, *keys, asked=("PatientName",), answers=3, status=0) -> None:
    activity.query(profile, "10.0.0.5", list(keys), list(asked), status, answers, 1.5)


def test_signs_of_life(ct1):
    """The last of each kind stays, from whichever process it comes; the address is the last one."""
    activity.echo(ct1, "10.0.0.5")
    ask(ct1, answers=7)
    assert activity.recorder.write()
    first = StationActivity.objects.get(station__ae_title=CT1)
    assert (first.address, first.query_answers, first.mpps_at, first.image_at) == ("10.0.0.5", 7, None, None)
    activity.mpps(ct1, "10.0.0.6")
    activity.image(ct1, "10.0.0.7")
    assert activity.recorder.write()
    second = StationActivity.objects.get(station__ae_title=CT1)
    assert (second.echo_at, second.query_at, second.address) == (first.echo_at, first.query_at, "10.0.0.7")
    assert second.mpps_at <= second.image_at <= datetime.now(UTC)


def test_the_probe_leaves_no_trace(site):
    """What our own probe does is nobody's activity."""
    nobody = stations.Profile()
    activity.echo(nobody, "::1")
    activity.image(nobody, "::1")
    activity.mpps(nobody, "::1")
    ask(nobody)
    activity.loss(nobody, 1, "PatientName")
    activity.defect(nobody, "x", False)
    assert not activity.recorder.facts


def test_one_row_per_question(ct1):
    """The same question is counted, with what the last answer was; another one is another row."""
    for answers in (1, 2):
        ask(ct1, ("Modality", "CT"), answers=answers)
    activity.recorder.write()
    ask(ct1, ("Modality", "CT"), answers=4, status=0xA700)
    ask(ct1, ("Modality", "MR"))
    activity.recorder.write()
    question = WorklistQuery.objects.get(keys=[["Modality", "CT"]])
    assert (question.times, question.answers, question.status) == (3, 4, 0xA700)
    assert question.first_at < question.last_at
    assert question.asked == ["PatientName"]
    assert WorklistQuery.objects.count() == 2


NAMING = (
    ("PatientName", "Hopper^Grace"),
    ("PatientName", "Hop*"),
    ("PatientID", "P100"),
    ("OtherPatientIDs", "P100"),
    ("PatientBirthDate", "19561209"),
    ("PatientBirthDate", "19560101-19561231"),
    ("AccessionNumber", "A4711"),
    ("PlacerOrderNumberImagingServiceRequest", "P4711"),
    ("FillerOrderNumberImagingServiceRequest", "F4711"),
    ("AdmissionID", "V4711"),
    ("StudyInstanceUID", "1.2.3.4711"),
    ("StudyInstanceUID", "1.2.3.4711\\1.2.3.4712"),
    ("RequestingPhysician", "Doctor^Who"),
    ("ReferringPhysicianName", "Doctor^Who"),
    ("ScheduledPerformingPhysicianName", "Doctor^Who"),
    ("ScheduledProcedureStepID", "S4711"),
    ("RequestedProcedureID", "R4711"),
    ("PatientComments", "Hopper"),
    ("99999999", "Hopper"),
    ("Modality", "Hopper^Grace"),
    ("ScheduledStationAETitle", "Hopper^Grace, born 1956"),
    ("ScheduledProcedureStepStartDate", "Hopper"),
    ("PatientSex", "hopper"),
)


@pytest.mark.parametrize(("keyword", "value"), NAMING)
def test_no_value_that_names_a_patient_is_readable(ct1, keyword, value):
    """Only a hash or the word pattern is kept of it, each of several values for itself."""
    ask(ct1, (keyword, value))
    activity.recorder.write()
    [[kept_keyword, kept]] = WorklistQuery.objects.get().keys
    assert kept_keyword == keyword
    assert all(part == "pattern" or part.startswith("hash:") for part in kept.split("\\"))
    assert kept.count("\\") == value.count("\\")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM worklist_worklistquery")
        row = json.dumps(cursor.fetchone(), default=str)
    for word in ("opper", "4711", "1956", "P100", "Doctor"):
        assert word not in row.replace(keyword, "")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ScheduledStationAETitle", "CT1"),
        ("Modality", "CT"),
        ("Modality", "CT\\MR"),
        ("ScheduledProcedureStepStartDate", "20261123-20261124"),
        ("ScheduledProcedureStepStartTime", "0800-"),
        ("ScheduledProcedureStepStatus", "ARRIVED"),
        ("PatientSex", "F"),
        ("RequestedProcedurePriority", "STAT"),
        ("PatientName", ""),
    ],
)
def test_harmless_values_stay(keyword, value):
    """Stations, modality, dates, times, status, priority and sex are kept as they were asked."""
    assert query_log.hidden(keyword, value) == value


def test_the_hash_is_of_the_normal_value_and_the_sites(settings):
    """Equal values have equal hashes whatever their case, accents and padding; another site's are others."""
    one = query_log.hidden("PatientName", "Müller^Eva^^ ")
    assert one == query_log.hidden("PatientName", "MULLER^EVA")
    assert one != query_log.hidden("PatientID", "MULLER^EVA")
    assert query_log.hidden("PatientID", "p1 ") == query_log.hidden("PatientID", "p1")
    assert query_log.hidden("PatientID", "p1") != query_log.hidden("PatientID", "P1")
    settings.SECRET_KEY = "another"
    assert one != query_log.hidden("PatientName", "MULLER^EVA")


def test_questions_that_look_the_same_are_one_row(ct1):
    """Two patterns of names cannot be told apart once they are hidden."""
    ask(ct1, ("PatientName", "A*"))
    ask(ct1, ("PatientName", "B*"), answers=9)
    activity.recorder.write()
    question = WorklistQuery.objects.get()
    assert (question.times, question.answers) == (2, 9)


def test_unknown_callers(site):
    """Counted by title, address and reason; nothing but printable ASCII of limited length is kept."""
    for _ in range(3):
        activity.refused("MR9 ", "SUNVIEW", "10.0.0.9", "calling AE title not recognized", ["Verification SOP Class"])
    activity.recorder.write()
    activity.refused("MR9", "SUNVIEW", "10.0.0.9", "calling AE title not recognized", ["CT Image Storage"])
    activity.refused("\x1b[31m\r\nÜ" * 9, "\0" * 99, "10.0.0.9", "x\n" * 99, [f"\x07{n}" * 99 for n in range(99)])
    activity.recorder.write()
    known = UnknownCaller.objects.get(ae_title="MR9")
    assert (known.times, known.asked, known.called_ae_title) == (
        4,
        ["Verification SOP Class", "CT Image Storage"],
        "SUNVIEW",
    )
    strange = UnknownCaller.objects.exclude(ae_title="MR9").get()
    for text in (strange.ae_title, strange.called_ae_title, strange.reason, *strange.asked):
        assert text.isprintable() and text.isascii()
    assert len(strange.asked) == activity_rows.MOST_PROPOSED


def test_a_flood_of_callers_is_bounded(site):
    """One address has few rows and pushes nobody out; all together are some hundred, the newest."""
    activity.refused("HONEST", "SUNVIEW", "10.0.0.1", "r", [])
    for number in range(1_000):
        activity.refused(f"F{number}", "SUNVIEW", "10.6.6.6", "r", [])
    activity.recorder.write()
    assert UnknownCaller.objects.count() == activity_rows.MOST_OF_ADDRESS + 1
    assert UnknownCaller.objects.filter(ae_title__in=("HONEST", "F999")).count() == 2
    for each in range(500):
        activity.refused("X", "SUNVIEW", f"10.7.{each // 250}.{each % 250}", "r", [])
        if each % 40 == 0:
            activity.recorder.write()
    activity.recorder.write()
    assert UnknownCaller.objects.count() == activity_rows.MOST_CALLERS
    assert not UnknownCaller.objects.filter(ae_title="HONEST").exists()


def test_questions_are_bounded(ct1, monkeypatch):
    """A scanner that asks by each accession number keeps its newest questions, and takes none of another's."""
    monkeypatch.setitem(activity_rows.MOST_OF_STATION, WorklistQuery, 5)
    other = stations.profiles()["MR1"]
    ask(other)
    for number in range(9):
        ask(ct1, ("AccessionNumber", str(number)))
        activity.recorder.write()
    kept = WorklistQuery.objects.filter(station__ae_title=CT1)
    assert {query.keys[0][1] for query in kept} == {query_log.hidden("AccessionNumber", str(n)) for n in range(4, 9)}
    assert WorklistQuery.objects.filter(station__ae_title="MR1").exists()


def test_losses_and_defects(ct1):
    """A loss once for each attribute of a step; defects counted, refused ones for themselves."""
    step = making.only_step(making.placed())
    for _ in range(2):
        activity.loss(ct1, step.pk, "PatientName")
        activity.defect(ct1, "N-CREATE: Modality empty (Type 1)", False)
        activity.recorder.write()
    activity.defect(ct1, "N-CREATE: Modality empty (Type 1)", True)
    activity.loss(ct1, step.pk + 99, "PatientName")  # a step that is not there any more
    activity.recorder.write()
    loss = TextLoss.objects.get()
    assert (loss.step_id, loss.keyword, loss.character_set) == (step.pk, "PatientName", "ISO_IR 192")
    assert list(MppsDefect.objects.order_by("was_refused").values_list("times", "was_refused")) == [
        (2, False),
        (1, True),
    ]


def test_a_station_that_was_deleted_holds_up_nobody(ct1):
    """Facts of a station without a row are forgotten; the others are written."""
    other = stations.profiles()["MR1"]
    activity.echo(ct1, "10.0.0.5")
    ask(ct1)
    activity.echo(other, "10.0.0.6")
    Station.objects.filter(ae_title=CT1).delete()
    assert activity.recorder.write()
    assert [row.station.ae_title for row in StationActivity.objects.all()] == ["MR1"]


def test_a_database_that_is_away_loses_nothing(ct1, monkeypatch):
    """What could not be written is written once the database is back, with what came since, and counted once."""
    write = activity_rows.write

    def away(facts):
        write(facts)  # even if most of it had been done already
        raise OperationalError("gone")

    def in_transaction(facts):
        with activity_rows.transaction.atomic():
            away(facts)

    ask(ct1)
    activity.echo(ct1, "10.0.0.5")
    activity.refused("MR9", "SUNVIEW", "10.0.0.9", "r", [])
    monkeypatch.setattr(activity_rows, "write", in_transaction)
    monkeypatch.setattr(activity.connection, "close", lambda: None)  # the test's own transaction lives in it
    assert not activity.recorder.write()
    ask(ct1, answers=8)
    activity.refused("MR9", "SUNVIEW", "10.0.0.9", "r", [])
    assert not activity.recorder.write()
    monkeypatch.setattr(activity_rows, "write", write)
    assert activity.recorder.write()
    question = WorklistQuery.objects.get()
    assert (question.times, question.answers) == (2, 8)
    assert UnknownCaller.objects.get().times == 2
    assert StationActivity.objects.get().echo_at < StationActivity.objects.get().query_at


@pytest.mark.parametrize("error", [DataError, IntegrityError, ValueError])
def test_what_can_never_be_written_holds_up_nobody(ct1, monkeypatch, error):
    """It is given up, and what comes after it is written."""

    def refuse(_facts):
        raise error("secret")

    write = activity_rows.write
    monkeypatch.setattr(activity.connection, "close", lambda: None)
    monkeypatch.setattr(activity_rows, "write", refuse)
    ask(ct1)
    assert not activity.recorder.write()
    monkeypatch.setattr(activity_rows, "write", write)
    activity.echo(ct1, "10.0.0.5")
    assert activity.recorder.write()
    assert StationActivity.objects.get().query_at is None


def test_memory_is_bounded(ct1):
    """However long the database is away, only the newest facts wait."""
    for number in range(2_000):
        ask(ct1, ("AccessionNumber", str(number)))
        activity.refused(f"A{number}", "SUNVIEW", f"10.0.{number // 250}.{number % 250}", "r", [])
    facts = activity.recorder.facts
    assert len(facts.queries) == activity_rows.MOST_WAITING
    assert len(facts.callers) == activity_rows.MOST_ADDRESSES
    assert next(reversed(facts.queries))[1] == (("AccessionNumber", "1999"),)


def test_a_count_ends_before_its_column_does(ct1):
    """A number that the column cannot hold would hold up every other fact for ever."""
    ask(ct1)
    activity.recorder.write()
    WorklistQuery.objects.update(times=2_000_000_000)
    ask(ct1)
    assert activity.recorder.write()
    assert WorklistQuery.objects.get().times == 2_000_000_000


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_by_itself_and_at_the_end(site, monkeypatch):
    """A fact is in the table soon; stop() writes what is left; start() again goes on."""
    profile = stations.profiles()[CT1]
    monkeypatch.setattr(activity, "WRITE_SECONDS", 0.01)
    activity.start()
    activity.start()
    try:
        activity.echo(profile, "10.0.0.5")
        wait_until(lambda: StationActivity.objects.filter(echo_at__isnull=False).exists())
        monkeypatch.setattr(activity, "WRITE_SECONDS", 60.0)
    finally:
        activity.stop()
    activity.start()
    activity.image(profile, "10.0.0.5")
    activity.stop()
    assert StationActivity.objects.get().image_at
    activity.stop()


@pytest.mark.django_db(transaction=True)
def test_several_processes_write_the_same_rows(site):
    """Each adds to the counts of the other, and none is held up for good."""
    keys = [stations.profiles()[name].pk for name in ("CT1", "CT2", "MR1")]

    def work(turn: int) -> None:
        recorder = activity.Recorder()
        for _ in range(15):
            for pk in keys[turn:] + keys[:turn]:
                recorder.facts.activity.note((pk,), 1.0, address="::1", echo_at=1.0)
                recorder.facts.queries.note((pk, (("Modality", "CT"),), ()), 1.0, status=0, answers=1, milliseconds=1.0)
            recorder.facts.refuse("::1", ("MR9", "r"), 1.0, "SUNVIEW", ("Verification SOP Class",))
            wait_until(recorder.write)
        connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert set(WorklistQuery.objects.values_list("times", flat=True)) == {45}
    assert UnknownCaller.objects.get().times == 45
    assert StationActivity.objects.count() == 3
