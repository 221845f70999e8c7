"""Several messages in one frame (HL7 v2.5.1 2.10.3): in a batch (FHS, BHS, BTS, FTS), or simply one after the other.

Each message is taken for itself, in a transaction of its own. A batch is one frame and gets one frame in answer: a
batch of the acknowledgments in the messages' order, so that a sender which waits for one answer to each frame stays in
step. Messages without batch segments around them are answered each in a frame of its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from hl7.framing import in_frames_of_their_own
from hl7.header import Er7Error

#: Messages of one frame that are taken.
MAX_MESSAGES = 1000

_BEGINS = re.compile(rb"(?:^|(?<=[\r\n]))[ \t]*(?:\xef\xbb\xbf)?(FHS|BHS|MSH|BTS|FTS)(?=([^A-Za-z0-9\s]))")


@dataclass(frozen=True)
class Batch:
    """The messages of one frame, and the FHS and BHS segments around them as Latin-1 texts, if there are any."""

    messages: tuple[bytes, ...]
    headers: tuple[str, ...] = ()

    def answer(self, answers: Sequence[bytes]) -> bytes:
        """What the frame is answered. ``answers`` are the acknowledgments, in order."""
        if not self.headers:
            return in_frames_of_their_own(answers)
        opened = [_answering(text) for text in self.headers]
        closed = [_trailer(text, len(answers)) for text in reversed(self.headers)]
        return b"".join([*opened, *answers, *closed])


def split(raw: bytes) -> Batch | None:
    """The messages of a frame that holds several or a batch; None for the usual frame with one. Er7Error if it has
    more than are taken.
    """
    found = list(_BEGINS.finditer(raw))
    found = [each for each in found if each[2] == found[0][2]]
    names = [each[1] for each in found]
    if not found or (names[0] == b"MSH" and names.count(b"MSH") == 1):
        return None
    ends = [each.start() for each in found[1:]] + [len(raw)]
    pieces = [(each[1], raw[each.start(1) : end]) for each, end in zip(found, ends, strict=True)]
    messages = tuple(piece for name, piece in pieces if name == b"MSH")
    if len(messages) > MAX_MESSAGES:
        raise Er7Error(f"There are more than {MAX_MESSAGES} messages in the frame")
    headers = [piece.splitlines()[0].decode("latin-1") for name, piece in pieces if name in (b"FHS", b"BHS")]
    return Batch(messages, tuple(headers[:2]))


def _answering(header: str) -> bytes:
    """FHS or BHS of the answer: who it was to is who it is from, and field 12 refers to its control ID."""
    sign = header[3]
    fields = [header[:3], sign, *header.split(sign)[1:], *[""] * 12]
    answer = [*fields[5:7], *fields[3:5], timezone.localtime().strftime("%Y%m%d%H%M%S%z"), "", "", "", "", fields[11]]
    return (sign.join([header[:3], fields[2], *answer]).rstrip(sign) + "\r").encode("latin-1")


def _trailer(header: str, count: int) -> bytes:
    """BTS with the number of messages, FTS with that of batches, which is one."""
    name, number = ("BTS", count) if header.startswith("BHS") else ("FTS", 1)
    return f"{name}{header[3]}{number}\r".encode("latin-1")
