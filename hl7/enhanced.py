"""Which acknowledgments a sender is given (HL7 v2.5.1 2.9.2, 2.9.3): original mode, or enhanced mode where asked for.

In enhanced mode MSH-15 asks for the accept acknowledgment (CA, CR: is the message safe with us?) and MSH-16 for the
application acknowledgment (AA, AE, AR: what became of it?). Both are given after the message was kept and carried out,
the accept acknowledgment first; of a message that was not accepted nothing more is said. A type, event, processing ID
or version that is not taken is CR; whatever else is wrong with the message as such, above all with its MSH, is CE.
"""

from hl7 import ack
from hl7.er7 import Message
from hl7.header import Header
from hl7.models import Feed, InboundMessage

_ACCEPTED = InboundMessage.Outcome.ACCEPTED
#: Conditions of table 0357 that are a commit reject: type, event, processing ID and version.
_NOT_TAKEN = ("200", "201", "202", "203")
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
    verdict = _accept(kept, answer)
    is_safe = verdict.code == "CA"
    is_good = kept.outcome == InboundMessage.Outcome.ACCEPTED
    accept = ack.build(header, verdict, "latin-1")
    wanted = [accept] if is_safe in _WANTED.get(header[15].upper(), ()) else []
    if (is_safe or not wanted) and is_good in _WANTED.get(header[16].upper(), ()):
        wanted.append(answer)
    return wanted


def _accept(kept: InboundMessage, answer: bytes) -> ack.Verdict:
    """CA for what was carried out or refused for what it says; CE and CR with the condition of the answer."""
    told = Message.parse(answer, "latin-1")
    condition = (told.value("ERR-3.1") or told.value("ERR-1.4.1") or "0") if kept.outcome != _ACCEPTED else "0"
    if condition in _NOT_TAKEN:
        return ack.Verdict("CR", kept.reason, condition, _location(told))
    if kept.is_original or kept.outcome == InboundMessage.Outcome.ERROR:
        return ack.Verdict("CA")
    return ack.Verdict("CE", kept.reason, condition, _location(told))


def _location(told: Message) -> str:
    """ERR-2, or what it was before v2.5."""
    return told.value("ERR-2") or "^".join(told.value(f"ERR-1.{number}") or "" for number in (1, 2, 3)).rstrip("^")
