"""Events become messages once: into the outbox of each destination that is subscribed to what they mean."""

import logging
import uuid
from collections.abc import Iterator

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from hl7 import outbound
from hl7.destinations import Destination, Kind, OutboundMessage, Subscription
from ris.models import WorkflowEvent

logger = logging.getLogger(__name__)

#: Events that are published in one transaction.
BATCH = 50


def publish() -> int:
    """Turn the next unpublished events into messages; the number of events.

    Messages are built before the transaction begins: building takes hl7apy milliseconds, and nobody who writes should
    wait for that.
    """
    events = list(
        _unpublished()
        .order_by("id")
        .select_related(
            "patient",
            "retired_identifier",
            "requested_procedure__order__patient",
            "requested_procedure__order__visit",
            "step__room",
        )[:BATCH]
    )
    if not events:
        return 0
    subscriptions = list(Subscription.objects.filter(destination__is_active=True).select_related("destination"))
    return _put(events, [message for event in events for message in _messages(event, subscriptions)])


def _unpublished() -> QuerySet[WorkflowEvent]:
    return WorkflowEvent.objects.filter(published_at__isnull=True)


@transaction.atomic
def _put(events: list[WorkflowEvent], messages: list[OutboundMessage]) -> int:
    """The destinations' rows are the lock: of several publishers one works, the next finds those events published."""
    list(Destination.objects.select_for_update().order_by("pk"))
    mine = _unpublished().filter(pk__in=[event.pk for event in events])
    keys = set(mine.values_list("pk", flat=True))
    OutboundMessage.objects.bulk_create([message for message in messages if message.event_id in keys])
    mine.update(published_at=timezone.now())
    return len(events)


def _messages(event: WorkflowEvent, subscriptions: list[Subscription]) -> Iterator[OutboundMessage]:
    if event.step and event.requested_procedure:
        event.step.requested_procedure = event.requested_procedure  # what was loaded with it
    for subscription in subscriptions:
        message = OutboundMessage(
            destination=subscription.destination,
            event=event,
            kind=subscription.kind,
            line=outbound.line(event),
            control_id=uuid.uuid4().hex[:20],
            payload=b"",
        )
        if _fill(message, subscription):
            yield message


def _fill(message: OutboundMessage, subscription: Subscription) -> bool:
    """Whether the event is told to this subscriber; a message that cannot be built is shown and stops nothing."""
    event = message.event
    try:
        told = outbound.trigger(Kind(subscription.kind), event)
        if told:
            message.payload = outbound.build(event, told, subscription, message.control_id)
        return bool(told)
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one message, all others must go on
        message.state, message.last_error = OutboundMessage.State.UNBUILT, f"Not built: {type(error).__name__}"
        logger.error("HL7 out: event %s cannot be told as %s: %s", event.pk, subscription, type(error).__name__)
        return True
