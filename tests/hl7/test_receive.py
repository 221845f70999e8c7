"""The way of a message: kept, carried out and answered in one transaction (reliability.md, table E).

Covered: repeats, conflicts, refusals kept, unreadable and oversized messages, unknown types and senders, faults of
ours, the database away, logs. Not covered here: sockets (test_mllp), two at once (test_race).
"""

import logging

import pytest
from django.db import IntegrityError, OperationalError, connection

from hl7 import receive as receiving
from hl7.er7 import Message
from hl7.exchange import receive
from hl7.framing import Abandoned, Frame, Oversized
from hl7.models import Feed, InboundMessage
from ris.models import Order, Patient, PatientIdentifier, WorkflowEvent
from tests.hl7.conftest import answer_to, message, order, verdict

pytestmark = pytest.mark.django_db

Outcome = InboundMessage.Outcome


def test_a_message_is_kept_as_it_came(feed):
    """Raw bytes, who sent it, what was answered."""
    raw = order(control_id="K1", sender="LAB|EAST")
    answer = receive(Frame(raw), "127.0.0.1")
    kept = InboundMessage.objects.get()
    assert bytes(kept.raw) == raw and bytes(kept.answer) == answer
    assert (kept.control_id, kept.message_type, kept.outcome) == ("K1", "ORM^O01", Outcome.ACCEPTED)
    assert (kept.sending_application, kept.sending_facility, kept.peer) == ("LAB", "EAST", "127.0.0.1")
    assert kept.feed == feed


def test_a_repeat_gets_the_first_answer_byte_for_byte(feed):
    """Same MSH-10, same bytes: no second effect, not even a second row."""
    raw = order()
    first = receive(Frame(raw), "127.0.0.1")
    events = WorkflowEvent.objects.count()
    assert receive(Frame(raw), "127.0.0.1") == first
    assert WorkflowEvent.objects.count() == events and InboundMessage.objects.count() == 1


def test_a_refusal_is_repeated_too(feed):
    """The first answer stays the answer."""
    raw = order("KN")
    assert receive(Frame(raw), "127.0.0.1") == receive(Frame(raw), "127.0.0.1")
    assert InboundMessage.objects.get().outcome == Outcome.REFUSED


def test_the_same_control_id_with_another_content_is_refused_and_shown(feed):
    """AR 205; both are kept; the first can still be repeated."""
    first = order(control_id="K1")
    answer = receive(Frame(first), "127.0.0.1")
    assert verdict(answer_to(order(placer="P999", control_id="K1"))) == ("AR", "205", "MSH^1^10")
    assert InboundMessage.objects.filter(outcome=Outcome.CONFLICT).count() == 1
    assert Order.objects.count() == 1
    assert receive(Frame(first), "127.0.0.1") == answer


def test_control_ids_belong_to_their_sender(feed):
    """Two applications may count alike."""
    assert answer_to(order(control_id="1", sender="A|X")).value("MSA-1") == "AA"
    assert answer_to(order(control_id="1", sender="B|X")).value("MSA-1") == "AA"


def test_without_control_id_the_content_is_the_identity(feed):
    """MSH-10 is empty (#027, #066): taken once, answered with an empty MSA-2."""
    raw = order(control_id="")
    answer = answer_to(raw)
    assert answer.value("MSA-1") == "AA" and answer.value("MSA-2") is None
    assert str(answer_to(raw)) == str(answer)
    assert answer_to(order(control_id="", placer="P2")).value("MSA-1") == "AA"
    assert Order.objects.count() == 2 and InboundMessage.objects.count() == 2


def test_a_refused_message_is_kept_with_its_reason_and_answer(feed):
    """Nothing vanishes, and its effect is rolled back."""
    answer_to(order(start="20250230"))
    kept = InboundMessage.objects.get()
    assert kept.outcome == Outcome.REFUSED and "TQ1-7" in kept.reason and b"MSA|AE" in bytes(kept.answer)
    assert kept.order_numbers == "P100" and not Patient.objects.exists()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("BAR^P01", ("AR", "200", "MSH^1^9")), ("ADT^A60", ("AR", "201", "MSH^1^9")), ("", ("AR", "200", "MSH^1^9"))],
)
def test_what_is_not_taken_is_rejected_by_its_type(feed, kind, expected):
    """AR 200 for a message type, 201 for an event; kept all the same."""
    assert verdict(answer_to(message("PID|||1", kind=kind))) == expected
    assert InboundMessage.objects.get().outcome == Outcome.REFUSED


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (message(*["NTE|1||x"] * 20_000), "segments"),
        (message("PID|||" + "~".join(["1"] * 20_000)), "repetitions"),
    ],
)
def test_hostile_sizes_are_rejected_with_the_right_control_id(feed, raw, why):
    """AR with a sentence."""
    answer = answer_to(raw)
    kept = InboundMessage.objects.get()
    assert answer.value("MSA-1") == "AR" and why in kept.reason and answer.value("MSA-2") == kept.control_id


def test_a_message_that_is_too_large_is_rejected_from_its_head(feed):
    """MSA-2 is right although the message was not read."""
    answer = receive(Oversized(order(control_id="BIG1")[:300]), "127.0.0.1")
    assert answer is not None and Message.parse(answer).value("MSA-2") == "BIG1" and b"MSA|AR" in answer


@pytest.mark.parametrize("event", [Frame(b"\x00garbage"), Frame(b""), Abandoned(b"MSH|^~\\&|A|B|||1||ADT^A08|77|P")])
def test_what_cannot_be_answered_is_kept(feed, event):
    """No MSH, or only the beginning of a message: there is nobody to answer, but it is there to be seen."""
    assert receive(event, "127.0.0.1") is None
    kept = InboundMessage.objects.get()
    assert kept.outcome == Outcome.UNREADABLE and bytes(kept.raw) == event.payload and kept.reason


def test_nul_in_a_field_reaches_no_column(feed):
    """PostgreSQL takes none: such a message is read without them, not refused for a fault of ours."""
    raw = order("N\x00W", placer="P\x001", obr="X\x00^Y\\X00\\", control_id="N\x001")
    assert answer_to(raw).value("MSA-1") == "AA"
    assert Order.objects.get().placer_order_number == "P1"
    assert answer_to(order("K\x00", control_id="N2")).value("MSA-1") == "AE"


def test_an_unknown_sender_is_rejected(feed):
    """No feed takes it: AR 103, kept without a feed."""
    Feed.objects.update(sending_application="HIS*")
    assert answer_to(order(sender="HIS2|X")).value("MSA-1") == "AA"
    assert verdict(answer_to(order(sender="LAB|X"))) == ("AR", "103", "MSH^1^3")
    assert InboundMessage.objects.get(sending_application="LAB").feed is None


def test_a_sender_from_another_network_is_rejected(feed):
    """The demo feed takes messages from loopback only."""
    assert verdict(answer_to(order(), peer="192.0.2.7")) == ("AR", "103", "MSH^1^3")
    assert answer_to(order(), peer="::1").value("MSA-1") == "AA"


def test_the_feed_that_names_the_sender_is_preferred(feed):
    """With its own defaults."""
    Feed.objects.create(name="EAST", sending_application="EAST", default_assigning_authority="EASTMPI")
    answer_to(message("PID|||7", "ORC|NW|P1", "OBR|1|P1||X", sender="EAST|"))
    assert Patient.objects.get().issuer_of_patient_id == "EASTMPI"


def test_an_overlong_header_is_rejected_not_cut(feed):
    """A control ID is never cut: the cut one might be another message's."""
    answer = answer_to(order(control_id="9" * 300))
    assert answer.value("MSA-1") == "AR" and answer.value("MSA-2") == "9" * 300


def test_a_fault_of_ours_keeps_the_message_and_is_not_final(feed, monkeypatch):
    """AE 207; the effect is gone; once mended, the same message is carried out."""
    raw = order()

    def fail(*_args: object) -> None:
        Patient.objects.create(patient_id="HALF")
        raise ZeroDivisionError("Sample^Grace")

    with monkeypatch.context() as patch:
        patch.setitem(receiving.HANDLERS, ("ORM", "O01"), fail)
        assert verdict(answer_to(raw)) == ("AE", "207", None)
    kept = InboundMessage.objects.get()
    assert kept.outcome == Outcome.ERROR and "ZeroDivisionError" in kept.reason and "Grace" not in kept.reason
    assert not Patient.objects.exists()
    assert answer_to(raw).value("MSA-1") == "AA"


@pytest.mark.django_db(transaction=True)
def test_without_database_there_is_no_answer(feed):
    """Never AA, never AR: the error goes to the listener, which closes; afterwards the message is carried out."""
    raw = order()

    def away(execute, sql, *rest):
        if sql.startswith('INSERT INTO "hl7_inboundmessage"'):
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, *rest)

    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        receive(Frame(raw), "127.0.0.1")
    assert not InboundMessage.objects.exists()
    assert answer_to(raw).value("MSA-1") == "AA"


class Deadlock(Exception):
    """What psycopg says of the transaction that PostgreSQL ends to let another one go on."""

    sqlstate = "40P01"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", [IntegrityError, OperationalError])
def test_who_lost_a_race_goes_again_and_the_sender_does_not_hear_of_it(feed, fault):
    """Another transaction wrote the same row in this instant, or both waited for each other: no AE, no closed
    connection, but the effect, once."""
    answer_to(order())
    faults = [fault() for _each_way_of_carrying_out in range(2)]

    def racing(execute, sql, *rest):
        if sql.startswith('INSERT INTO "ris_patientidentifier"') and faults:
            raise faults.pop() from Deadlock()
        return execute(sql, *rest)

    merge = message("EVN|A40", "PID|||GRACE1^^^ADT^MR||Sample^Grace", "MRG|UNKNOWN^^^ADT^MR", kind="ADT^A40")
    with connection.execute_wrapper(racing):
        assert answer_to(merge).value("MSA-1") == "AA"
    assert not faults and PatientIdentifier.objects.filter(value="UNKNOWN", is_retired=True).count() == 1
    assert WorkflowEvent.objects.filter(verb="merge").count() == 1
    assert InboundMessage.objects.filter(outcome=Outcome.ACCEPTED).count() == InboundMessage.objects.count() == 2


def test_no_patient_data_in_the_log(feed, caplog):
    """Feed, control ID, type, outcome and time; whatever happens."""
    with caplog.at_level(logging.DEBUG):
        for raw in (order(control_id="L1"), order("KN"), order(patient="X9"), b"garbage Sample^Grace"):
            receive(Frame(raw), "127.0.0.1")
    assert "feed HIS, MSH-10 L1, ORM^O01, ACCEPTED" in caplog.text
    assert not any(word in caplog.text for word in ("Sample", "GRACE1", "19800229"))
