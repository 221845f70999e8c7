"""Which acknowledgments a sender is given (HL7 v2.5.1 2.9.2, 2.9.3): original mode, or enhanced mode where asked for.

In enhanced mode MSH-15 asks for the accept acknowledgment (CA, CR: is the message safe with us?) and MSH-16 for the
application acknowledgment (AA, AE, AR: what became of it?). Both are given after the message was kept and carried out,
the accept acknowledgment first; of a message that was not accepted nothing more is said.
"""

from hl7 import ack
from hl7.header import Header
from hl7.models import Feed, InboundMessage

_REJECTED = "AR"
#: Table 0155: for which outcome an acknowledgment is wanted. Nothing and unknown words ask for none.
_WANTED = {"AL": (True, False), "SU": (True,), "ER": (False,)}


def acknowledgments(kept: InboundMessage, header: Header) -> list[bytes]:
    """What is sent back for a message that was kept, in order."""
    answer = bytes(kept.answer)
    mode = kept.feed.ack_mode if kept.feed else Feed.AckMode.ORIGINAL
    if mode == Feed.AckMode.NEVER:
        return []
    if mode == Feed.AckMode.ORIGINAL or not (header[15] or header[16]):
        return [answer]
    is_safe = not _is(answer, _REJECTED)
    is_good = kept.outcome == InboundMessage.Outcome.ACCEPTED
    accept = ack.build(header, _verdict(kept, is_safe), "latin-1")
    wanted = [accept] if is_safe in _WANTED.get(header[15].upper(), ()) else []
    if (is_safe or not wanted) and is_good in _WANTED.get(header[16].upper(), ()):
        wanted.append(answer)
    return wanted


def _verdict(kept: InboundMessage, is_safe: bool) -> ack.Verdict:
    return ack.Verdict("CA") if is_safe else ack.Verdict("CR", kept.reason, "207")


def _is(answer: bytes, code: str) -> bool:
    header = Header.find(answer)
    segments = answer.split(b"\r")
    sign = header.separators.field.encode("latin-1") if header else b"|"
    return len(segments) > 1 and segments[1].split(sign)[1:2] == [code.encode()]
