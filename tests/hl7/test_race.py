"""The same message on several connections at the same instant."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hl7.emulator import His
from hl7.models import InboundMessage
from ris.models import Order, Patient, WorkflowEvent
from tests.hl7.conftest import order

pytestmark = pytest.mark.django_db(transaction=True)


def send_at_once(addresses: list[tuple[str, int]], raws: list[bytes]) -> list[str]:
    """Each message on its own connection, all let go together; the answers."""
    barrier = threading.Barrier(len(raws))

    def send(number: int) -> str:
        barrier.wait()
        return His(addresses[number % len(addresses)], timeout=60).send(raws[number]).text

    with ThreadPoolExecutor(len(raws)) as pool:
        return list(pool.map(send, range(len(raws))))


def test_a_message_that_comes_many_times_at_once_acts_once(listener):
    """Two listeners, eight connections: one effect, and every one gets the same answer."""
    addresses = [listener().address, listener().address]
    for number in range(5):
        raw = order(placer=f"P{number}")
        assert len(set(send_at_once(addresses, [raw] * 8))) == 1
    assert Order.objects.count() == InboundMessage.objects.count() == 5
    assert WorkflowEvent.objects.filter(verb="schedule").count() == 5


def test_one_control_id_with_two_contents_at_once(listener):
    """One of them is carried out; all others are told so."""
    raws = [order(placer=f"P{number}", control_id="SAME") for number in range(6)]
    answers = send_at_once([listener().address], raws)
    assert sorted("MSA|AA" in answer for answer in answers) == [False] * 5 + [True]
    assert Order.objects.count() == 1


def test_orders_for_one_new_patient_at_once(listener):
    """All are taken, for one patient."""
    raws = [order(placer=f"P{number}") for number in range(8)]
    answers = send_at_once([listener().address, listener().address], raws)
    assert all("MSA|AA" in answer for answer in answers)
    assert Order.objects.count() == 8 and Patient.objects.count() == 1
