"""What the pages of messages ask the database. Each filter has its index; nothing is counted over all messages."""

from dataclasses import dataclass
from datetime import date

from django.db.models import Count, Q, QuerySet

from hl7.models import TO_SETTLE, InboundMessage, Mention
from ris import selectors
from ris.models import Order, Patient

#: Messages of one page.
PAGE = 50
#: Messages that one number or patient leads to; older ones are not found by it.
_FOUND = 2000
TO_SETTLE_OUTCOME = "TO_SETTLE"


@dataclass(frozen=True)
class Filter:
    """What is looked for; empty parts do not matter. ``patients`` and ``mention`` are keys of rows, not identifiers."""

    feed: int | None = None
    outcome: str = ""
    event: str = ""
    number: str = ""
    control_id: str = ""
    day: date | None = None
    patients: tuple[int, ...] = ()
    mention: int | None = None
    chosen: tuple[int, ...] = ()

    def messages(self) -> QuerySet[InboundMessage]:
        """The messages, the newest first."""
        rows = InboundMessage.objects.defer("raw", "answer").order_by("-id")
        return rows.filter(*self._conditions()).select_related("feed", "patient")

    def _conditions(self) -> list[Q]:
        asked = {"feed": self.feed, "control_id": self.control_id}
        conditions = [Q(**{name: value}) for name, value in asked.items() if value]
        if self.outcome:
            conditions.append(TO_SETTLE if self.outcome == TO_SETTLE_OUTCOME else Q(outcome=self.outcome))
        if self.event:
            whole = "^" in self.event
            conditions.append(Q(event=self.event) if whole else Q(event__startswith=f"{self.event}^"))
        if self.day:
            begin, end = selectors.day_bounds(self.day)
            conditions.append(Q(received_at__gte=begin, received_at__lt=end))
        if self.number:
            conditions.append(Q(pk__in=_naming_order(self.number)))
        if self.patients or self.mention:
            conditions.append(Q(pk__in=_of_patients(self.patients, self.mention)))
        return [*conditions, Q(pk__in=self.chosen)] if self.chosen else conditions


# Keys are fetched first: an OR of subqueries would walk all messages.


def _naming_order(number: str) -> set[int]:
    """Messages that touched an order with this number, or name it."""
    orders = Order.objects.filter(
        Q(accession_number=number) | Q(placer_order_number=number) | Q(filler_order_number=number)
    )
    links = InboundMessage.orders.through.objects.filter(order__in=list(orders.values_list("pk", flat=True)[:_FOUND]))
    touched = links.order_by("-inboundmessage_id").values_list("inboundmessage_id", flat=True)[:_FOUND]
    return {*touched, *_mentioning(Mention.Kind.ORDER, [number])}


def _of_patients(patients: tuple[int, ...], mention: int | None) -> set[int]:
    """Messages about these patients and those merged into them, or naming an identifier of theirs."""
    family = Patient.objects.filter(Q(pk__in=patients) | Q(merged_into__in=patients))
    pks = list(family.values_list("pk", flat=True))
    numbers = set(Patient.objects.filter(pk__in=pks).values_list("identifiers__value", flat=True)) - {None}
    if mention:
        numbers |= set(Mention.objects.filter(pk=mention).values_list("value", flat=True))
    about = InboundMessage.objects.filter(patient__in=pks).order_by("-id").values_list("pk", flat=True)[:_FOUND]
    return {*about, *_mentioning(Mention.Kind.PATIENT, numbers)}


def _mentioning(kind: str, values: list[str] | set[str]) -> QuerySet:
    mentions = Mention.objects.filter(kind=kind, value__in=values).order_by("-message_id")
    return mentions.values_list("message_id", flat=True)[:_FOUND]


def counts(day: date) -> dict[str, int]:
    """How many messages of a day had each outcome."""
    begin, end = selectors.day_bounds(day)
    messages = InboundMessage.objects.filter(received_at__gte=begin, received_at__lt=end).order_by()
    counted = dict(messages.values_list("outcome").annotate(Count("pk")))
    return {outcome: counted[outcome] for outcome in InboundMessage.Outcome if outcome in counted}


def to_settle() -> int:
    """How many messages were not carried out and wait for somebody."""
    return InboundMessage.objects.filter(TO_SETTLE).count()


def waits(message: InboundMessage) -> bool:
    """Whether this one does."""
    return InboundMessage.objects.filter(TO_SETTLE, pk=message.pk).exists()


def version() -> str:
    """A token that changes whenever the page may look different; see ``selectors.board_version``."""
    newest = list(InboundMessage.objects.order_by("-pk").values_list("pk", flat=True)[:100])
    return f"{max(newest, default=0)}-{sum(newest)}-{to_settle()}"


def same_control_id(message: InboundMessage) -> QuerySet[InboundMessage]:
    """Everything that its sender ever sent under its control ID, replays included, the oldest first."""
    named = {"control_id": message.control_id} if message.control_id else {"control_id": "", "sha256": message.sha256}
    sender = {name: getattr(message, name) for name in ("sending_application", "sending_facility")}
    return InboundMessage.objects.defer("raw", "answer").filter(**named, **sender).order_by("id")
