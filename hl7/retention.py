"""What becomes of kept messages: a person settles what was not carried out, and age purges what is settled."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from hl7.models import TO_SETTLE, InboundMessage, OutboundMessage

#: Messages deleted in one transaction.
BATCH = 500
Outcome = InboundMessage.Outcome
State = OutboundMessage.State


#: What makes two rows the same message: its sender, its control ID and every byte of it.
CONTENT = ("control_id", "sha256", "sending_application", "sending_facility")


def settle(messages: QuerySet[InboundMessage], who: str, reason: str) -> int:
    """Nothing more is to be done about these, and about the same message where it came again; how many rows.

    Only what was not carried out can be settled. A replay remains possible.
    """
    contents = set(messages.filter(TO_SETTLE).values_list(*CONTENT))
    with transaction.atomic():
        return sum(close(_of(content), who, reason) for content in contents)


def settle_repeated() -> int:
    """Settle what its sender sent again and what was accepted then; how many rows."""
    same = {name: OuterRef(name) for name in CONTENT}
    accepted = InboundMessage.objects.filter(outcome=Outcome.ACCEPTED, id__gt=OuterRef("id"), **same)
    contents = set(InboundMessage.objects.filter(TO_SETTLE, Exists(accepted)).values_list(*CONTENT)[:BATCH])
    return sum(close(_of(content), "Sunview", "came again and was accepted") for content in contents)


def _of(content: tuple[str, ...]) -> QuerySet[InboundMessage]:
    return InboundMessage.objects.filter(**dict(zip(CONTENT, content, strict=True)))


def close(messages: QuerySet[InboundMessage], who: str, reason: str) -> int:
    """Mark those of ``messages`` that wait for somebody."""
    facts = {"settled_at": timezone.now(), "settled_by": who[:150], "settled_reason": reason[:250]}
    return messages.order_by().filter(TO_SETTLE).update(**facts)


def purge(days: int, most: int = 20_000) -> tuple[int, int]:
    """Delete messages older than ``days``; how many inbound and outbound ones, about ``most`` of each.

    Never an inbound message that was not carried out and that nobody settled, nor an outbound one that waits or
    failed. A message and its replays go together, when the youngest is old.
    """
    limit = timezone.now() - timedelta(days=days)
    return _purge_inbound(limit, most), _purge(_told(limit), most)


def _purge_inbound(limit: datetime, most: int) -> int:
    young = InboundMessage.objects.filter(replay_of=OuterRef("pk"), received_at__gte=limit)
    done = Q(outcome=Outcome.ACCEPTED) | Q(settled_at__isnull=False)
    first = InboundMessage.objects.filter(done, ~Exists(young), replay_of=None, received_at__lt=limit)
    purged = 0
    while purged < most and (pks := list(first.order_by("id").values_list("pk", flat=True)[:BATCH])):
        with transaction.atomic():
            replays = InboundMessage.objects.filter(replay_of__in=pks)
            purged += _delete(replays) + _delete(InboundMessage.objects.filter(pk__in=pks))
    return purged


def _delete(messages: QuerySet[InboundMessage]) -> int:
    """Only those rows are counted, not what hangs on them."""
    return messages.defer("raw", "answer").delete()[1].get("hl7.InboundMessage", 0)


def _told(limit: datetime) -> QuerySet[OutboundMessage]:
    return OutboundMessage.objects.filter(created_at__lt=limit, state__in=[State.TAKEN, State.GIVEN_UP])


def _purge(messages: QuerySet[OutboundMessage], most: int) -> int:
    purged = 0
    while purged < most and (pks := list(messages.order_by("id").values_list("pk", flat=True)[:BATCH])):
        purged += OutboundMessage.objects.filter(pk__in=pks).delete()[0]
    return purged
