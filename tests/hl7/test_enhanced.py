"""Which acknowledgments are given: original mode, and enhanced mode by MSH-15 and MSH-16."""

import pytest

from hl7.er7 import Message
from hl7.exchange import receive
from hl7.framing import END, START, Frame, Oversized
from hl7.models import Feed
from tests.hl7.conftest import order, verdict

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


#: Word of MSH-15 or MSH-16 -> whether it asks to hear of the good and of the bad (table 0155).
WANTS = {"AL": (True, True), "NE": (False, False), "ER": (False, True), "SU": (True, False), "": (False, False)}
#: What comes -> the accept acknowledgment and the application's.
CAME = {
    "good": ({}, "CA", "AA"),
    "refused": ({"control": "ZZ"}, "CA", "AE"),
    "type not taken": ({"kind": "QRY^A19"}, "CR", "AR"),
    "event not taken": ({"kind": "ORM^O99"}, "CR", "AR"),
    "version not taken": ({"version": "2.9"}, "CR", "AR"),
    "overlong MSH-3": ({"sender": "X" * 200 + "|WARD"}, "CE", "AR"),
}


@pytest.mark.parametrize("application", WANTS)
@pytest.mark.parametrize("accept", WANTS)
@pytest.mark.parametrize("came", CAME)
def test_118_enhanced_mode_as_asked(feed, came, accept, application):
    """Row 118: CA, CE or CR and the application's own, each if it is asked for; of what is not accepted only one."""
    feed.ack_mode, feed.mapping = Feed.AckMode.ENHANCED, {"policies": {"unknown_version": "refuse"}}
    feed.save()
    parts, safe, told = CAME[came]
    expected = [safe] if WANTS[accept][safe != "CA"] else []
    if WANTS[application][told != "AA"] and (safe == "CA" or not expected):
        expected.append(told)
    if not (accept or application):
        expected = [told]
    assert codes(asking(accept, application, **parts)) == expected


def test_what_is_wrong_with_msh_is_a_commit_error(feed):
    """CE with the field: a control ID used before for another content, and an empty one where the feed refuses it."""
    feed.ack_mode, feed.mapping = Feed.AckMode.ENHANCED, {"policies": {"empty_control_id": "refuse"}}
    feed.save()
    assert codes(asking("AL", "AL")) == ["CA", "AA"]
    assert codes(asking("AL", "AL", placer="P2")) == ["CE"]
    answer = receive(Frame(asking("AL", "AL").replace(b"|E1|", b"||")), "127.0.0.1")
    assert answer is not None and verdict(Message.parse(answer)) == ("CE", "101", "MSH^1^10")
    old = receive(Frame(asking("AL", "AL", version="2.3").replace(b"|E1|", b"||")), "127.0.0.1")
    assert old is not None and Message.parse(old).value("ERR-1") == "MSH^1^10^101&Required field missing&HL70357"


def test_what_is_too_large_is_a_commit_error(feed):
    """The feed's own way of answering holds for it too."""
    Feed.objects.update(ack_mode=Feed.AckMode.ENHANCED)
    answer = receive(Oversized(asking("AL", "NE")[:300]), "127.0.0.1")
    assert answer is not None and Message.parse(answer).value("MSA-1") == "CE"
    assert receive(Oversized(asking("NE", "NE")[:300]), "127.0.0.1") == b""


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
