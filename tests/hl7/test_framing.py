"""MLLP framing on bytes: every odd frame, in any cut."""

from hypothesis import given
from hypothesis import strategies as st

from hl7.framing import HEAD_BYTES, Abandoned, Deframer, Frame, Oversized, frame


def feed_all(data: bytes, *cuts: int, size_limit: int = 1000) -> list:
    deframer, events, begin = Deframer(size_limit), [], 0
    for cut in [*sorted(cuts), len(data)]:
        events += deframer.feed(data[begin:cut])
        begin = max(begin, cut)
    return events


def test_a_message_comes_out_as_it_went_in():
    """A framed message is given back byte for byte."""
    assert feed_all(frame(b"MSH|one\rPID\r")) == [Frame(b"MSH|one\rPID\r")]


def test_several_messages_in_one_segment_come_in_order():
    """Pipelined messages come out in their order."""
    assert feed_all(frame(b"1") + frame(b"2") + frame(b"3")) == [Frame(b"1"), Frame(b"2"), Frame(b"3")]


def test_the_end_block_is_accepted_without_carriage_return_and_with_more_after_it():
    """FS alone, FS CR LF, NULs and blanks between frames: all are borne, and none is noise."""
    deframer = Deframer()
    events = deframer.feed(b"\x0b1\x1c\x0b2\x1c\r\n\r\n\x00\x00 \x0b3\x1c")
    assert events == [Frame(b"1"), Frame(b"2"), Frame(b"3")]
    assert deframer.noise == 0 and not deframer.is_unfinished


def test_text_before_the_start_block_is_passed_over_and_counted():
    """A log line before the frame (#053) does not hurt, and is counted until a whole message came."""
    deframer = Deframer()
    assert deframer.feed(b"[2007-07-12 14:40]\r") == []
    assert deframer.noise == 18 and deframer.is_unfinished
    assert deframer.feed(frame(b"1")) == [Frame(b"1")]
    assert deframer.noise == 0


def test_a_start_block_inside_a_frame_abandons_what_had_begun():
    """The partial message is reported; the new one is read."""
    assert feed_all(b"\x0bMSH|half" + frame(b"whole")) == [Abandoned(b"MSH|half"), Frame(b"whole")]


def test_two_start_blocks_in_a_row_are_one():
    """Nothing was lost between them, so nothing is reported."""
    assert feed_all(b"\x0b\x0b" + frame(b"1")) == [Frame(b"1")]


def test_a_message_beyond_the_limit_gives_its_head_once_and_the_next_is_read():
    """The rest of it is passed over to its end block."""
    big = b"MSH|" + b"x" * (2 * HEAD_BYTES)
    events = feed_all(frame(big) + frame(b"next"), 10, 5000, 12000, size_limit=HEAD_BYTES + 100)
    assert [type(event) for event in events] == [Oversized, Frame]
    assert events[0].head == big[:HEAD_BYTES] and events[1] == Frame(b"next")


def test_an_unfinished_frame_is_known():
    """So that the server can close a connection on which a message does not end."""
    deframer = Deframer()
    deframer.feed(b"\x0bMSH")
    assert deframer.is_unfinished
    deframer.feed(b"\x1c\r")
    assert not deframer.is_unfinished


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_cutting_never_matters(data, cuts):
    """Whatever the bytes are and wherever TCP cuts them, the same messages come out."""
    cuts = [min(cut, len(data)) for cut in cuts]
    assert feed_all(data, *cuts, size_limit=10_000) == feed_all(data, size_limit=10_000)


@given(st.lists(st.binary(max_size=60).filter(lambda text: not set(b"\x0b\x1c") & set(text)), max_size=6))
def test_every_framed_message_comes_out_in_order(payloads):
    """Framing and reading are each other's inverse."""
    wire = b"\r\n\x00".join(frame(payload) for payload in payloads)
    assert feed_all(wire, *range(len(wire))) == [Frame(payload) for payload in payloads]
