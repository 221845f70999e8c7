"""Several messages in one frame: each for itself, and answered in order."""

import pytest

from hl7 import batches
from hl7.batches import Batch
from hl7.er7 import Message
from hl7.exchange import receive
from hl7.framing import END, START, Frame
from hl7.models import InboundMessage
from ris.models import Order
from tests.hl7.conftest import order

pytestmark = pytest.mark.django_db

HEADERS = b"FHS|^~\\&|HIS|WARD|SUNVIEW|RAD|20261122||||FILE7\rBHS|^~\\&|HIS|WARD|SUNVIEW|RAD|20261122||||BATCH7\r"


def taken(raw: bytes) -> bytes:
    answer = receive(Frame(raw), "127.0.0.1")
    assert answer is not None
    return answer


def test_messages_without_batch_segments_are_answered_each_in_a_frame(feed):
    """Two orders, one of them refused: AA and AE in their order, and the good one is there."""
    answer = taken(order(control_id="1") + order("ZZ", control_id="2"))
    first, second = (Message.parse(part) for part in answer.split(END + b"\r" + START))
    assert (first.value("MSA-1"), first.value("MSA-2")) == ("AA", "1")
    assert (second.value("MSA-1"), second.value("MSA-2")) == ("AE", "2")
    assert Order.objects.count() == 1 and InboundMessage.objects.count() == 2


def test_a_batch_is_answered_by_a_batch(feed):
    """One frame: the acknowledgments in order between header and trailer, which refer to what came."""
    two = order(placer="P1", control_id="1") + order(placer="P2", control_id="2")
    lines = taken(HEADERS + two + b"BTS|2\rFTS|1\r").decode().split("\r")
    assert [line[:3] for line in lines] == ["FHS", "BHS", "MSH", "MSA", "MSH", "MSA", "BTS", "FTS", ""]
    assert lines[0].split("|")[2:6] == ["SUNVIEW", "RAD", "HIS", "WARD"] and lines[0].endswith("|FILE7")
    assert lines[1].endswith("|BATCH7") and lines[3] == "MSA|AA|1" and lines[6:8] == ["BTS|2", "FTS|1"]
    assert Order.objects.count() == 2


def test_a_batch_sent_again_changes_nothing(feed):
    """The same answers, from the messages that were kept."""
    raw = HEADERS + order(control_id="1") + order("XO", control_id="2")
    first = taken(raw).split(b"\r")[2:6]
    assert taken(raw).split(b"\r")[2:6] == first
    assert InboundMessage.objects.count() == 2


def test_a_batch_without_messages_cannot_be_answered(feed):
    """It is kept, to be seen."""
    assert receive(Frame(HEADERS + b"BTS|0\r"), "127.0.0.1") is None
    assert InboundMessage.objects.get().reason == "The batch holds no message"


def test_too_many_messages_are_rejected(feed, monkeypatch):
    """AR to the first of them, and nothing is carried out."""
    monkeypatch.setattr(batches, "MAX_MESSAGES", 3)
    answer = Message.parse(taken(b"".join(order(control_id=f"M{n}") for n in range(4))))
    assert (answer.value("MSA-1"), answer.value("MSA-2")) == ("AR", "M0")
    assert not Order.objects.exists()


@pytest.mark.parametrize("raw", [b"", b"MSH", order(), order() + b"\rMSHX|", b"NTE|1||MSH|\r" + order()])
def test_one_message_is_no_batch(raw):
    """Whatever its text looks like."""
    assert batches.split(raw) is None


def test_a_line_that_only_looks_like_a_header_belongs_to_its_message():
    """A text in the message with another separator behind MSH."""
    raw = order() + b"NTE|1||see\nMSH^not a header\r"
    assert batches.split(raw) is None
    both = batches.split(raw + order(control_id="2"))
    assert both == Batch((raw, order(control_id="2")))
