"""Whom MPPS are passed on to, what waits to be sent to them, and what came too early to be taken."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from ris.models import AE_TITLE, Station


class MppsDestination(models.Model):
    """A system that is told every MPPS, such as an image manager or another department's system (IHE RAD-6, RAD-7)."""

    name = models.CharField(max_length=64, unique=True)
    ae_title = models.CharField(max_length=16, validators=[AE_TITLE], help_text="Its AE title, as called")
    host = models.CharField(max_length=250)
    port = models.PositiveIntegerField(default=104, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    calling_ae_title = models.CharField(
        max_length=16, blank=True, validators=[AE_TITLE], help_text="What we call ourselves; empty: SUNVIEW_AE_TITLE"
    )
    stations = models.ManyToManyField(
        Station, blank=True, related_name="mpps_destinations", help_text="Whose MPPS it is told; none: all stations'"
    )
    tries = models.PositiveSmallIntegerField(
        default=5, help_text="How often what it could not process (0110H, 0213H) is offered before it is parked"
    )
    is_active = models.BooleanField(default=True)
    leased_by = models.CharField(max_length=64, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "MPPS destination"

    def __str__(self) -> str:
        return self.name


class MppsForward(models.Model):
    """One N-CREATE or N-SET for one destination, written with the change that it tells of.

    Those of one MPPS (``sop_instance_uid``) are sent in the order of ``id``; one that is parked holds up only them.
    """

    class State(models.TextChoices):
        WAITING = "WAITING", "waiting to be sent"
        SENT = "SENT", "sent and taken"
        PARKED = "PARKED", "refused and parked: what follows of the same MPPS waits"
        GIVEN_UP = "GIVEN_UP", "given up by a person"

    class Verb(models.TextChoices):
        CREATE = "N-CREATE", "N-CREATE"
        SET = "N-SET", "N-SET"

    destination = models.ForeignKey(MppsDestination, on_delete=models.PROTECT, related_name="forwards")
    sop_instance_uid = models.CharField(max_length=64)
    verb = models.CharField(max_length=8, choices=Verb)
    attributes = models.JSONField(help_text="The attribute or modification list as DICOM JSON, as it was accepted")
    character_set = models.CharField(max_length=128, blank=True, help_text="(0008,0005) it came in and is sent in")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    refusals = models.PositiveIntegerField(default=0)
    was_offered = models.BooleanField(
        default=False, help_text="It may have arrived: it was on the wire and no answer is known"
    )
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveIntegerField(null=True, blank=True, help_text="The DIMSE status last answered")
    last_error = models.CharField(max_length=250, blank=True)
    handled_by = models.CharField(max_length=150, blank=True, help_text="Who last sent it again or gave it up")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = "MPPS forward"
        indexes = [
            models.Index(fields=["destination", "id"], condition=Q(state="WAITING"), name="forward_to_send"),
            models.Index(fields=["destination", "sop_instance_uid", "id"], name="forward_of_mpps"),
            models.Index(fields=["sop_instance_uid"], condition=Q(verb="N-CREATE"), name="forward_of_creation"),
            models.Index(
                fields=["state", "id"], condition=Q(state__in=["WAITING", "PARKED"]), name="forward_not_settled"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.pk} to {self.destination_id}"

    @property
    def shown_status(self) -> str:
        """The DIMSE status as DICOM writes it."""
        return "" if self.last_status is None else f"{self.last_status:04X}H"


class EarlyUpdate(models.Model):
    """An N-SET of an MPPS that is not here (0112H): its N-CREATE was lost, or is on its way. ``attributes`` is kept for
    ten minutes, the fact for a person to see stays."""

    sop_instance_uid = models.CharField(max_length=64)
    ae_title = models.CharField(max_length=16)
    attributes = models.JSONField(null=True, blank=True)
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(fields=["sop_instance_uid", "ae_title"], name="one_early_update_per_mpps")
        ]

    def __str__(self) -> str:
        return f"N-SET of {self.sop_instance_uid} from {self.ae_title}"
