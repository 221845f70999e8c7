"""Which acknowledgments are given: original mode, and enhanced mode by MSH-15 and MSH-16."""

import pytest

from hl7.er7 import Message
from hl7.exchange import receive
from hl7.framing import END, START, Frame
from hl7.models import Feed
from tests.hl7.conftest import order

pytestmark = pytest.mark.django_db


def asking(accept: str, application: str, control: str = "NW", kind: str = "ORM^O01", **msh: str) -> bytes:
    """An order whose MSH-15 and MSH-16 ask for acknowledgments."""
    head, rest = order(control, kind=kind, control_id="E1", **msh).split(b"\r", 1)
    return head + f"|||{accept}|{application}".encode() + b"\r" + rest


def codes(raw: bytes) -> list[str | None]:
    answer = receive(Frame(raw), "127.0.0.1")
    assert answer is not None
    messages = [Message.parse(part) for part in answer.split(END + b"\r" + START)] if answer else []
    assert all(message.value("MSA-2") == "E1" for message in messages)
    return [message.value("MSA-1") for message in messages]


@pytest.mark.parametrize(
    ("accept", "application", "good", "refused", "rejected"),
    [
        ("AL", "AL", ["CA", "AA"], ["CA", "AE"], ["CR"]),
        ("AL", "NE", ["CA"], ["CA"], ["CR"]),
        ("NE", "AL", ["AA"], ["AE"], ["AR"]),
        ("NE", "NE", [], [], []),
        ("ER", "ER", [], ["AE"], ["CR"]),
        ("SU", "SU", ["CA", "AA"], ["CA"], []),
        ("AL", "", ["CA"], ["CA"], ["CR"]),
        ("", "ER", [], ["AE"], ["AR"]),
        ("", "", ["AA"], ["AE"], ["AR"]),
    ],
)
def test_enhanced_mode_when_requested(feed, accept, application, good, refused, rejected):
    """For an order that is taken, one that is refused and a message of a type that is not taken."""
    Feed.objects.update(ack_mode=Feed.AckMode.ENHANCED)
    assert codes(asking(accept, application)) == good
    feed.messages.all().delete()
    assert codes(asking(accept, application, "ZZ")) == refused
    feed.messages.all().delete()
    assert codes(asking(accept, application, kind="QRY^A19")) == rejected


def test_a_repeat_is_given_the_same_acknowledgments(feed):
    """The accept acknowledgment too."""
    Feed.objects.update(ack_mode=Feed.AckMode.ENHANCED)
    assert codes(asking("AL", "AL")) == codes(asking("AL", "AL")) == ["CA", "AA"]


def test_original_mode_does_not_look_at_them(feed):
    """IHE: MSH-15 and MSH-16 are not used."""
    assert codes(asking("AL", "AL")) == ["AA"]


def test_a_feed_may_be_answered_never(feed):
    """Nothing is answered, and the connection goes on."""
    Feed.objects.update(ack_mode=Feed.AckMode.NEVER)
    assert codes(asking("AL", "AL")) == []
