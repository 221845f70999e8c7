"""The outbox on real sockets: published once, in order, the same bytes until AA, refusals parked, nobody held up."""

import threading
from dataclasses import replace

import pytest
from hl7apy.exceptions import HL7apyException

from hl7 import ack, outbound, send
from hl7.emulator import His, Told
from hl7.framing import END, START, Frame
from hl7.header import Header
from hl7.mllp import Server
from hl7.models import OutboundMessage
from hl7.publish import publish
from hl7.send import Sender
from ris.models import WorkflowEvent
from tests.hl7.conftest import answer_to, order
from tests.hl7.sending import QUICK, TRIES, State, destination, sending, taken
from tests.postgres import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_his_is_told_in_order(feed):
    """Three orders and a cancellation, as they happened."""
    his = His(("", 0))
    with his.listening() as server:
        destination(server.address)
        with sending() as outbox:
            for number in range(3):
                answer_to(order(placer=f"P{number}"))
            answer_to(order("CA", placer="P1"))
            wait_until(lambda: taken() == 4)
            assert outbox.is_well()
    assert [(status.placer_order_number, status.order_status) for status in his.received] == [
        ("P0", "SC"),
        ("P1", "SC"),
        ("P2", "SC"),
        ("P1", "CA"),
    ]
    assert not WorkflowEvent.objects.filter(published_at=None).exists()


def test_the_same_bytes_are_sent_again_until_they_are_taken(feed):
    """Nobody listens, then a HIS that closes without an answer, then one that takes it: one MSH-10."""
    port, seen = free_port(), []
    his = His(("", 0))
    destination(("127.0.0.1", port))
    answer_to(order())
    with sending():
        wait_until(lambda: OutboundMessage.objects.filter(attempts__gte=2).exists())

        def drop_twice(told: Told) -> ack.Verdict:
            seen.append(told.text)
            if len(seen) < 3:
                raise ConnectionAbortedError
            return ack.accepted()

        his.verdict = drop_twice
        with his.listening(("127.0.0.1", port)):
            wait_until(lambda: taken() == 1)
    assert len(seen) == 3 and len(set(seen)) == 1 and len(his.received) == 1


def test_a_refused_message_is_parked_after_some_tries_and_the_next_goes_on(feed):
    """A poison message does not block the queue; it is shown with the reason."""
    his = His(("", 0))
    his.verdict = lambda status: (
        ack.Verdict("AE", "we do not know this order", "204") if status.placer_order_number == "P0" else ack.accepted()
    )
    with his.listening() as server:
        destination(server.address)
        with sending():
            answer_to(order(placer="P0"))
            answer_to(order(placer="P1"))
            wait_until(lambda: taken() == 1)
    failed = OutboundMessage.objects.get(state=State.FAILED)
    assert failed.refusals == TRIES and "we do not know this order" in failed.last_error
    assert [status.placer_order_number for status in his.received] == ["P1"]


@pytest.mark.parametrize("answer", [b"MSH|^~\\&|A\rMSA|AA|OTHER\r", b"MSH|^~\\&|A\rMSA||X\r", b"hello"])
def test_an_answer_to_something_else_is_no_acknowledgment(feed, answer):
    """A wrong MSA-2, no MSA-1, or no HL7 at all: offered again, then parked; never taken for AA."""
    with Server(("127.0.0.1", 0), lambda event, peer: answer).in_thread() as server:
        destination(server.address)
        answer_to(order())
        with sending():
            wait_until(lambda: OutboundMessage.objects.filter(state=State.FAILED).exists())
    assert OutboundMessage.objects.get().refusals == TRIES


def test_an_answer_too_many_is_not_taken_for_the_next_message(feed):
    """A HIS that acknowledges everything twice: each message is still taken, none is parked."""

    def twice(event: Frame, peer: str) -> bytes:
        found = Header.find(event.payload)
        assert found is not None
        answer = ack.build(found, ack.accepted(), "utf-8")
        return answer + END + START + answer

    with Server(("127.0.0.1", 0), twice).in_thread() as server:
        destination(server.address)
        for number in range(3):
            answer_to(order(placer=f"P{number}"))
        with sending():
            wait_until(lambda: taken() == 3)
    assert not OutboundMessage.objects.filter(state=State.FAILED).exists()


def test_a_destination_that_is_away_holds_up_nobody_else(feed):
    """Publishing goes on, and so do the other destinations; its own messages wait."""
    his = His(("", 0))
    destination(("127.0.0.1", free_port()), "AWAY")
    with his.listening() as server:
        destination(server.address)
        with sending():
            for number in range(3):
                answer_to(order(placer=f"P{number}"))
            wait_until(lambda: taken() == 3)
    waiting = OutboundMessage.objects.filter(destination__name="AWAY")
    assert waiting.count() == 3 and set(waiting.values_list("state", flat=True)) == {State.WAITING}
    assert "Connection refused" in waiting.order_by("id")[0].last_error


def test_an_event_is_published_once(feed):
    """By several publishers at the same time."""
    destination(("127.0.0.1", 1))
    for number in range(5):
        answer_to(order(placer=f"P{number}"))
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        publish()
        send.connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert OutboundMessage.objects.count() == 5
    assert not WorkflowEvent.objects.filter(published_at=None).exists()


def test_events_are_published_when_there_is_nobody_to_tell(feed):
    """A destination that is added later is not flooded with the past."""
    answer_to(order())
    assert publish() > 0
    assert not OutboundMessage.objects.exists()
    assert publish() == 0


def test_a_message_that_cannot_be_built_does_not_stop_the_others(feed, monkeypatch):
    """It is shown as failed."""
    destination(("127.0.0.1", 1))
    answer_to(order(placer="P0"))

    def fail(*_args: object) -> bytes:
        raise HL7apyException("no")

    with monkeypatch.context() as patch:
        patch.setattr(outbound, "build", fail)
        publish()
    answer_to(order(placer="P1"))
    publish()
    assert list(OutboundMessage.objects.values_list("state", flat=True)) == [State.UNBUILT, State.WAITING]


def test_of_two_senders_one_has_the_lease(feed):
    """The other stands by, and takes over when the lease ran out."""
    his = His(("", 0))
    with his.listening() as server:
        to = destination(server.address)
        answer_to(order(placer="P0"))
        publish()
        brief = replace(QUICK, lease=0.2)
        first, second = Sender(to.pk, brief), Sender(to.pk, brief)
        assert first.send_next()
        answer_to(order(placer="P1"))
        publish()
        assert wait_until(second.send_next)
        for sender in (first, second):
            sender._hang_up()
    assert [status.placer_order_number for status in his.received] == ["P0", "P1"]
