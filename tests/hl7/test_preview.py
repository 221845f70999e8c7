"""Looking at what a message would do: the same answer, the same effect, and nothing left behind."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hl7.models import Feed, InboundMessage
from hl7.preview import Preview, Touched, preview
from ris.models import Order, Patient, WorkflowEvent
from tests.hl7.conftest import answer_to, message, order

pytestmark = pytest.mark.django_db


def touched(found: Preview, kind: str) -> Touched:
    return next(each for each in found.touched if each.kind == kind)


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Order, Patient, WorkflowEvent, InboundMessage))


def test_a_new_order_is_shown_and_not_kept(feed):
    """Every attribute with its field, the answer, and afterwards nothing."""
    found = preview(order(accession="A1"), feed)
    assert (found.outcome, found.verdict.code, b"MSA|AA" in found.answer) == ("ACCEPTED", "AA", True)
    assert touched(found, "order").is_new and touched(found, "order").values["accession_number"].after == "A1"
    assert touched(found, "order").values["accession_number"].source == "OBR-18.1"
    step = touched(found, "step").values
    assert (step["modality"].after, step["modality"].source) == ("DX", "OBR-24.1")
    assert step["requested_start"].source == "TQ1-7.1" and step["stations"].after == ["XRAY1", "XRAY2"]
    assert touched(found, "patient").values["patient_name"].after == "Sample^Grace"
    assert rows() == (0, 0, 0, 0)


def test_a_change_is_shown_beside_what_is_there(feed):
    """Only what differs is a change; the order stays as it was."""
    answer_to(order(placer="P1"))
    before = rows()
    found = preview(order("XO", placer="P1", modality="CT"), feed)
    changed = touched(found, "step").changes["modality"]
    assert (changed.before, changed.after, touched(found, "step").is_new) == ("DX", "CT", False)
    assert "placer_order_number" not in touched(found, "order").changes
    assert rows() == before


def test_a_repeated_message_is_carried_out_again(feed):
    """A preview looks for no first answer, so that a replay can be seen before it is done."""
    raw = order(placer="P1")
    answer_to(raw)
    assert preview(raw, feed).outcome == "ACCEPTED"


def test_a_refusal_touches_nothing_and_says_why(feed):
    """With the sentence of the answer, and what was read until then."""
    found = preview(order(start="20250230"), feed)
    assert (found.outcome, found.verdict.code, found.touched) == ("REFUSED", "AE", ())
    assert "TQ1-7.1" in found.verdict.sentence and rows() == (0, 0, 0, 0)


def test_an_admission_shows_the_patient(feed):
    """A patient without an order."""
    found = preview(message("PID|||77^^^ADT||Sample^Grace", kind="ADT^A08"), feed)
    assert [each.kind for each in found.touched] == ["patient"] and found.touched[0].is_new


def test_a_fault_of_ours_is_shown_as_the_listener_would_answer_it(feed, monkeypatch):
    """207, and nothing is kept of it."""
    monkeypatch.setattr("hl7.orders.orders.place", lambda *_args: 1 / 0)
    found = preview(order(), feed)
    assert (found.outcome, found.verdict.condition) == ("ERROR", "207") and rows() == (0, 0, 0, 0)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: b"MSH|^~\\&|" + text.encode())))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_input_has_a_preview(feed, raw):
    """Whatever the bytes are."""
    found = preview(raw, Feed.objects.get())
    assert found.outcome in InboundMessage.Outcome.values
    assert rows() == (0, 0, 0, 0)
