"""What came in and what goes out: every message is kept, accepted or refused, and can be found again."""

from fnmatch import fnmatchcase

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from hl7.destinations import Destination, OutboundMessage, Subscription
from ris.models import Order, Patient
from ris.networks import Network, check_networks, networks, within

__all__ = ["Destination", "Feed", "FeedVersion", "InboundMessage", "Mention", "OutboundMessage", "Subscription"]

HEADER_LENGTH = 199
#: Inbound messages that were not carried out and that nobody has replayed with success or settled otherwise.
TO_SETTLE = Q(replay_of=None, settled_at=None) & ~Q(outcome__in=["ACCEPTED", "RECEIVED"])


class Listener(models.Model):
    """A further address to listen at beside SUNVIEW_MLLP, for the feeds that name it. Read when hl7_listener starts."""

    class Release(models.IntegerChoices):
        ONE = 1, "1: a message is answered by its acknowledgment"
        TWO = 2, "2: commit acknowledgment blocks before that"

    name = models.CharField(max_length=64, unique=True)
    host = models.GenericIPAddressField(default="0.0.0.0")
    port = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(65535)])
    release = models.PositiveSmallIntegerField(
        choices=Release, default=Release.ONE, help_text="Of the Minimal Lower Layer Protocol"
    )
    size_kb = models.PositiveIntegerField(default=1024, help_text="The largest message, in KiB")
    document_size_kb = models.PositiveIntegerField(
        default=16 * 1024, help_text="The largest ORU or MDM, which may bear a document, in KiB"
    )
    connections_per_peer = models.PositiveIntegerField(default=400)
    idle_minutes = models.PositiveIntegerField(default=720, help_text="An idle connection is closed after so long")
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "port"], name="one_listener_per_address")]

    def __str__(self) -> str:
        return self.name


class Feed(models.Model):
    """A sending system: whom it is recognised by, and what its messages mean where they do not say."""

    class Preset(models.TextChoices):
        LENIENT = "lenient", "lenient: every place where a fact is found in the wild"
        IHE_2_3_1 = "ihe_2_3_1", "IHE Scheduled Workflow, HL7 v2.3.1 (ORM with ZDS)"
        IHE_2_5_1 = "ihe_2_5_1", "IHE Scheduled Workflow.b, HL7 v2.5.1 (OMI with IPC)"

    class AckMode(models.TextChoices):
        ORIGINAL = "original", "original: one AA, AE or AR, whatever MSH-15 and MSH-16 say"
        ENHANCED = "enhanced", "enhanced when requested: as MSH-15 and MSH-16 ask, if they do"
        NEVER = "never", "never: nothing is answered"

    name = models.CharField(max_length=64, unique=True)
    sending_application = models.CharField(
        max_length=HEADER_LENGTH, blank=True, help_text="MSH-3; * stands for any text, empty for any sender"
    )
    sending_facility = models.CharField(max_length=HEADER_LENGTH, blank=True, help_text="MSH-4, likewise")
    allowed_networks = models.CharField(max_length=250, default="127.0.0.0/8, ::1/128", validators=[check_networks])
    default_character_set = models.CharField(
        max_length=32, default="UTF-8", help_text="For messages without MSH-18, as MSH-18 would name it"
    )
    default_assigning_authority = models.CharField(
        max_length=64, blank=True, help_text="Of patient identifiers without one; preferred among several"
    )
    listener = models.ForeignKey(
        Listener,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="feeds",
        help_text="Where its messages come in; empty: at SUNVIEW_MLLP",
    )
    ack_mode = models.CharField(max_length=16, choices=AckMode, default=AckMode.ORIGINAL)
    processing_id = models.CharField(
        max_length=1,
        blank=True,
        choices=[("P", "P: production"), ("T", "T: training"), ("D", "D: debugging")],
        help_text="MSH-11 that is taken; empty: any",
    )
    preset = models.CharField(max_length=16, choices=Preset, default=Preset.LENIENT)
    mapping = models.JSONField(default=dict, blank=True, help_text="What this feed does otherwise than its preset")
    version = models.PositiveIntegerField(default=1, editable=False, help_text="Counts what was saved")
    is_active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name

    def takes(self, application: str, facility: str, peer: str) -> bool:
        """Whether a message of this application and facility, sent from the address ``peer``, is of this feed."""
        pairs = ((application, self.sending_application), (facility, self.sending_facility))
        if any(pattern and not fnmatchcase(text.casefold(), pattern.casefold()) for text, pattern in pairs):
            return False
        return within(peer, self.networks())

    def networks(self) -> tuple[Network, ...]:
        """The networks that its messages may come from."""
        return networks(self.allowed_networks)


class FeedVersion(models.Model):
    """How a feed was set up from a moment on: what reads a message is never lost, however often it is changed."""

    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(auto_now_add=True)
    who = models.CharField(max_length=150)
    content = models.JSONField(help_text="As `manage.py feed export` writes it")

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["feed", "number"], name="one_feed_version_per_number")]

    def __str__(self) -> str:
        return f"Version {self.number}"


class InboundMessage(models.Model):
    """A message as it came, what was made of it, and what was answered: never changed. What changes is who settled it,
    and after a replay, whose answer a repeat is given."""

    class Outcome(models.TextChoices):
        RECEIVED = "RECEIVED", "received"
        ACCEPTED = "ACCEPTED", "accepted (AA)"
        REFUSED = "REFUSED", "refused"
        CONFLICT = "CONFLICT", "control ID used before with another content"
        ERROR = "ERROR", "could not be processed"
        UNREADABLE = "UNREADABLE", "not a message that can be read"

    received_at = models.DateTimeField(auto_now_add=True, db_index=True)
    feed = models.ForeignKey(Feed, null=True, blank=True, on_delete=models.PROTECT, related_name="messages")
    feed_version = models.PositiveIntegerField(null=True, blank=True, help_text="The feed's version that read it")
    peer = models.GenericIPAddressField()
    raw = models.BinaryField()
    is_whole = models.BooleanField(default=True, help_text="Not only the beginning of a message that was too large")
    sha256 = models.CharField(max_length=64)
    message_type = models.CharField(max_length=HEADER_LENGTH, blank=True, help_text="MSH-9")
    event = models.CharField(max_length=16, blank=True, help_text="MSH-9.1 and MSH-9.2 alone, such as ORM^O01")
    control_id = models.CharField(max_length=HEADER_LENGTH, blank=True, db_index=True, help_text="MSH-10")
    sending_application = models.CharField(max_length=HEADER_LENGTH, blank=True, help_text="MSH-3")
    sending_facility = models.CharField(max_length=HEADER_LENGTH, blank=True, help_text="MSH-4")
    is_original = models.BooleanField(
        default=False, help_text="The first with its control ID: a repeat is given its answer"
    )
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.RECEIVED, db_index=True)
    reason = models.TextField(blank=True)
    answer = models.BinaryField(default=b"", blank=True)
    order_numbers = models.TextField(
        blank=True, help_text="Placer, filler and accession numbers that the message names, one per line"
    )
    orders = models.ManyToManyField(Order, blank=True, related_name="inbound_messages")
    patient = models.ForeignKey(
        Patient, null=True, blank=True, on_delete=models.PROTECT, related_name="inbound_messages"
    )
    replay_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="replays")
    replayed_by = models.CharField(max_length=150, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When nothing more was to be done about it")
    settled_by = models.CharField(max_length=150, blank=True)
    settled_reason = models.CharField(max_length=250, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["event", "id"], name="message_by_event"),
            models.Index(fields=["feed", "id"], name="message_by_feed"),
            models.Index(fields=["id"], condition=TO_SETTLE, name="message_to_settle"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["feed", "sending_application", "sending_facility", "control_id"],
                condition=Q(is_original=True) & ~Q(control_id=""),
                name="one_original_per_control_id",
            ),
            # Without MSH-10 the content is the only identity that a message has.
            models.UniqueConstraint(
                fields=["feed", "sending_application", "sending_facility", "sha256"],
                condition=Q(is_original=True, control_id=""),
                name="one_original_per_content",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_type} {self.control_id}"


class Mention(models.Model):
    """A number in a message that touched no order, or no patient, of that number: the refused one is found by it."""

    class Kind(models.TextChoices):
        ORDER = "ORDER", "placer, filler or accession number"
        PATIENT = "PATIENT", "patient identifier"

    message = models.ForeignKey(InboundMessage, on_delete=models.CASCADE, related_name="mentions")
    kind = models.CharField(max_length=8, choices=Kind)
    value = models.CharField(max_length=HEADER_LENGTH)

    class Meta:
        indexes = [models.Index(fields=["value", "kind"], name="message_that_mentions")]

    def __str__(self) -> str:
        return f"{self.kind} of message {self.message_id}"
