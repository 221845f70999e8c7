"""The MPPS sender: each destination gets what it is told in order, one in flight, until it takes it (IHE RAD-6, 7)."""

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from worklist.destinations import MppsDestination, MppsForward
from worklist.dimse import MPPS, SUCCESS
from worklist.forwarding import dataset_of
from worklist.status import (
    DUPLICATE_SOP_INSTANCE,
    MAY_NO_LONGER_BE_UPDATED,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
)

logger = logging.getLogger(__name__)

_State = MppsForward.State
#: Warnings of PS3.7 annex C: the object was created or changed.
_WARNINGS = (0x0001, 0x0107, 0x0116)
#: What may be otherwise the next time.
_TRANSIENT = (PROCESSING_FAILURE, RESOURCE_LIMITATION)
TRANSFER_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]


@dataclass(frozen=True)
class Policy:
    """Seconds."""

    poll: float = 0.25
    first_retry: float = 1.0
    longest_retry: float = 60.0
    answer: float = 8.0
    lease: float = 20.0


class Unreachable(Exception):
    """The destination accepts no association of ours for MPPS, or gives no answer."""


def due(destination_pk: int) -> QuerySet[MppsForward]:
    """What may be sent now, oldest first: of each MPPS its first that is not settled, if that is not parked."""
    before = MppsForward.objects.filter(
        destination=destination_pk,
        sop_instance_uid=OuterRef("sop_instance_uid"),
        pk__lt=OuterRef("pk"),
        state__in=[_State.WAITING, _State.PARKED],
    )
    now = timezone.now()
    ready = Q(next_attempt_at=None) | Q(next_attempt_at__lte=now)
    waiting = MppsForward.objects.filter(ready, destination=destination_pk, state=_State.WAITING)
    return waiting.filter(~Exists(before)).order_by("id")


class Sender:
    """Sends to one destination. One process at a time holds its lease; the others stand by."""

    def __init__(self, destination_pk: int, policy: Policy = Policy()) -> None:
        self.pk, self.policy = destination_pk, policy
        self.name = uuid.uuid4().hex
        self._failures = 0

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop``. A database that is away is waited for."""
        try:
            while not stop.is_set():
                stop.wait(self._step())
        finally:
            self._release()
            connection.close()

    def _step(self) -> float:
        """Send what is due; the seconds to wait before the next."""
        try:
            if self.send_due():
                return 0
            return self._pause() if self._failures else self.policy.poll
        except DatabaseError as error:
            logger.error("MPPS out: destination %s waits for the database: %s", self.pk, type(error).__name__)
            connection.close()
            return self.policy.first_retry

    def _pause(self) -> float:
        return float(min(self.policy.first_retry * 2 ** min(self._failures - 1, 16), self.policy.longest_retry))

    def send_due(self) -> bool:
        """Send all that is due over one association; whether anything was settled."""
        if not due(self.pk).exists() or not self._lease():
            return False
        destination = MppsDestination.objects.get(pk=self.pk)
        settled = False
        try:
            with self._association(destination) as association:
                # Read after the lease: another process may have sent it in the meantime.
                while (forward := due(self.pk).first()) and self._lease():
                    settled |= self._offer(association, forward, destination)
            self._failures = 0
        except Unreachable as error:
            self._failures += 1
            self._note(str(error))
        return settled

    def _lease(self) -> bool:
        now = timezone.now()
        free = Q(leased_by=self.name) | Q(leased_until__isnull=True) | Q(leased_until__lt=now)
        until = now + timedelta(seconds=self.policy.lease)
        mine = MppsDestination.objects.filter(free, pk=self.pk, is_active=True)
        return bool(mine.update(leased_by=self.name, leased_until=until))

    def _release(self) -> None:
        try:
            MppsDestination.objects.filter(pk=self.pk, leased_by=self.name).update(leased_until=None)
        except DatabaseError as error:
            logger.warning("MPPS out: lease of destination %s runs out by itself: %s", self.pk, type(error).__name__)

    @contextmanager
    def _association(self, destination: MppsDestination) -> Iterator[Association]:
        caller = AE(ae_title=destination.calling_ae_title or settings.AE_TITLE)
        caller.acse_timeout = caller.dimse_timeout = caller.network_timeout = self.policy.answer
        caller.connection_timeout = self.policy.answer
        caller.add_requested_context(MPPS, TRANSFER_SYNTAXES)
        association = caller.associate(destination.host, destination.port, ae_title=destination.ae_title)
        if not association.is_established:
            raise Unreachable("It accepts no association" if association.is_rejected else "It cannot be reached")
        try:
            if not association.accepted_contexts:
                raise Unreachable("It does not accept the MPPS SOP class")
            yield association
        finally:
            association.release()

    def _offer(self, association: Association, forward: MppsForward, to: MppsDestination) -> bool:
        """Send one and settle what it was answered; Unreachable without an answer."""
        sent_before, forward.was_offered = forward.was_offered, True
        forward.attempts += 1
        # Durable before it is on the wire: after a kill the receiver's "I have that" is known for what it is.
        MppsForward.objects.filter(pk=forward.pk).update(was_offered=True, attempts=forward.attempts)
        answer = self._exchange(association, forward)
        if "Status" not in answer:
            raise Unreachable("It gave no answer")
        forward.last_status = int(answer.Status)
        if _is_taken(forward, answer, sent_before):
            forward.sent_at = timezone.now()
            return self._settle(forward, _State.SENT, "")
        return self._refused(forward, to, answer)

    @staticmethod
    def _exchange(association: Association, forward: MppsForward) -> Dataset:
        send = association.send_n_create if forward.verb == MppsForward.Verb.CREATE else association.send_n_set
        try:
            status, _attributes = send(dataset_of(forward), MPPS, forward.sop_instance_uid)
        except (RuntimeError, ValueError) as error:  # the association ended, or what is sent cannot be encoded
            if association.is_established:
                status = Dataset()
                status.Status, status.ErrorComment = PROCESSING_FAILURE, f"Not encoded: {type(error).__name__}"
            else:
                raise Unreachable("It ended the association") from error
        return status

    def _refused(self, forward: MppsForward, to: MppsDestination, answer: Dataset) -> bool:
        """Try again what may be otherwise the next time; park the rest, and with it only its own MPPS."""
        forward.refusals += 1
        comment = str(answer.get("ErrorComment", "") or "")
        may_pass = forward.last_status in _TRANSIENT and not _has_ended(answer)
        if not may_pass or forward.refusals >= to.tries:
            return self._settle(forward, _State.PARKED, comment)
        pause = min(self.policy.first_retry * 2 ** min(forward.refusals - 1, 16), self.policy.longest_retry)
        forward.next_attempt_at = timezone.now() + timedelta(seconds=pause)
        return self._settle(forward, _State.WAITING, comment)

    @staticmethod
    def _settle(forward: MppsForward, state: str, error: str) -> bool:
        """Only what still waits: whoever came back late with a lost lease must not overwrite a verdict."""
        MppsForward.objects.filter(pk=forward.pk, state=_State.WAITING).update(
            state=state,
            last_error=error[:250],
            last_status=forward.last_status,
            refusals=forward.refusals,
            was_offered=False,
            next_attempt_at=forward.next_attempt_at,
            sent_at=forward.sent_at,
        )
        status = forward.shown_status
        logger.info("MPPS out: %s of %s: %s %s", forward.verb, forward.sop_instance_uid, status, state)
        return state != _State.WAITING

    def _note(self, why: str) -> None:
        """Show what the destination's next message waits for."""
        if forward := due(self.pk).first():
            MppsForward.objects.filter(pk=forward.pk, state=_State.WAITING).update(last_error=why[:250])
        logger.warning("MPPS out: destination %s: %s", self.pk, why)


def _is_taken(forward: MppsForward, answer: Dataset, sent_before: bool) -> bool:
    """Whether the receiver has it now. A duplicate N-CREATE, and the end of an MPPS that it says has ended, were
    taken the first time."""
    if forward.last_status in (SUCCESS, *_WARNINGS):
        return True
    if forward.verb == MppsForward.Verb.CREATE:
        return forward.last_status == DUPLICATE_SOP_INSTANCE
    return sent_before and _has_ended(answer)


def _has_ended(answer: Dataset) -> bool:
    return bool(answer.Status == PROCESSING_FAILURE and answer.get("ErrorID") == MAY_NO_LONGER_BE_UPDATED)


class Forwarder:
    """Keeps a sender thread for each destination, until ``stop``."""

    def __init__(self, stop: threading.Event, policy: Policy = Policy()) -> None:
        self.stop, self.policy = stop, policy
        self._threads: dict[int, threading.Thread] = {}

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self._start_senders()
                self.stop.wait(self.policy.first_retry)
        finally:
            for thread in self._threads.values():
                thread.join(self.policy.answer)
            connection.close()

    def is_well(self) -> bool:
        """Whether every sender is alive."""
        return all(thread.is_alive() for thread in self._threads.values())

    def _start_senders(self) -> None:
        """One for each active destination, also for one that is added while we run."""
        try:
            keys = list(MppsDestination.objects.filter(is_active=True).values_list("pk", flat=True))
        except DatabaseError as error:
            logger.error("MPPS out: the database is away: %s", type(error).__name__)
            connection.close()
            return
        for pk in keys:
            thread = self._threads.get(pk)
            if thread is None or not thread.is_alive():
                sender = Sender(pk, self.policy)
                thread = threading.Thread(target=sender.run, args=(self.stop,), name=f"mpps-out-{pk}", daemon=True)
                self._threads[pk] = thread
                thread.start()
