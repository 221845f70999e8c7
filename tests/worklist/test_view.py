"""The view in memory is what the database holds, after every kind of change, for every process at once."""

import dataclasses
import threading
import time
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ris import triggers
from ris.inputs import Identifier
from ris.models import (
    Order,
    Patient,
    Room,
    ScheduledProcedureStep,
    Station,
    StationAlias,
    StepChange,
)
from ris.services import changes, orders, patients, performing, scheduling
from ris.states import PENDING
from tests import making
from tests.hl7.conftest import answer_to
from tests.hl7.conftest import order as hl7_order
from tests.making import GRACE, HIS, NINE
from worklist import entry, identifier, matching
from worklist.mwl_answer import Form, everything
from worklist.statement import Statement
from worklist.stations import Profile
from worklist.view import View

pytestmark = pytest.mark.django_db(transaction=True)
EVERY_STATION = Profile(pk=1, siblings=frozenset({"CT1", "CT2", "CT9", "MR1", "XRAY1", "XRAY2", "US1", "MG1"}))


@pytest.fixture
def views(site) -> list[View]:
    """Two processes with one exam on both: a CT of Grace Hopper at nine, on CT1, in room CT 1."""
    step = making.only_step(making.placed("1", making.step_request(station_ae_titles=("CT1",)), accession_number="A1"))
    step.room = Room.objects.get(name="CT 1")
    step.save()
    found = [View(), View()]
    for view in found:
        view.refresh()
    return found


def found(view: View, **keys: str) -> list[entry.Entry]:
    view.refresh()
    asked = matching.criteria(identifier.asking(keys or {"PatientID": ""}))
    return view.find(asked, EVERY_STATION, 1000)


def facts(entries) -> list[dict]:
    return sorted((dataclasses.asdict(one) for one in entries), key=lambda one: one["pk"])


def step_pk() -> int:
    return ScheduledProcedureStep.objects.order_by("pk")[0].pk


def hl7(views):
    answer_to(hl7_order(accession="A2"))


def merge(views):
    survivor = dataclasses.replace(GRACE, identifier=Identifier("P200", "SUNVIEW"), patient_name="Hopper^Grace^B")
    patients.merge(survivor, Identifier("P100", "SUNVIEW"), HIS)


def sql(statement: str):
    def run(views):
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return run


def moved(views):
    request = making.order_request("1", making.step_request(start=NINE + timedelta(days=1)), accession_number="A1")
    orders.place(request, HIS)


def started(views):
    step = ScheduledProcedureStep.objects.select_related("requested_procedure__order").get()
    performing.start(making.begun("1.2.3", step), making.SCANNER)


def truncated(views):
    if connection.vendor == "postgresql":
        sql("TRUNCATE ris_scheduledprocedurestep CASCADE")(views)
    else:
        sql("DELETE FROM ris_scheduledprocedurestep_stations")(views)


#: What happens, and what two processes then answer: values of an attribute of the entries, in the order of start.
CHANGES = [
    ("an order comes by HL7", hl7, "accession_number", ["A2", "A1"]),
    ("the order is moved", moved, "local", [NINE.replace(tzinfo=None) + timedelta(days=1)]),
    ("the patient is merged", merge, "patient_id", ["P200"]),
    ("the exam is held", lambda v: scheduling.hold(step_pk(), HIS), "pk", []),
    ("the patient arrives", lambda v: scheduling.arrive(step_pk(), HIS), "status", ["ARRIVED"]),
    ("the exam starts", started, "pk", []),
    ("the room is renamed", lambda v: Room.objects.filter(name="CT 1").update(name="Left"), "room", ["Left"]),
    (
        "the station is renamed",
        lambda v: Station.objects.filter(ae_title="CT1").update(ae_title="CT9"),
        "stations",
        [(entry.AssignedStation("CT9", "CT scanner 1", "CT"),)],
    ),
    ("SQL", sql("UPDATE ris_order SET priority = 'STAT'"), "priority", ["STAT"]),
    ("SQL takes the station away", sql("DELETE FROM ris_scheduledprocedurestep_stations"), "pk", []),
    ("the table is emptied", truncated, "pk", []),
]


@pytest.mark.parametrize(("happens", "attribute", "expected"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_what_was_committed_is_in_the_next_answer_of_every_process(views, happens, attribute, expected):
    """Whoever wrote it, and how."""
    happens(views)
    for view in views:
        assert [getattr(one, attribute) for one in found(view)] == expected
        assert facts(found(view)) == facts(one for one in entry.shown() if one.status in PENDING)


def test_an_entry_is_found_by_what_it_has_now(views):
    """No index keeps an old value."""
    Order.objects.update(accession_number="A9")
    Patient.objects.update(patient_id="P9")
    for view in views:
        assert [len(found(view, AccessionNumber=number)) for number in ("A1", "A9")] == [0, 1]
        assert [len(found(view, PatientID=number)) for number in ("P100", "P9")] == [0, 1]


def test_an_alias_means_its_station(views):
    """Added while the process runs."""
    assert not found(views[0], ScheduledStationAETitle="CTOLD")
    StationAlias.objects.create(station=Station.objects.get(ae_title="CT1"), ae_title="CTOLD")
    for view in views:
        assert len(found(view, ScheduledStationAETitle="CTOLD")) == 1


def test_one_look_serves_all_that_was_received_before_it(views):
    """A query that came before the last look began needs no other; one that came later does."""
    before = time.monotonic()
    with CaptureQueriesContext(connection) as first:
        views[0].refresh(time.monotonic())
    with CaptureQueriesContext(connection) as second:
        views[0].refresh(before)
    with CaptureQueriesContext(connection) as third:
        views[0].refresh()
    assert (len(first), len(second), len(third)) == (1, 0, 1)


def test_a_process_that_slept_reads_everything(views, monkeypatch):
    """The sweep may have deleted what it did not see."""
    Order.objects.update(priority="STAT")
    StepChange.objects.all().delete()
    assert not (connection.vendor == "postgresql" and found(views[0])[0].priority)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + changes.LONGEST_GAP.total_seconds() + 1)
    assert [one.priority for one in found(views[0])] == ["STAT"]


@pytest.fixture
def read(monkeypatch) -> list:
    """The steps that views read from now on, None for all."""
    steps, shown = [], entry.shown

    def noted(pks=None):
        steps.append(pks)
        return shown(pks)

    monkeypatch.setattr(entry, "shown", noted)
    return steps


def test_a_failure_while_reading_is_made_good(views, read, monkeypatch):
    """The change is not forgotten because the database failed after it was named, and all else need not be read."""
    Order.objects.update(priority="STAT")

    def fail(_pks=None):
        raise DatabaseError

    with monkeypatch.context() as patched, pytest.raises(DatabaseError):
        patched.setattr(entry, "shown", fail)
        views[0].refresh()
    assert [one.priority for one in found(views[0])] == ["STAT"]
    assert read == [{step_pk()}]


def test_a_failure_while_all_is_read_is_made_good(views, read, monkeypatch):
    """What was read of it is not taken for all."""
    making.placed("2", making.step_request(station_ae_titles=("CT1",)), accession_number="A2")
    view, shown = View(), entry.shown

    def break_off(_pks=None):
        yield next(shown())
        raise DatabaseError

    with monkeypatch.context() as patched, pytest.raises(DatabaseError):
        patched.setattr(entry, "shown", break_off)
        view.refresh()
    assert len(found(view)) == 2 and read[-1] is None


def test_another_connection_is_no_reason_to_read_everything(views, read):
    """A view knows where it stands as long as the server is the same."""
    Order.objects.update(priority="STAT")
    connection.close()
    assert [one.priority for one in found(views[0])] == ["STAT"]
    assert read == [{step_pk()}]


def test_what_statements_made_once_read_is_what_django_reads(views):
    """Of any number of steps, again and again."""
    making.placed("2", making.step_request(station_ae_titles=("CT1",)), accession_number="A2")
    Order.objects.update(patient_weight="70.5", patient_size="1.75")
    rows = ScheduledProcedureStep.objects.order_by("pk").values_list(*entry.COLUMNS)
    keys = [row[0] for row in rows]
    statement = Statement(lambda keys: ScheduledProcedureStep.objects.filter(pk__in=keys).values_list(*entry.COLUMNS))
    for asked in ([], keys[:1], keys):
        assert sorted(statement.rows(asked)) == [list(row) for row in rows if row[0] in asked]


def test_what_is_rolled_back_is_not_kept(views):
    """A view read inside a transaction forgets it with the transaction."""
    with pytest.raises(RuntimeError), transaction.atomic():
        Order.objects.update(priority="STAT")
        assert [one.priority for one in found(views[0])] == ["STAT"]
        raise RuntimeError
    assert [one.priority for one in found(views[0])] == [""]


def test_every_column_of_an_entry_is_watched():
    """What worklists show and no trigger sees would be stale."""
    watched = {f"{watch.table}.{column}" for watch in triggers.WATCHED for column in watch.columns}
    query = ScheduledProcedureStep.objects.values_list(*entry.COLUMNS).query
    query.get_compiler("default").as_sql()
    read = {
        f"{query.alias_map[column.alias].table_name}.{column.target.column}"
        for column in query.select
        if column.target.column != "id"
    }
    assert read <= watched


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["order", "move", "hold", "release", "end", "name", "room", "delete"]), st.integers(0, 5)
    ),
    max_size=12,
)


def act(action: str, number: int) -> None:
    steps = list(ScheduledProcedureStep.objects.order_by("pk"))
    step = steps[number % len(steps)]
    rows = ScheduledProcedureStep.objects.filter(pk=step.pk)
    match action:
        case "order":
            making.placed(f"N{number}", making.step_request(start=NINE + timedelta(minutes=number)))
        case "move":
            rows.update(start=NINE + timedelta(hours=number))
        case "hold" | "release":
            rows.update(on_hold=action == "hold")
        case "end":
            rows.update(status="COMPLETED" if number % 2 else "SCHEDULED")
        case "name":
            Patient.objects.update(patient_name=f"Name{number}")
        case "room":
            rows.update(room=Room.objects.all()[number])
        case "delete":
            step.stations.remove(*step.stations.all()[:1])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_a_view_brought_up_to_date_is_a_view_read_anew(views, actions):
    """Whatever happens in whatever order; the indexes too."""
    for action, number in actions:
        act(action, number)
    fresh = View()
    for keys in ({}, {"ScheduledStationAETitle": "CT1"}, {"PatientID": "P100"}):
        assert facts(found(views[0], **keys)) == facts(found(fresh, **keys))
    assert len(views[0]) == len(fresh)


def test_threads_ask_while_orders_come(views):
    """Every answer holds what was committed before it was asked."""
    wrong, done = [], threading.Event()

    def ask(view: View) -> None:
        try:
            while not done.is_set():
                committed = ScheduledProcedureStep.objects.count()
                if len(found(view)) < committed:
                    wrong.append(committed)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for number in range(20):
        making.placed(f"N{number}")
    done.set()
    for thread in threads:
        thread.join(20)
    assert not wrong


def test_what_is_kept_of_answers_is_bounded(views, monkeypatch):
    """The forms that were used last, and so many encoded entries in all."""
    (one,) = found(views[0])
    monkeypatch.setattr("worklist.view.MOST_FORMS", 3)
    forms = [Form(everything(), True, f"ISO_IR {number}") for number in range(5)]
    writers = [views[0].writer(form) for form in forms]
    assert [views[0].writer(form) is writer for form, writer in zip(forms[2:], writers[2:], strict=True)] == [True] * 3
    assert views[0].writer(forms[0]) is not writers[0]
    monkeypatch.setattr("worklist.view.MOST_WRITTEN", 1)
    for writer in writers[3:]:
        writer.write(one)
    views[0].writer(forms[4])
    assert views[0].writer(forms[3]) is not writers[3]
