"""By what a message is found in the inbox: the order or patient it touched, else the numbers that it names."""

from hl7.er7 import Message
from hl7.models import HEADER_LENGTH, InboundMessage, Mention

#: Numbers of one kind that are kept of one message.
_KEPT = 50


def keep(kept: InboundMessage, message: Message | None, *, touched_order: bool) -> None:
    """Keep the numbers of an order or patient that this message names but did not touch. Kept rows cost a statement:
    a message that was carried out needs none.
    """
    numbers = {
        Mention.Kind.ORDER: [] if touched_order else kept.order_numbers.splitlines(),
        Mention.Kind.PATIENT: patient_numbers(message) if message and kept.patient_id is None else [],
    }
    mentions = [
        Mention(message=kept, kind=kind, value=value[:HEADER_LENGTH])
        for kind, values in numbers.items()
        for value in list(dict.fromkeys(values))[:_KEPT]
    ]
    if mentions:
        Mention.objects.bulk_create(mentions)


def patient_numbers(message: Message) -> list[str]:
    """The identifiers of PID-2, PID-3 and PID-4, whatever their authority."""
    pid = message["PID"]
    if pid is None:
        return []
    found = [pid.part(repetition, 1) for number in (3, 2, 4) for repetition in pid.repetitions(number)]
    return [value for value in found if value]
