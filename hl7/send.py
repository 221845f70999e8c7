"""The senders: each destination gets its messages in order, one in flight, until it takes them."""

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from hl7 import answers
from hl7.answers import Refused, Unable
from hl7.destinations import OnRefusal
from hl7.mllp import Client
from hl7.models import Destination, OutboundMessage
from hl7.publish import BATCH, publish
from ris.errors import Refusal
from ris.inputs import Actor, Identifier, OrderKey
from ris.models import Order
from ris.services import orders

logger = logging.getLogger(__name__)

_State = OutboundMessage.State


@dataclass(frozen=True)
class Policy:
    """Seconds. What becomes of refused messages is the destination's own."""

    poll: float = 0.25
    first_retry: float = 1.0
    longest_retry: float = 60.0
    answer: float = 8.0
    lease: float = 20.0


def due(destination_pk: int) -> QuerySet[OutboundMessage]:
    """The messages that wait, oldest first, without those of an order (or patient) that wait behind a parked one."""
    parked = OutboundMessage.objects.filter(
        destination=destination_pk, state=_State.FAILED, line=OuterRef("line"), pk__lt=OuterRef("pk")
    )
    waiting = OutboundMessage.objects.filter(~Exists(parked), destination=destination_pk, state=_State.WAITING)
    return waiting.order_by("id")


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
        message = due(self.pk).first()
        now = timezone.now()
        if message is None or (message.next_attempt_at and message.next_attempt_at > now) or not self._lease():
            return False
        # The lease may have come from another process that has sent this message in the meantime.
        message = due(self.pk).select_related("destination", "event__order").first()
        return message is not None and self._offer(message)

    def _lease(self) -> bool:
        now = timezone.now()
        free = Q(leased_by=self.name) | Q(leased_until__isnull=True) | Q(leased_until__lt=now)
        until = now + timedelta(seconds=self.policy.lease)
        mine = Destination.objects.filter(free, pk=self.pk, is_active=True, stopped_at=None)
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
            return self._take(message)
        except OSError as error:
            self._hang_up()
            return self._retry(message, f"{type(error).__name__}: {error}")
        except Refused as refused:
            self._hang_up()  # an answer that came too late must not be taken for the next message's
            return self._refused(message, refused)

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

    @transaction.atomic
    def _take(self, message: OutboundMessage) -> bool:
        """Settle a message that was taken, together with the number that its answer gives to our order."""
        answer = answers.read(message)
        number = answers.placer_order_number(answer)
        if number and message.event.order:
            _keep(number, message.event.order, message)
        message.taken_at = timezone.now()
        return self._settle(message, _State.TAKEN, "")

    def _refused(self, message: OutboundMessage, refused: Refused) -> bool:
        """Do what the destination's rule says about a message that it did not take."""
        to = message.destination
        message.refusals += 1
        if isinstance(refused, Unable):
            return self._settle(message, _State.FAILED, str(refused))
        rule = to.on_reject if refused.is_reject else to.on_error
        if rule == OnRefusal.REPEAT or message.refusals < to.tries:
            return self._retry(message, str(refused))
        if rule == OnRefusal.PARK:
            return self._settle(message, _State.FAILED, str(refused))
        self._stop_destination(to, f"MSH-10 {message.control_id}: {refused}")
        return self._retry(message, str(refused))

    @staticmethod
    def _stop_destination(to: Destination, why: str) -> None:
        Destination.objects.filter(pk=to.pk).update(stopped_at=timezone.now(), stopped_because=why[:250])
        logger.error("HL7 out: %s is stopped until a person looks: %s", to, why[:100])

    def _retry(self, message: OutboundMessage, why: str) -> bool:
        pause = min(self.policy.first_retry * 2 ** min(message.attempts - 1, 16), self.policy.longest_retry)
        message.next_attempt_at = timezone.now() + timedelta(seconds=pause)
        return self._settle(message, _State.WAITING, why)

    @staticmethod
    def _settle(message: OutboundMessage, state: str, error: str) -> bool:
        """Only a message that still waits: whoever came back late with a lost lease must not overwrite a verdict."""
        OutboundMessage.objects.filter(pk=message.pk, state=_State.WAITING).update(
            state=state,
            last_error=error[:250],
            attempts=message.attempts,
            refusals=message.refusals,
            answer=message.answer,
            sent_at=message.sent_at,
            taken_at=message.taken_at,
            next_attempt_at=message.next_attempt_at,
        )
        logger.info("HL7 out: %s MSH-10 %s %s %s", message.destination, message.control_id, state, error[:100])
        return state != _State.WAITING


def _keep(number: Identifier, order: Order, message: OutboundMessage) -> None:
    """Give the order the number that its placer assigned; Unable if it cannot have it."""
    ours = Identifier(order.filler_order_number, order.filler_issuer) or Identifier(order.accession_number)
    actor = Actor(kind="HL7", name=message.destination.name, source_message=f"HL7 MSH-10 {message.control_id}")
    try:
        orders.assign_placer_number(OrderKey(sender=order.sender, filler_order_number=ours), number, actor)
    except Refusal as refusal:
        raise Unable(f"NA: {refusal}") from refusal


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
