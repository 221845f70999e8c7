"""What a destination answers to a message: was it taken, and which number did the placer give (ORR^O02, ORG^O20)?"""

from hl7.er7 import Message
from hl7.header import Er7Error
from hl7.models import OutboundMessage
from ris.inputs import Identifier

_POSITIVE = ("AA", "CA")
_ERROR = ("AE", "CE")
_REJECT = ("AR", "CR")
#: ORC-1 of an answer that does not take the order although the message was taken (table 0119).
_UNABLE = ("UA", "UC", "UD", "UF", "UH", "UM", "UR", "UX")
_NUMBER_LENGTH, _ISSUER_LENGTH = 64, 128


class Refused(Exception):
    """The destination answered, but not that it took this message. The sentence says why."""

    is_reject = False


class Rejected(Refused):
    """AR or CR: not taken as such."""

    is_reject = True


class Unable(Refused):
    """The message was taken, the order was not: offering it again says nothing new."""


def read(message: OutboundMessage) -> Message:
    """The answer, if it is a positive acknowledgment of this very message; Refused otherwise."""
    try:
        answer = Message.parse(bytes(message.answer))
    except Er7Error as error:
        raise Refused(f"The answer cannot be read: {error}") from error
    code = (answer.value("MSA-1") or "").upper()
    if answer.value("MSA-2") != message.control_id:
        raise Refused("MSA-2 of the answer is not the MSH-10 of the message")
    if code in _ERROR + _REJECT:
        kind = Rejected if code in _REJECT else Refused
        raise kind(f"{code}: {answer.value('MSA-3') or answer.value('ERR-8') or 'no reason given'}")
    if code not in _POSITIVE:
        raise Refused("MSA-1 of the answer is not an acknowledgment code")
    control = (answer.value("ORC-1") or "").upper()
    if control in _UNABLE:
        raise Unable(f"{control}: {answer.value('MSA-3') or answer.value('ERR-8') or 'the order was not accepted'}")
    return answer


def placer_order_number(answer: Message) -> Identifier:
    """The number that the placer assigned (ORC-1 NA), empty if the answer gives none. Without a namespace it is of who
    answered, as in messages that it sends. Unable if it is longer than an order number can be."""
    if (answer.value("ORC-1") or "").upper() != "NA" or not answer.value("ORC-2.1"):
        return Identifier()
    sender = "|".join(answer.header.text(number, answer.codec) for number in (3, 4))
    number = Identifier(answer.value("ORC-2.1") or "", answer.value("ORC-2.2") or sender)
    if len(number.value) > _NUMBER_LENGTH or len(number.issuer) > _ISSUER_LENGTH:
        raise Unable("NA: the placer order number in ORC-2 is too long")
    return number
