"""The outbox: events become messages once, and each destination gets them in order, one in flight, until it says AA."""

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from hl7apy.exceptions import HL7apyException

from hl7.er7 import Message
from hl7.header import Er7Error
from hl7.mllp import Client
from hl7.models import Destination, OutboundMessage
from hl7.outbound import order_status, status_message
from ris.models import WorkflowEvent

logger = logging.getLogger(__name__)

#: Events that are published in one transaction.
BATCH = 100
_POSITIVE = ("AA", "CA")
_NEGATIVE = ("AE", "AR", "CE", "CR")


@dataclass(frozen=True)
class Policy:
    """Seconds, and how often a message is offered to a destination that refuses it before the next one goes on."""

    poll: float = 0.25
    first_retry: float = 1.0
    longest_retry: float = 60.0
    answer: float = 8.0
    refusals: int = 5
    lease: float = 20.0


class Refused(Exception):
    """The destination answered, but not that it took this message."""


def publish() -> int:
    """Turn the next unpublished events into a message for each active destination; the number of events."""
    unpublished = WorkflowEvent.objects.filter(published_at__isnull=True)
    return _publish(unpublished) if unpublished.exists() else 0


@transaction.atomic
def _publish(unpublished: QuerySet[WorkflowEvent]) -> int:
    """The destinations' rows are the lock: of several publishers one works, the next finds those events published."""
    destinations = list(Destination.objects.select_for_update().order_by("pk"))
    events = list(
        unpublished.order_by("id").select_related(
            "requested_procedure__order__patient", "requested_procedure__order__visit", "step"
        )[:BATCH]
    )
    for event in events:
        status = order_status(event)
        if status:
            for destination in destinations:
                if destination.is_active:
                    _put(event, status, destination)
    published = [event.pk for event in events]
    WorkflowEvent.objects.filter(pk__in=published).update(published_at=timezone.now())
    return len(events)


def _put(event: WorkflowEvent, status: str, destination: Destination) -> None:
    """One message into the outbox; one that cannot be built is shown there and does not stop the others."""
    message = OutboundMessage(destination=destination, event=event, control_id=uuid.uuid4().hex[:20])
    try:
        message.payload = status_message(event, status, destination, message.control_id)
    except HL7apyException as error:
        message.state, message.last_error = OutboundMessage.State.FAILED, f"Not built: {type(error).__name__}"
        logger.error("HL7 out: event %s cannot be told to %s: %s", event.pk, destination, type(error).__name__)
    message.save()


class Sender:
    """Sends the messages of one destination. One process at a time holds its lease; the others stand by."""

    def __init__(self, destination_pk: int, policy: Policy = Policy()) -> None:
        self.pk, self.policy = destination_pk, policy
        self.name = uuid.uuid4().hex
        self._client: Client | None = None
        self._address: tuple[str, int] | None = None

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop``. A database that is away is waited for."""
        try:
            while not stop.is_set():
                stop.wait(self._step())
        finally:
            self._hang_up()
            self._release()
            connection.close()

    def _step(self) -> float:
        """Send what is due; the seconds to wait before the next."""
        try:
            return 0 if self.send_next() else self.policy.poll
        except DatabaseError as error:
            logger.error("HL7 out: destination %s waits for the database: %s", self.pk, type(error).__name__)
            connection.close()
            return self.policy.first_retry

    def send_next(self) -> bool:
        """Offer the oldest waiting message if it is due; whether it was settled."""
        waiting = OutboundMessage.objects.filter(destination=self.pk, state=OutboundMessage.State.WAITING)
        message = waiting.order_by("id").first()
        now = timezone.now()
        if message is None or (message.next_attempt_at and message.next_attempt_at > now) or not self._lease():
            return False
        # The lease may have come from another process that has sent this message in the meantime.
        message = waiting.order_by("id").select_related("destination").first()
        return message is not None and self._offer(message)

    def _lease(self) -> bool:
        now = timezone.now()
        free = Q(leased_by=self.name) | Q(leased_until__isnull=True) | Q(leased_until__lt=now)
        until = now + timedelta(seconds=self.policy.lease)
        mine = Destination.objects.filter(free, pk=self.pk, is_active=True)
        return bool(mine.update(leased_by=self.name, leased_until=until))

    def _release(self) -> None:
        try:
            Destination.objects.filter(pk=self.pk, leased_by=self.name).update(leased_until=None)
        except DatabaseError as error:
            logger.warning("HL7 out: lease of destination %s runs out by itself: %s", self.pk, type(error).__name__)

    def _offer(self, message: OutboundMessage) -> bool:
        message.attempts += 1
        message.sent_at = timezone.now()
        try:
            message.answer = self._exchange(message)
            _check(message)
        except OSError as error:
            self._hang_up()
            return self._retry(message, f"{type(error).__name__}: {error}")
        except Refused as refused:
            self._hang_up()  # an answer that came too late must not be taken for the next message's
            message.refusals += 1
            if message.refusals < self.policy.refusals:
                return self._retry(message, str(refused))
            return self._settle(message, OutboundMessage.State.FAILED, str(refused))
        message.taken_at = timezone.now()
        return self._settle(message, OutboundMessage.State.TAKEN, "")

    def _exchange(self, message: OutboundMessage) -> bytes:
        """The same bytes, whenever they are sent."""
        address = (message.destination.host, message.destination.port)
        if self._client is None or self._address != address:
            self._hang_up()
            self._client, self._address = Client(address, self.policy.answer), address
        return self._client.exchange(bytes(message.payload))

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _retry(self, message: OutboundMessage, why: str) -> bool:
        pause = min(self.policy.first_retry * 2 ** min(message.attempts - 1, 16), self.policy.longest_retry)
        message.next_attempt_at = timezone.now() + timedelta(seconds=pause)
        return self._settle(message, OutboundMessage.State.WAITING, why)

    @staticmethod
    def _settle(message: OutboundMessage, state: str, error: str) -> bool:
        message.state, message.last_error = state, error[:250]
        message.save()
        logger.info("HL7 out: %s MSH-10 %s %s %s", message.destination, message.control_id, state, error[:100])
        return state != OutboundMessage.State.WAITING


def _check(message: OutboundMessage) -> None:
    """Refused unless the answer is a positive acknowledgment of this very message."""
    try:
        answer = Message.parse(bytes(message.answer))
    except Er7Error as error:
        raise Refused(f"The answer cannot be read: {error}") from error
    code = (answer.value("MSA-1") or "").upper()
    if answer.value("MSA-2") != message.control_id:
        raise Refused("MSA-2 of the answer is not the MSH-10 of the message")
    if code in _NEGATIVE:
        raise Refused(f"{code}: {answer.value('MSA-3') or answer.value('ERR-8') or 'no reason given'}")
    if code not in _POSITIVE:
        raise Refused("MSA-1 of the answer is not an acknowledgment code")


class Outbox:
    """Publishes events and keeps a sender thread for each destination, until ``stop``."""

    def __init__(self, stop: threading.Event, policy: Policy = Policy()) -> None:
        self.stop, self.policy = stop, policy
        self._threads: dict[int, threading.Thread] = {}

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self.stop.wait(self._step())
        finally:
            for thread in self._threads.values():
                thread.join(self.policy.answer)
            connection.close()

    def is_well(self) -> bool:
        """Whether every sender is alive."""
        return all(thread.is_alive() for thread in self._threads.values())

    def _step(self) -> float:
        """Publish what is there; the seconds to wait before the next."""
        try:
            self._start_senders()
            return 0 if publish() == BATCH else self.policy.poll
        except DatabaseError as error:
            logger.error("HL7 out: publishing waits for the database: %s", type(error).__name__)
            connection.close()
            return self.policy.first_retry

    def _start_senders(self) -> None:
        """One for each active destination, also for one that is added while we run."""
        for pk in Destination.objects.filter(is_active=True).values_list("pk", flat=True):
            thread = self._threads.get(pk)
            if thread is None or not thread.is_alive():
                self._threads[pk] = self._start(Sender(pk, self.policy).run, f"hl7-out-{pk}")

    def _start(self, target: Callable[[threading.Event], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, args=(self.stop,), name=name, daemon=True)
        thread.start()
        return thread
