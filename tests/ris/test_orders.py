"""Orders: placed once however often they are sent, changed, canceled, refused with the reason."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ris import errors, selectors
from ris.identifiers import is_uid
from ris.inputs import Code, Identifier, OrderKey, ProcedureRequest, StepRequest
from ris.models import Order, Patient, RequestedProcedure, ScheduledProcedureStep, Station, WorkflowEvent
from ris.services import orders, scheduling
from tests import making
from tests.making import HIS, NINE

pytestmark = pytest.mark.usefixtures("site")


def test_an_order_with_a_time_is_scheduled():
    """An order with modality and time is on the worklist of every station that can do it."""
    step = making.only_step(making.placed())
    assert step.status == "SCHEDULED"
    assert [station.ae_title for station in step.stations.all()] == ["CT1", "CT2"]
    assert step.requested_procedure.status == "SCHEDULED"
    assert list(selectors.worklist_steps()) == [step]
    assert selectors.worklist_obstacles(step) == []


def test_identifiers_are_made_when_none_are_given():
    """Accession number, requested procedure ID and SPS ID fit 16 characters; the Study UID is one."""
    step = making.only_step(making.placed())
    procedure = step.requested_procedure
    for number in (
        procedure.order.accession_number,
        procedure.requested_procedure_id,
        step.scheduled_procedure_step_id,
    ):
        assert 0 < len(number) <= 16
    assert is_uid(procedure.study_instance_uid)


def test_identifiers_of_the_his_are_kept():
    """What the HIS names is not renamed."""
    wanted = ProcedureRequest(
        requested_procedure_id="RP9",
        study_instance_uid="1.2.3",
        steps=(making.step_request(scheduled_procedure_step_id="S9"),),
    )
    step = making.only_step(making.placed(accession_number="A9", procedures=(wanted,)))
    procedure = step.requested_procedure
    assert (procedure.order.accession_number, procedure.requested_procedure_id) == ("A9", "RP9")
    assert (procedure.study_instance_uid, step.scheduled_procedure_step_id) == ("1.2.3", "S9")


def test_sent_again_it_is_the_same_order():
    """The same order under a new control ID makes nothing new and no event."""
    making.placed()
    uid = RequestedProcedure.objects.get().study_instance_uid
    events = WorkflowEvent.objects.count()
    making.placed()
    assert (Order.objects.count(), ScheduledProcedureStep.objects.count()) == (1, 1)
    assert RequestedProcedure.objects.get().study_instance_uid == uid
    assert WorkflowEvent.objects.count() == events


def test_study_uid_is_stable_and_differs_by_sender():
    """A re-sent order keeps its Study UID even in a new database; the same number of another sender gets another."""
    making.placed()
    first = RequestedProcedure.objects.get().study_instance_uid
    making.placed(sender="OTHER|HIS", placer_order_number=Identifier("4711"))
    assert Order.objects.count() == 2
    second = RequestedProcedure.objects.exclude(study_instance_uid=first).get()
    assert second.order.placer_issuer == "OTHER|HIS"
    WorkflowEvent.objects.all()._raw_delete(WorkflowEvent.objects.db)
    Order.objects.all().delete()
    making.placed()
    assert RequestedProcedure.objects.get().study_instance_uid == first


def test_no_time_means_to_be_scheduled():
    """Without a time the order waits for the front desk; it says so."""
    step = making.only_step(making.placed("4711", making.step_request(start=None)))
    assert (step.status, step.requested_procedure.status) == ("NEW", "ORDERED")
    assert "no start time" in selectors.worklist_obstacles(step)[0]
    assert list(selectors.unscheduled_steps()) == [step]


def test_modality_comes_from_the_catalogue():
    """A code of the catalogue gives modality and duration."""
    wanted = ProcedureRequest(code=Code("MRKNEE", "SUNVIEW"), steps=(StepRequest(start=NINE),))
    step = making.only_step(making.placed(procedures=(wanted,)))
    assert (step.modality, step.duration_minutes, step.status) == ("MR", 30, "SCHEDULED")


@pytest.mark.parametrize(("modality", "words"), [("", "no modality"), ("PT", "no active station performs modality PT")])
def test_no_station_can_do_it(modality, words):
    """An order no station can do is kept to be scheduled, with the reason."""
    wanted = ProcedureRequest(code=Code("?"), steps=(making.step_request(modality=modality),))
    step = making.only_step(making.placed(procedures=(wanted,)))
    assert (step.status, step.requested_start) == ("NEW", NINE)
    assert any(words in sentence for sentence in selectors.worklist_obstacles(step))


def test_a_station_that_came_later():
    """A step nobody could do stays to be booked when a station comes, and says so."""
    step = making.only_step(making.placed("4711", making.step_request(modality="PT")))
    Station.objects.create(ae_title="PT1", modality="PT")
    assert selectors.worklist_obstacles(step) == ["the step waits to be booked at the front desk"]


def test_named_station():
    """A station that the order names gets the step alone; the room is its room."""
    step = making.only_step(making.placed("4711", making.step_request(station_ae_titles=("CT2", "NOSUCH"))))
    assert [station.ae_title for station in step.stations.all()] == ["CT2"]
    assert step.room and step.room.name == "CT 2"


def test_several_procedures_and_steps():
    """Several procedures of one order and several steps of one procedure are each their own."""
    two = (
        ProcedureRequest(description="one", steps=(making.step_request(), making.step_request(modality="MR"))),
        ProcedureRequest(description="two", steps=(making.step_request(modality="US"),)),
    )
    for _repeat in range(2):
        order = making.placed(procedures=two)
    assert [procedure.steps.count() for procedure in order.procedures.all()] == [2, 1]
    assert len({procedure.study_instance_uid for procedure in order.procedures.all()}) == 2
    assert len(set(ScheduledProcedureStep.objects.values_list("scheduled_procedure_step_id", flat=True))) == 3


def test_change_moves_the_time():
    """XO with another time reschedules; what it does not say stays."""
    making.placed(priority="STAT")
    later = NINE + timedelta(hours=2)
    order = orders.change(making.order_request("4711", making.step_request(start=later)), HIS)
    assert (making.only_step(order).start, order.priority) == (later, "STAT")
    verbs = list(WorkflowEvent.objects.values_list("verb", flat=True))
    assert verbs == ["register", "order", "schedule", "schedule"]


def test_a_booking_of_the_desk_survives_a_repeat():
    """A message that repeats the old wish does not move what the desk has booked since."""
    step = making.only_step(making.placed())
    room = step.stations.get(ae_title="CT1").room_id
    later = NINE + timedelta(hours=3)
    scheduling.book(step.pk, room_pk=room, start=later, actor=HIS)
    orders.change(making.order_request(), HIS)
    step.refresh_from_db()
    assert (step.start, step.room_id) == (later, room)


def test_another_modality_moves_to_other_stations():
    """XO that makes a CT an MR takes it off the CT's worklists."""
    making.placed()
    order = orders.change(making.order_request("4711", making.step_request(modality="MR")), HIS)
    assert [station.ae_title for station in making.only_step(order).stations.all()] == ["MR1"]


def test_change_of_an_unknown_order():
    """XO for an order that is not here is refused, and leaves no patient behind."""
    with pytest.raises(errors.UnknownOrder):
        orders.change(making.order_request("0815"), HIS)
    assert not Patient.objects.exists()


def key(number="4711", **parts):
    return OrderKey(sender="HIS|SUNVIEW", placer_order_number=Identifier(number, "HIS"), **parts)


def test_cancel():
    """CA takes every step off the worklist; a repeat changes nothing."""
    making.placed("4711", making.step_request(), making.step_request())
    for _repeat in range(2):
        order = orders.cancel(key(), HIS, "duplicate")
    assert {step.status for step in ScheduledProcedureStep.objects.all()} == {"CANCELED"}
    assert order.procedures.get().status == "CANCELED"
    assert WorkflowEvent.objects.filter(verb="cancel", reason="duplicate").count() == 2
    assert not selectors.worklist_steps().exists()


def test_cancel_by_filler_number():
    """CA that only carries the filler's number finds the order."""
    making.placed(filler_order_number=Identifier("F1", "RIS"))
    orders.cancel(OrderKey(sender="HIS|SUNVIEW", filler_order_number=Identifier("F1", "RIS")), HIS)
    assert ScheduledProcedureStep.objects.get().status == "CANCELED"


def test_cancel_by_the_number_we_gave():
    """The HIS was told the accession number as filler number: it may name the order by that."""
    order = making.placed()
    orders.cancel(
        OrderKey(sender="HIS|SUNVIEW", filler_order_number=Identifier(order.accession_number, "SUNVIEW")), HIS
    )
    assert ScheduledProcedureStep.objects.get().status == "CANCELED"


def test_cancel_of_an_unknown_order():
    """CA for an order that is not here names the number."""
    with pytest.raises(errors.UnknownOrder, match="0815"):
        orders.cancel(key("0815"), HIS)


def test_cancel_with_another_patient():
    """CA that names another patient than the order's is refused."""
    making.placed()
    with pytest.raises(errors.OrderOfOtherPatient):
        orders.cancel(key(patient=Identifier("P999", "SUNVIEW")), HIS)


def test_cancel_after_start():
    """What has started is not canceled."""
    step = making.only_step(making.placed())
    ScheduledProcedureStep.objects.filter(pk=step.pk).update(status="STARTED")
    with pytest.raises(errors.TransitionNotAllowed):
        orders.cancel(key(), HIS)


def test_a_canceled_order_stays_canceled():
    """NW with the number of a canceled order is refused."""
    making.placed()
    orders.cancel(key(), HIS)
    with pytest.raises(errors.TransitionNotAllowed):
        making.placed()


SOMEBODY = replace(making.GRACE, identifier=Identifier("P200", "SUNVIEW"))


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"placer_order_number": Identifier("1", "HIS"), "accession_number": "ACC"},
        {"placer_order_number": Identifier("1", "HIS"), "procedures": (ProcedureRequest(study_instance_uid="1.2.3"),)},
    ],
    ids=["order number", "accession number", "Study UID"],
)
def test_numbers_of_another_patient(parts):
    """An order number, accession number or Study UID that belongs to somebody else is refused."""
    making.placed(accession_number="ACC", procedures=(ProcedureRequest(study_instance_uid="1.2.3"),))
    with pytest.raises(errors.OrderOfOtherPatient):
        making.placed(patient=SOMEBODY, **parts)
    assert Order.objects.count() == 1
    assert Patient.objects.count() == 1


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"placer_order_number": Identifier()}, errors.IncompleteRequest),
        ({"patient": replace(making.GRACE, identifier=Identifier())}, errors.IncompleteRequest),
        ({"accession_number": "A" * 17}, errors.InvalidIdentifier),
        ({"accession_number": "A\\B"}, errors.InvalidIdentifier),
        ({"procedures": (ProcedureRequest(requested_procedure_id="R" * 17),)}, errors.InvalidIdentifier),
        ({"procedures": (ProcedureRequest(study_instance_uid="1.2.x"),)}, errors.InvalidIdentifier),
        ({"procedures": (ProcedureRequest(study_instance_uid="1." + "2" * 64),)}, errors.InvalidIdentifier),
        (
            {"procedures": (ProcedureRequest(steps=(StepRequest(scheduled_procedure_step_id="S" * 17),)),)},
            errors.InvalidIdentifier,
        ),
    ],
)
def test_what_is_refused(parts, error):
    """What is missing or cannot be carried by DICOM is refused before anything is written."""
    with pytest.raises(error):
        making.placed(**parts)
    assert not Order.objects.exists()
    assert not Patient.objects.exists()
