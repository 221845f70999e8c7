"""What came in and what goes out: every message is kept, accepted or refused, and can be found again."""

import ipaddress
from fnmatch import fnmatchcase

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from ris.models import Order, WorkflowEvent

HEADER_LENGTH = 199


def check_networks(text: str) -> None:
    """ValidationError unless ``text`` is a list of networks such as ``127.0.0.0/8, ::1/128``."""
    for word in text.replace(",", " ").split():
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValidationError(f"{word} is not a network such as 192.0.2.0/24") from error


class Feed(models.Model):
    """A sending system: whom it is recognised by, and what its messages mean where they do not say."""

    class Mapping(models.TextChoices):
        LENIENT = "lenient", "lenient: every place where a fact is found in the wild"

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
    mapping = models.CharField(max_length=16, choices=Mapping, default=Mapping.LENIENT)
    is_active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name

    def takes(self, application: str, facility: str, peer: str) -> bool:
        """Whether a message of this application and facility, sent from the address ``peer``, is of this feed."""
        pairs = ((application, self.sending_application), (facility, self.sending_facility))
        if any(pattern and not fnmatchcase(text.casefold(), pattern.casefold()) for text, pattern in pairs):
            return False
        address = ipaddress.ip_address(peer)
        return any(address in ipaddress.ip_network(word) for word in self.allowed_networks.replace(",", " ").split())


class InboundMessage(models.Model):
    """A message as it came, what was made of it, and what was answered. Never changed after its transaction."""

    class Outcome(models.TextChoices):
        RECEIVED = "RECEIVED", "received"
        ACCEPTED = "ACCEPTED", "accepted (AA)"
        REFUSED = "REFUSED", "refused"
        CONFLICT = "CONFLICT", "control ID used before with another content"
        ERROR = "ERROR", "could not be processed"
        UNREADABLE = "UNREADABLE", "not a message that can be read"

    received_at = models.DateTimeField(auto_now_add=True, db_index=True)
    feed = models.ForeignKey(Feed, null=True, blank=True, on_delete=models.PROTECT, related_name="messages")
    peer = models.GenericIPAddressField()
    raw = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    message_type = models.CharField(max_length=HEADER_LENGTH, blank=True, help_text="MSH-9")
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

    class Meta:
        ordering = ["-id"]
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


class Destination(models.Model):
    """A system that is told of each change of an exam's state. ``leased_by`` is the sender process that serves it."""

    name = models.CharField(max_length=64, unique=True)
    host = models.CharField(max_length=250)
    port = models.PositiveIntegerField()
    receiving_application = models.CharField(max_length=64, blank=True)
    receiving_facility = models.CharField(max_length=64, blank=True)
    version = models.CharField(
        max_length=8, default="2.5.1", choices=[(v, v) for v in ("2.3.1", "2.4", "2.5", "2.5.1")]
    )
    is_active = models.BooleanField(default=True)
    leased_by = models.CharField(max_length=64, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return self.name


class OutboundMessage(models.Model):
    """One message to one destination. Sent in the order of ``id``, one in flight, the same bytes until it is taken."""

    class State(models.TextChoices):
        WAITING = "WAITING", "waiting to be taken"
        TAKEN = "TAKEN", "taken (AA)"
        FAILED = "FAILED", "refused by the destination"

    destination = models.ForeignKey(Destination, on_delete=models.PROTECT, related_name="messages")
    event = models.ForeignKey(WorkflowEvent, on_delete=models.PROTECT, related_name="messages")
    control_id = models.CharField(max_length=20, unique=True, help_text="MSH-10, the same whenever it is sent")
    payload = models.BinaryField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    refusals = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=250, blank=True)
    answer = models.BinaryField(default=b"", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["destination", "event"], name="each_destination_is_told_once"),
        ]
        indexes = [
            models.Index(fields=["destination", "id"], condition=Q(state="WAITING"), name="message_to_send"),
        ]

    def __str__(self) -> str:
        return f"{self.control_id} to {self.destination_id}"
