"""The front desk's moves: each by the table, each with one event, none twice."""

from datetime import timedelta

import pytest

from ris import errors, selectors
from ris.inputs import ProcedureRequest, StepRequest
from ris.models import Room, ScheduledProcedureStep, Station, WorkflowEvent
from ris.services import orders, scheduling
from tests import making
from tests.making import NINE

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def step():
    return making.only_step(making.placed())


def room(name):
    return Room.objects.get(name=name).pk


def test_the_day(step, desk):
    """Check in, ready: each move is an event by the person who did it."""
    assert scheduling.arrive(step.pk, desk).status == "ARRIVED"
    assert scheduling.ready(step.pk, desk).status == "READY"
    last = WorkflowEvent.objects.last()
    assert (last.verb, last.old_status, last.new_status, last.actor_name) == ("ready", "ARRIVED", "READY", "molly")
    assert last.exam_status == "ARRIVED"


def test_double_click(step, desk):
    """Checking in twice is one check-in."""
    scheduling.arrive(step.pk, desk)
    before = WorkflowEvent.objects.count()
    assert scheduling.arrive(step.pk, desk).status == "ARRIVED"
    assert WorkflowEvent.objects.count() == before


def test_not_in_the_table(step, desk):
    """Ready before check-in is refused, and nothing is recorded."""
    before = WorkflowEvent.objects.count()
    with pytest.raises(errors.TransitionNotAllowed, match="SCHEDULED: ready is not allowed"):
        scheduling.ready(step.pk, desk)
    assert WorkflowEvent.objects.count() == before


def test_book_an_order_without_a_time(desk):
    """An order to be scheduled is booked into a room, whose station then lists it."""
    wanted = ProcedureRequest(description="something", steps=(StepRequest(),))
    step = making.only_step(making.placed(procedures=(wanted,)))
    booked = scheduling.book(step.pk, room_pk=room("X-ray 2"), start=NINE, actor=desk, duration_minutes=25)
    assert (booked.status, booked.modality, booked.duration_minutes) == ("SCHEDULED", "DX", 25)
    assert [station.ae_title for station in booked.stations.all()] == ["XRAY2"]
    assert list(selectors.worklist_steps()) == [booked]


def test_booking_twice_is_one_booking(step, desk):
    """The same booking again changes nothing."""
    for _repeat in range(2):
        scheduling.book(step.pk, room_pk=room("CT 1"), start=NINE, actor=desk)
    assert WorkflowEvent.objects.filter(verb="schedule", actor_name="molly").count() == 1


def test_rebooking_undoes_the_check_in(step, desk):
    """A patient who has arrived and is moved to another time is SCHEDULED again."""
    scheduling.arrive(step.pk, desk)
    later = scheduling.book(step.pk, room_pk=room("CT 1"), start=NINE + timedelta(days=1), actor=desk)
    assert later.status == "SCHEDULED"


@pytest.mark.parametrize("name", ["MR", "X-ray 1"])
def test_room_that_cannot(step, desk, name):
    """A room without a station of the step's modality is refused."""
    with pytest.raises(errors.RoomCannotPerform, match=name):
        scheduling.book(step.pk, room_pk=room(name), start=NINE, actor=desk)


def test_room_whose_station_is_out(step, desk):
    """A station that is switched off cannot be booked."""
    Station.objects.filter(ae_title="CT1").update(is_active=False)
    with pytest.raises(errors.RoomCannotPerform):
        scheduling.book(step.pk, room_pk=room("CT 1"), start=NINE, actor=desk)


def test_hold_and_release(step, desk):
    """A held step is on no worklist and keeps its status; released it is back."""
    held = scheduling.hold(step.pk, desk, "waits for laboratory")
    assert (held.status, held.on_hold, held.requested_procedure.status) == ("SCHEDULED", True, "ON HOLD")
    assert selectors.worklist_obstacles(held) == ["the step is on hold"]
    assert not selectors.worklist_steps().exists()
    assert scheduling.release(step.pk, desk).requested_procedure.status == "SCHEDULED"
    assert selectors.worklist_steps().exists()


def test_no_show_and_back(step, desk):
    """Who did not come can be booked again."""
    missed = scheduling.no_show(step.pk, desk)
    assert missed.requested_procedure.status == "NO SHOW"
    assert scheduling.book(step.pk, room_pk=room("CT 1"), start=NINE, actor=desk).status == "SCHEDULED"


def test_cancel_at_the_desk(step, desk):
    """The desk cancels an exam with a reason."""
    exam = orders.cancel_exam(step.requested_procedure_id, desk, "patient declined")
    assert exam.status == "CANCELED"
    assert WorkflowEvent.objects.last().reason == "patient declined"


@pytest.mark.parametrize("act", [scheduling.arrive, scheduling.ready, scheduling.no_show, scheduling.release])
def test_a_step_that_is_not_here(db, desk, act):
    """A step nobody knows is refused, not an error."""
    with pytest.raises(errors.UnknownOrder):
        act(4711, desk)


def test_board(step, desk):
    """The board shows a column for each room and one for what has no room yet."""
    columns = selectors.board(NINE.date())
    assert [column.room.name if column.room else None for column in columns][-1] is None
    assert columns[-1].steps == [step]
    scheduling.book(step.pk, room_pk=room("CT 2"), start=NINE, actor=desk)
    columns = {column.room.name: column.steps for column in selectors.board(NINE.date()) if column.room}
    assert columns["CT 2"] == [step]
    assert ScheduledProcedureStep.objects.count() == sum(len(steps) for steps in columns.values())
