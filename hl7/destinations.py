"""Whom we tell what: destinations, what each is subscribed to, and the outbox of messages that wait for them."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from ris.models import WorkflowEvent


class Kind(models.TextChoices):
    """What a system can be told of."""

    ORDER_STATUS = "order status", "how far each exam is: ORC-1 SC (RAD-3)"
    FILLER_ORDER = "filler order", "orders born here, cancellations at the desk: ORC-1 SN, OC (RAD-3)"
    PROCEDURE = "procedure", "exams scheduled, changed, canceled, for an image manager (RAD-4, RAD-13)"
    APPOINTMENT = "appointment", "bookings: S12 to S15, no-show S26 (RAD-48)"
    PATIENT = "patient", "patients new, changed and merged (RAD-12)"
    REPORT = "report", "reports filed (RAD-28)"


class Structure(models.TextChoices):
    """How a message is built. An ADT structure names the event of a change; others (A40, A47) are the same in both."""

    ORM = "ORM^O01", "ORM^O01"
    OMG = "OMG^O19", "OMG^O19"
    OMI = "OMI^O23", "OMI^O23 with IPC"
    SIU = "SIU", "SIU^S12 to S26"
    ADT_A08 = "ADT^A08", "ADT^A08, A40, A47"
    ADT_A31 = "ADT^A31", "ADT^A31, A40, A47"
    ORU = "ORU^R01", "ORU^R01"


VERSIONS = ("2.3.1", "2.4", "2.5", "2.5.1")
#: Kind -> structure -> the versions in which it can say what the kind is for. OMG came with 2.4, IPC with 2.5; before
#: 2.4 SCH names no order.
OFFERED: dict[Kind, dict[Structure, tuple[str, ...]]] = {
    Kind.ORDER_STATUS: {Structure.ORM: VERSIONS, Structure.OMG: VERSIONS[1:]},
    Kind.FILLER_ORDER: {Structure.ORM: VERSIONS, Structure.OMG: VERSIONS[1:]},
    Kind.PROCEDURE: {Structure.ORM: VERSIONS, Structure.OMI: VERSIONS[2:]},
    Kind.APPOINTMENT: {Structure.SIU: VERSIONS[1:]},
    Kind.PATIENT: {Structure.ADT_A08: VERSIONS, Structure.ADT_A31: VERSIONS},
    Kind.REPORT: {Structure.ORU: VERSIONS},
}


class OnRefusal(models.TextChoices):
    """What becomes of a message that the destination refuses."""

    PARK = "PARK", "after some tries park it; other orders go on, those of the same order wait behind it"
    STOP = "STOP", "after some tries stop the destination until a person looks"
    REPEAT = "REPEAT", "offer it again for ever; everything waits"


class Destination(models.Model):
    """A system that is told what happens here. ``leased_by`` is the sender process that serves it."""

    name = models.CharField(max_length=64, unique=True)
    host = models.CharField(max_length=250)
    port = models.PositiveIntegerField()
    receiving_application = models.CharField(max_length=64, blank=True)
    receiving_facility = models.CharField(max_length=64, blank=True)
    on_error = models.CharField(
        max_length=8, choices=OnRefusal, default=OnRefusal.PARK, help_text="AE, CE, or an answer to something else"
    )
    on_reject = models.CharField(max_length=8, choices=OnRefusal, default=OnRefusal.PARK, help_text="AR, CR")
    tries = models.PositiveSmallIntegerField(default=5, help_text="How often a refused message is offered")
    is_active = models.BooleanField(default=True)
    stopped_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Waits for a person since")
    stopped_because = models.CharField(max_length=250, blank=True, editable=False)
    leased_by = models.CharField(max_length=64, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """One kind of message that a destination gets, and how it is built."""

    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="subscriptions")
    kind = models.CharField(max_length=16, choices=Kind)
    structure = models.CharField(max_length=8, choices=Structure)
    version = models.CharField(max_length=8, choices=[(version, version) for version in VERSIONS], default="2.5.1")

    class Meta:
        ordering = ["destination_id", "kind"]
        constraints = [models.UniqueConstraint(fields=["destination", "kind"], name="one_subscription_per_kind")]

    def __str__(self) -> str:
        return f"{self.kind} as {self.structure} {self.version}"

    def clean(self) -> None:
        """ValidationError unless this structure can carry this kind in this version."""
        if not self.is_offered:
            choices = OFFERED.get(Kind(self.kind), {}) if self.kind in Kind.values else {}
            told = "; ".join(f"{structure.value} ({', '.join(versions)})" for structure, versions in choices.items())
            raise ValidationError(f"This is told as: {told}")

    @property
    def is_offered(self) -> bool:
        return any(
            (kind, structure) == (self.kind, self.structure) and self.version in versions
            for kind, structures in OFFERED.items()
            for structure, versions in structures.items()
        )


class OutboundMessage(models.Model):
    """One message to one destination. Sent in the order of ``id``, one in flight, the same bytes until it is taken.

    Messages of one ``line`` (of one order, or of one patient) never overtake each other.
    """

    class State(models.TextChoices):
        WAITING = "WAITING", "waiting to be taken"
        TAKEN = "TAKEN", "taken (AA)"
        FAILED = "FAILED", "refused and parked: what follows of the same order waits"
        GIVEN_UP = "GIVEN_UP", "given up by a person"
        UNBUILT = "UNBUILT", "could not be built"

    destination = models.ForeignKey(Destination, on_delete=models.PROTECT, related_name="messages")
    event = models.ForeignKey(WorkflowEvent, on_delete=models.PROTECT, related_name="messages")
    kind = models.CharField(max_length=16, choices=Kind)
    line = models.CharField(max_length=32, help_text="The order or patient whose messages keep their order")
    control_id = models.CharField(max_length=20, unique=True, help_text="MSH-10, the same whenever it is sent")
    payload = models.BinaryField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    refusals = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=250, blank=True)
    answer = models.BinaryField(default=b"", blank=True)
    handled_by = models.CharField(max_length=150, blank=True, help_text="Who last sent it again or gave it up")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["destination", "event", "kind"], name="each_destination_is_told_once"),
        ]
        indexes = [
            models.Index(fields=["destination", "id"], condition=Q(state="WAITING"), name="message_to_send"),
            models.Index(fields=["destination", "line", "id"], name="message_of_line"),
            models.Index(
                fields=["state", "id"],
                condition=Q(state__in=["WAITING", "FAILED", "UNBUILT"]),
                name="message_not_settled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.control_id} to {self.destination_id}"
