"""Today's board. Covered: rooms, statuses and counts, other days, orders to schedule, banner, 204, query count."""

import pytest

from ris.models import WorkflowEvent
from ris.services import performing, scheduling
from tests import making


def test_exam_in_its_room(molly, step):
    """A booked exam stands on the board with time, patient, procedure, accession number and status word."""
    page = molly.get("/").content.decode()
    for text in ("CT 1", "12:00", "Hopper, Grace", "CT head", "SV0000", "SCHEDULED", "Check in"):
        assert text in page
    assert "<strong>1</strong> SCHEDULED" in page


def test_step_of_no_room(molly, today_noon):
    """A step that any CT may do has no room yet and is not lost."""
    making.placed("4713", making.step_request(start=today_noon))
    assert "No room yet" in molly.get("/").content.decode()


def test_order_to_be_scheduled(molly, unbooked):
    """An order without a time waits beside the board, urgent ones first."""
    making.placed("4700", making.step_request(start=None), priority="ROUTINE")
    waiting = list(molly.get("/").context["waiting"])
    assert [row.requested_procedure.order.priority for row in waiting] == ["STAT", "ROUTINE"]


def test_another_day(molly, step):
    """A day asked for shows that day; a day that is none shows today."""
    assert "Hopper" not in molly.get("/?day=2020-02-29").content.decode()
    for none in ("2020-02-30", "x", "0001-01-01", "9999-12-31"):
        assert "Hopper" in molly.get("/", {"day": none}).content.decode()


def test_unchanged_board_is_not_sent_again(molly, step, desk):
    """The live board gets 204 while nothing happens, and itself anew after a check-in."""
    version = molly.get("/").context["version"]
    assert molly.get("/", {"version": version}).status_code == 204
    scheduling.arrive(step.pk, desk)
    answer = molly.get("/", {"version": version})
    assert answer.status_code == 200
    assert "ARRIVED" in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_event_committed_late_changes_the_version(molly, step):
    """An event with a lower id that is committed after a higher one is not overlooked."""
    first, *_others = WorkflowEvent.objects.order_by("pk")
    facts = WorkflowEvent.objects.filter(pk=first.pk).values().get()
    WorkflowEvent.objects.filter(pk=first.pk)._raw_delete("default")
    version = molly.get("/").context["version"]
    WorkflowEvent.objects.bulk_create([WorkflowEvent(**facts)])
    assert molly.get("/", {"version": version}).status_code == 200


def test_check_in_from_the_board(molly, step):
    """The button on the card checks in and comes back to the board."""
    answer = molly.post(f"/steps/{step.pk}/arrive/", {"back": "board"})
    assert answer["Location"] == "/"
    step.refresh_from_db()
    assert step.status == "ARRIVED"


def test_held_exam_offers_no_check_in(molly, step, desk):
    """What is on hold says so and cannot be checked in from the board."""
    scheduling.hold(step.pk, desk)
    page = molly.get("/").content.decode()
    assert "ON HOLD" in page
    assert "Check in" not in page


def test_banner_and_list_of_what_does_not_fit(molly):
    """An MPPS of no order raises the banner and stands on the list with its station and reason."""
    assert "banner" not in molly.get("/").content.decode()
    performing.start(making.begun("1.2.3.4"), making.SCANNER)
    assert "banner" in molly.get("/").content.decode()
    page = molly.get("/reconciliation/").content.decode()
    assert "1.2.3.4" in page
    assert "no scheduled step found" in page


def test_cost_does_not_grow(molly, today_noon, django_assert_max_num_queries):
    """Thirty exams cost as many queries as one."""
    for number in range(30):
        making.placed(f"A{number}", making.step_request(start=today_noon))
        making.placed(f"B{number}", making.step_request(start=None))
    with django_assert_max_num_queries(14):
        molly.get("/")


@pytest.mark.django_db
def test_empty_house_says_what_to_do(client, django_user_model):
    """Without rooms the board says how to set some up."""
    client.force_login(django_user_model.objects.create_user("new"))
    assert "No room is set up" in client.get("/").content.decode()


def test_pages_are_not_kept(molly, step):
    """After logging out, the browser's back button shows no patient: pages are not stored."""
    for address in ("/", f"/exams/{step.requested_procedure_id}/", "/search/", "/reconciliation/"):
        assert "no-store" in molly.get(address)["Cache-Control"]
