"""What becomes of refused messages, what a person does about them, and the placer's number, on real sockets."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from hl7 import ack, outbox
from hl7.destinations import Kind, OnRefusal, Structure
from hl7.emulator import His
from hl7.models import Destination, OutboundMessage
from hl7.publish import publish
from ris.inputs import Identifier, OrderKey
from ris.models import Order, Room, WorkflowEvent
from ris.services import orders, patients, scheduling
from tests import making
from tests.hl7.sending import TRIES, State, count, destination, sending, taken
from tests.postgres import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
ALL = tuple(Kind)


def ordered(number: str) -> Order:
    return making.placed(number)


def canceled(number: str) -> Order:
    return orders.cancel(OrderKey(sender="HIS|SUNVIEW", placer_order_number=Identifier(number, "HIS")), making.HIS)


def born_here(desk) -> Order:
    request = making.order_request(
        "", sender="DESK", placer_order_number=Identifier(), filler_order_number=Identifier("F1", "SUNVIEW")
    )
    return orders.place(request, desk)


def refusing(code: str, number: str = "1"):
    """A verdict that refuses what is about one order."""
    no = ack.Verdict(code, "no such order", "204")
    return lambda told: no if told.placer_order_number == number else ack.accepted()


def heard(his: His) -> list[tuple[str, str]]:
    return [(told.placer_order_number, told.order_status) for told in his.received]


@pytest.mark.parametrize(("code", "rule"), [("AE", "on_error"), ("AR", "on_reject"), ("CE", "on_error")])
def test_what_follows_a_parked_message_waits_if_it_is_of_the_same_order(feed, code, rule):
    """Other orders go on; sent again by hand, both come in their order with the MSH-10 that they had."""
    his = His(("", 0))
    his.verdict = refusing(code)
    with his.listening() as server:
        other = {"on_error": OnRefusal.REPEAT, "on_reject": OnRefusal.REPEAT, rule: OnRefusal.PARK}
        destination(server.address, **other)
        with sending():
            for number in "12":
                ordered(number)
            canceled("1")
            canceled("2")
            wait_until(lambda: taken() == 2 and count(State.FAILED) == 1)
            parked = OutboundMessage.objects.get(state=State.FAILED)
            assert heard(his) == [("2", "SC"), ("2", "CA")]
            assert parked.refusals == TRIES and "no such order" in parked.last_error
            assert count(State.WAITING) == 1 == outbox.held_up(parked)
            his.verdict = lambda told: ack.accepted()
            assert outbox.resend(parked.pk, "ada").handled_by == "ada"
            wait_until(lambda: taken() == 4)
    assert heard(his)[2:] == [("1", "SC"), ("1", "CA")]
    assert his.received[2].control_id == parked.control_id


def test_a_parked_message_that_is_given_up_lets_the_rest_go(feed):
    """And may still be sent later, but not once what followed it was taken."""
    his = His(("", 0))
    his.verdict = lambda told: ack.Verdict("AE", "no", "204") if told.order_status == "SC" else ack.accepted()
    with his.listening() as server:
        destination(server.address)
        with sending():
            ordered("1")
            canceled("1")
            wait_until(lambda: count(State.FAILED) == 1)
            parked = OutboundMessage.objects.get(state=State.FAILED)
            outbox.give_up(parked.pk, "ada")
            wait_until(lambda: taken() == 1)
    assert heard(his) == [("1", "CA")]
    with pytest.raises(outbox.CannotResend, match="later"):
        outbox.resend(parked.pk, "ada")
    with pytest.raises(outbox.CannotResend, match="parked"):
        outbox.give_up(parked.pk, "ada")
    with pytest.raises(outbox.CannotResend, match="not here"):
        outbox.resend(0, "ada")


def test_what_was_taken_can_be_sent_again(feed):
    """The receiver lost it: the same bytes."""
    his = His(("", 0))
    with his.listening() as server:
        destination(server.address)
        with sending():
            ordered("1")
            wait_until(lambda: taken() == 1)
            message = OutboundMessage.objects.get()
            outbox.resend(message.pk, "ada")
            wait_until(lambda: taken() == 1 and len(his.received) == 2)
    assert his.received[0].text == his.received[1].text


@pytest.mark.parametrize(("code", "rule"), [("AE", "on_error"), ("AR", "on_reject")])
def test_a_destination_stops_until_a_person_looks(feed, code, rule):
    """Nothing goes on, other destinations do; resumed, it begins with the message at which it stopped."""
    his, other = His(("", 0)), His(("", 0))
    his.verdict = refusing(code)
    with his.listening() as server, other.listening() as second:
        stopping = destination(server.address, **{rule: OnRefusal.STOP})
        destination(second.address, "OTHER")
        with sending():
            for number in "12":
                ordered(number)
            wait_until(lambda: Destination.objects.filter(stopped_at__isnull=False).exists() and taken() == 2)
            stopping.refresh_from_db()
            assert "no such order" in stopping.stopped_because and his.received == []
            assert count(State.FAILED) == 0 and count(State.WAITING) == 2
            his.verdict = lambda told: ack.accepted()
            outbox.resume(stopping.pk)
            wait_until(lambda: taken() == 4)
    assert [number for number, _status in heard(his)] == ["1", "2"]


def test_a_destination_may_be_asked_for_ever(feed):
    """Refused more often than tries, never parked, and nothing overtakes."""
    his = His(("", 0))
    his.verdict = refusing("AR")
    with his.listening() as server:
        destination(server.address, on_reject=OnRefusal.REPEAT)
        with sending():
            for number in "12":
                ordered(number)
            wait_until(lambda: OutboundMessage.objects.filter(refusals__gt=2 * TRIES).exists())
            assert his.received == []
            his.verdict = lambda told: ack.accepted()
            wait_until(lambda: taken() == 2)
    assert [number for number, _status in heard(his)] == ["1", "2"]


def test_trouble_with_the_connection_is_never_a_refusal(feed):
    """Also where a refusal would park at once."""
    destination(("127.0.0.1", free_port()), tries=1)
    ordered("1")
    with sending():
        wait_until(lambda: OutboundMessage.objects.filter(attempts__gt=TRIES).exists())
    message = OutboundMessage.objects.get()
    assert message.state == State.WAITING and message.refusals == 0 and "Connection refused" in message.last_error


@pytest.mark.parametrize("structure", [Structure.ORM, Structure.OMG])
def test_the_placer_gives_an_order_of_ours_its_number(feed, desk, structure):
    """SN is answered with ORR (ORG) and NA: the number is kept, and later messages carry it."""
    his = His(("", 0))
    with his.listening() as server:
        to = destination(server.address, kinds=(Kind.FILLER_ORDER, Kind.ORDER_STATUS))
        to.subscriptions.filter(kind=Kind.FILLER_ORDER).update(structure=structure)
        with sending():
            order = born_here(desk)
            wait_until(lambda: Order.objects.exclude(placer_order_number="").exists())
            orders.cancel_exam(order.procedures.get().pk, desk, "no")
            wait_until(lambda: his.wait_for(lambda told: told.order_control == "OC", 0.1))
    order.refresh_from_db()
    assert (order.placer_order_number, order.placer_issuer) == ("HF1", "|")
    assert his.received[-1].placer_order_number == "HF1" and his.received[0].placer_order_number == ""


def test_an_order_of_ours_that_is_not_accepted_is_shown(feed, desk):
    """UA under an AA: parked at once, whatever the rule."""
    his = His(("", 0))
    his.assign = lambda told: ""
    with his.listening() as server:
        destination(server.address, kinds=(Kind.FILLER_ORDER,), on_error=OnRefusal.REPEAT)
        with sending():
            born_here(desk)
            wait_until(lambda: count(State.FAILED) == 1)
    assert OutboundMessage.objects.get().last_error.startswith("UA") and Order.objects.get().placer_order_number == ""


def test_a_number_that_another_order_has_is_shown(feed, desk):
    """The order stays without a number, and the message is parked with the reason."""
    his = His(("", 0))
    his.assign = lambda told: "4711^HIS"
    with his.listening() as server:
        ordered("4711")
        publish()
        destination(server.address, kinds=(Kind.FILLER_ORDER,))
        with sending():
            order = born_here(desk)
            wait_until(lambda: count(State.FAILED) == 1)
    order.refresh_from_db()
    assert OutboundMessage.objects.get().last_error.startswith("NA: ") and order.placer_order_number == ""


def test_each_kind_is_received(feed, desk):
    """A destination that wants everything hears of an order from its birth to its cancellation, in order."""
    his = His(("", 0))
    with his.listening() as server:
        destination(server.address, kinds=ALL)
        with sending():
            order = born_here(desk)
            room = Room.objects.get(stations__ae_title="CT1").pk
            start = making.NINE + timedelta(hours=1)
            scheduling.book(making.only_step(order).pk, room_pk=room, start=start, actor=desk)
            assert his.wait_for(lambda told: told.order_control == "XO")
            orders.cancel_exam(order.procedures.get().pk, desk, "no")
            patients.merge(making.GRACE, Identifier("OLD", "SUNVIEW"), making.HIS)
            wait_until(lambda: not WorkflowEvent.objects.filter(published_at=None).exists())
            wait_until(lambda: OutboundMessage.objects.count() == taken() == len(his.received))
    assert [told.summary.replace(order.accession_number, "A") for told in his.received if told.event == "SIU^S15"]
    assert {told.event for told in his.received} >= {"ADT^A08", "ADT^A40", "ORM^O01", "SIU^S12", "SIU^S13", "SIU^S15"}
    controls = [told.order_control for told in his.received if told.event == "ORM^O01"]
    assert controls[0] == "SN" and set(controls) == {"SN", "SC", "NW", "XO", "OC", "CA"}


def test_a_destination_added_later_is_not_told_the_past(feed):
    """Only what happens from then on."""
    ordered("1")
    publish()
    his = His(("", 0))
    with his.listening() as server:
        destination(server.address)
        with sending():
            ordered("2")
            wait_until(lambda: taken() == 1)
    assert [number for number, _status in heard(his)] == ["2"]


def database_url() -> str:
    """The test's own database, for another process."""
    place = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{place['NAME']}"
    return f"postgres://{place['USER']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"


def sender_process() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "DATABASE_URL": database_url()}
    return subprocess.Popen(
        [sys.executable, "manage.py", "hl7_sender"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )


def test_two_processes_never_double_or_reorder(feed):
    """Real ones, one is killed while they send: each message once (by MSH-10), each order in its order."""
    his = His(("", 0))
    with his.listening() as server:
        destination(server.address)
        processes = [sender_process(), sender_process()]
        try:
            for number in range(12):
                ordered(str(number))
            wait_until(lambda: len(his.received) > 3, 30)
            processes[0].send_signal(signal.SIGKILL)
            for number in range(12):
                canceled(str(number))
            wait_until(lambda: taken() == 24, 60)
        finally:
            for process in processes:
                process.terminate()
                process.wait(20)
    lines: dict[str, list[str]] = defaultdict(list)
    for told in {told.control_id: told for told in his.received}.values():
        lines[told.placer_order_number].append(told.order_status)
    assert len(lines) == 12 and all(line == ["SC", "CA"] for line in lines.values())
    assert len(his.received) <= 25  # the one that was in flight may have been sent again
