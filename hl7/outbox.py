"""What a person does with the outbox: send again, give up, and let a stopped destination go on."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from hl7.models import Destination, OutboundMessage
from ris.errors import Refusal

_State = OutboundMessage.State


class CannotResend(Refusal):
    """This message cannot be sent again, or given up; the sentence says why."""


@transaction.atomic
def resend(message_pk: int, who: str) -> OutboundMessage:
    """Offer a parked, given up or taken message again: the same bytes with the same MSH-10, before all that follow it.

    CannotResend if it waits already, could not be built, or if a later message of its order was taken since: it would
    set the receiver back.
    """
    message = _lock(message_pk)
    if message.state == _State.WAITING:
        raise CannotResend("The message waits to be sent already")
    if message.state == _State.UNBUILT:
        raise CannotResend("The message could not be built: there is nothing to send")
    if _later(message).filter(state=_State.TAKEN).exists():
        raise CannotResend("A later message of the same order was taken since")
    message.state, message.refusals, message.next_attempt_at = _State.WAITING, 0, None
    message.handled_by = who[:150]
    message.save(update_fields=["state", "refusals", "next_attempt_at", "handled_by"])
    return message


@transaction.atomic
def give_up(message_pk: int, who: str) -> OutboundMessage:
    """Leave a parked message unsent, so that those of its order behind it go on; CannotResend if it is not parked."""
    message = _lock(message_pk)
    if message.state != _State.FAILED:
        raise CannotResend("Only a parked message can be given up")
    message.state, message.handled_by = _State.GIVEN_UP, who[:150]
    message.save(update_fields=["state", "handled_by"])
    return message


def stop(destination_pk: int, who: str) -> None:
    """Send nothing more to this destination until it is resumed; its messages wait in their order."""
    going = Destination.objects.filter(pk=destination_pk, stopped_at=None)
    going.update(stopped_at=timezone.now(), stopped_because=f"by {who}"[:250])


@transaction.atomic
def resume(destination_pk: int) -> None:
    """Let a stopped destination go on with the message at which it stopped."""
    Destination.objects.filter(pk=destination_pk).update(stopped_at=None, stopped_because="")
    waiting = OutboundMessage.objects.filter(destination=destination_pk, state=_State.WAITING)
    waiting.filter(refusals__gt=0).update(refusals=0, next_attempt_at=None)


def held_up(message: OutboundMessage) -> int:
    """How many messages of the same order wait behind a parked one."""
    return _later(message).filter(state=_State.WAITING).count() if message.state == _State.FAILED else 0


def _later(message: OutboundMessage) -> QuerySet[OutboundMessage]:
    return OutboundMessage.objects.filter(destination=message.destination_id, line=message.line, pk__gt=message.pk)


def _lock(message_pk: int) -> OutboundMessage:
    found = OutboundMessage.objects.select_for_update(of=("self",)).filter(pk=message_pk).first()
    if found is None:
        raise CannotResend("This message is not here")
    return found
