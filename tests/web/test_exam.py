"""The exam page. Covered: what it shows, every action allowed and refused, forms that are wrong, clock changes."""

import pytest
from django.utils import timezone

from ris.models import RequestedProcedure, Room, Station, Visit
from ris.services import images, orders, performing, scheduling
from tests import making


def page(client, step) -> str:
    return client.get(f"/exams/{step.requested_procedure_id}/").content.decode()


def booking(room="CT 2") -> dict:
    return {"room": Room.objects.get(name=room).pk, "day": "2026-11-24", "time": "14:30", "duration_minutes": 25}


def said(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_what_it_shows(molly, step):
    """Patient, order numbers, room and time, and the worklist the exam is on."""
    text = page(molly, step)
    for fact in ("Hopper, Grace", "P100", "4711", step.scheduled_procedure_step_id, "CT 1", "12:00", "HL7 MSH-10 1"):
        assert fact in text
    assert "On the worklist of <strong>CT1</strong>" in text


def test_why_it_is_on_no_worklist(molly, unbooked):
    """An exam that no scanner sees says why."""
    assert "On no worklist: no start time was given" in page(molly, unbooked)


def test_a_station_whose_rules_hide_it(molly, step):
    """Assigned is not shown: a rule of the station's profile is said where the desk would trust the list."""
    Station.objects.filter(ae_title="CT1").update(only_arrived=True)
    text = page(molly, step)
    assert "On the worklist of" not in text
    assert "Not on the worklist of <strong>CT1</strong>: the patient has not been checked in" in text
    molly.post(f"/steps/{step.pk}/arrive/")
    assert "On the worklist of <strong>CT1</strong>" in page(molly, step)


def test_performed_and_missing_images(molly, step):
    """MPPS with station, and how many of the listed images have not arrived."""
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    performing.update(making.ended("1.2.3", images=3), making.SCANNER)
    images.record(making.image(step, "1.2.3.1.1"), making.SCANNER)
    text = page(molly, step)
    assert "2 of 3 images missing" in text
    assert "PERFORMED" in text
    images.record(making.image(step, "1.2.3.1.2"), making.SCANNER)
    images.record(making.image(step, "1.2.3.1.3"), making.SCANNER)
    text = page(molly, step)
    assert "all 3 images arrived" in text
    assert "IMAGES COMPLETE" in text


def test_history_names_who_and_from_which_message(molly, step):
    """Each change stands in the history with old and new status, actor and source."""
    molly.post(f"/steps/{step.pk}/arrive/")
    text = page(molly, step)
    assert "SCHEDULED → <strong>ARRIVED</strong>" in text
    assert "molly" in text
    assert "HIS|SUNVIEW" in text


@pytest.mark.parametrize(
    ("verbs", "status"),
    [
        (["arrive"], "ARRIVED"),
        (["arrive", "ready"], "ARRIVED"),
        (["hold"], "ON HOLD"),
        (["hold", "release"], "SCHEDULED"),
        (["no-show"], "NO SHOW"),
    ],
)
def test_moves(molly, step, verbs, status):
    """Each button does what it says and leads back to the exam."""
    for verb in verbs:
        answer = molly.post(f"/steps/{step.pk}/{verb}/")
        assert answer["Location"] == f"/exams/{step.requested_procedure_id}/"
    assert RequestedProcedure.objects.get(pk=step.requested_procedure_id).status == status


@pytest.mark.parametrize("verb", ["arrive", "ready", "hold", "release", "no-show"])
def test_refused_move_is_a_sentence(molly, step, desk, verb):
    """What the state table does not allow is refused in words, and nothing changes."""
    orders.cancel_exam(step.requested_procedure_id, desk, "twice ordered")
    held = step.on_hold = verb == "release"
    type(step).objects.filter(pk=step.pk).update(on_hold=held)
    answer = molly.post(f"/steps/{step.pk}/{verb}/", follow=True)
    assert said(answer) == [f"Step {step.scheduled_procedure_step_id} is CANCELED: {verb} is not allowed."]


def test_only_allowed_buttons_are_shown(molly, step, desk):
    """A canceled exam offers nothing to press but the search and the way out."""
    assert "Check in" in page(molly, step)
    orders.cancel_exam(step.requested_procedure_id, desk, "twice ordered")
    text = page(molly, step)
    for button in ("Check in", "Ready", "Hold", "No-show", "Cancel the exam", "Reschedule"):
        assert button not in text


@pytest.mark.parametrize("verb", ["explode", "start", "complete"])
def test_no_other_move(molly, step, verb):
    """No address does what the desk may not do."""
    assert molly.post(f"/steps/{step.pk}/{verb}/").status_code == 404


@pytest.mark.parametrize("action", ["/steps/{0}/arrive/", "/steps/{0}/book/", "/exams/{1}/cancel/"])
def test_get_shows_the_exam_and_does_nothing(molly, step, action):
    """Whoever logs in anew after pressing a button lands on the exam, and nothing was done."""
    answer = molly.get(action.format(step.pk, step.requested_procedure_id), follow=True)
    assert "Hopper, Grace" in answer.content.decode()
    step.refresh_from_db()
    assert step.status == "SCHEDULED"


def test_button_after_a_wrong_form(molly, step):
    """On a page that shows a wrong form, the other buttons still lead back to the exam."""
    page = molly.post(f"/steps/{step.pk}/book/", booking() | {"time": "x"}).content.decode()
    assert 'name="back"' not in page


def test_not_here(molly):
    """Addresses of nothing are 404, also far beyond what the database can count."""
    for address in ("/exams/999/", "/exams/99999999999999999999999/"):
        assert molly.get(address).status_code == 404
    assert molly.post("/steps/999/arrive/").status_code == 404
    assert molly.post("/steps/999/book/").status_code == 404
    assert molly.post("/exams/999/cancel/").status_code == 404


def test_book(molly, unbooked):
    """An order without a time is booked into room and time of the site's clock."""
    answer = molly.post(f"/steps/{unbooked.pk}/book/", booking(), follow=True)
    assert said(answer) == ["Booked into CT 2."]
    unbooked.refresh_from_db()
    local = timezone.localtime(unbooked.start)
    assert (unbooked.status, unbooked.room.name, f"{local:%Y-%m-%d %H:%M}") == ("SCHEDULED", "CT 2", "2026-11-24 14:30")
    assert [station.ae_title for station in unbooked.stations.all()] == ["CT2"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"time": "2:30 pm"}, "Write the time with 24 hours"),
        ({"time": "24:00"}, "Write the time with 24 hours"),
        ({"day": "2026-02-30"}, "Enter a valid date"),
        ({"day": ""}, "This field is required"),
        ({"duration_minutes": "0"}, "greater than or equal to 1"),
        ({"room": "999"}, "Select a valid choice"),
        ({"day": "2027-03-28", "time": "01:30"}, "couldn’t be interpreted in time zone Europe/Dublin"),
    ],
)
def test_wrong_booking_is_shown_again(molly, unbooked, wrong, sentence):
    """A booking that cannot be is shown again with what is wrong; nothing is booked."""
    answer = molly.post(f"/steps/{unbooked.pk}/book/", booking() | wrong)
    assert sentence in answer.content.decode().replace("&#x27;", "’").replace("'", "’")
    unbooked.refresh_from_db()
    assert unbooked.status == "NEW"


def test_room_of_another_modality(molly, unbooked):
    """A room whose station cannot do the step is not offered and not taken."""
    answer = molly.post(f"/steps/{unbooked.pk}/book/", booking("MR"))
    assert "Select a valid choice" in answer.content.decode()


def test_book_refused_after_the_start(molly, step):
    """Once the scanner began, the booking stays, and the page says so."""
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    answer = molly.post(f"/steps/{step.pk}/book/", booking(), follow=True)
    assert said(answer) == [f"Step {step.scheduled_procedure_step_id} is STARTED: schedule is not allowed."]


def test_cancel_with_a_reason(molly, step):
    """The exam is canceled and the reason stands in the history."""
    molly.post(f"/exams/{step.requested_procedure_id}/cancel/", {"reason": "Patient has a fever"})
    text = page(molly, step)
    assert "Patient has a fever" in text
    assert "→ <strong>CANCELED</strong>" in text


def test_cancel_without_a_reason(molly, step):
    """Without a reason nothing is canceled and the field says so."""
    answer = molly.post(f"/exams/{step.requested_procedure_id}/cancel/", {"reason": "  "})
    assert "This field is required" in answer.content.decode()
    step.refresh_from_db()
    assert step.status == "SCHEDULED"


def test_cancel_refused_after_the_start(molly, step):
    """A started exam is not canceled, and the page says so."""
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    answer = molly.post(f"/exams/{step.requested_procedure_id}/cancel/", {"reason": "late"}, follow=True)
    assert said(answer) == [f"Step {step.scheduled_procedure_step_id} is STARTED: cancel is not allowed."]


def test_markup_in_what_others_send_stays_text(molly):
    """Text of a message is never taken as markup."""
    order = making.placed("4799", making.step_request(start=None), clinical_information="<script>alert(1)</script>")
    text = page(molly, making.only_step(order))
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_report_and_parent_are_shown(molly, step):
    """The report's status and time, and the order that this one is a part of."""
    assert "<dt>Report</dt>" not in page(molly, step)
    exam = step.requested_procedure
    exam.report_status, exam.report_changed_at = "PRELIMINARY", timezone.now()
    exam.save()
    exam.order.parent = making.placed("PARENT7")
    exam.order.save()
    shown = page(molly, step)
    assert "<dt>Report</dt><dd>preliminary" in shown and "<dt>Part of order</dt><dd>PARENT7</dd>" in shown


def test_visit_is_shown(molly, step):
    """The visit's admission number stands with the order."""
    order = step.requested_procedure.order
    order.visit = Visit.objects.create(patient=order.patient, admission_id="V77")
    order.save()
    assert "V77" in page(molly, step)


def test_held_then_ready_is_said_plainly(molly, step, desk):
    """On hold, the page says that no scanner sees the exam."""
    scheduling.hold(step.pk, desk, "implant not clear")
    text = page(molly, step)
    assert "the step is on hold" in text
    assert "implant not clear" in text
