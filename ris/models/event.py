"""The history: one row per change of state, append-only, and the outbox of what other systems are told."""

from django.db import models

from ris.models.order import Order, RequestedProcedure
from ris.models.patient import Patient, PatientIdentifier
from ris.models.step import PerformedProcedureStep, ScheduledProcedureStep


class EventIsAppendOnly(Exception):
    """Somebody tried to change or delete a WorkflowEvent."""


class WorkflowEvent(models.Model):
    """What happened, to what, by whom, because of which message. ``published_at`` is null until it was told on."""

    patient = models.ForeignKey(Patient, null=True, blank=True, on_delete=models.PROTECT, related_name="events")
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="events")
    requested_procedure = models.ForeignKey(
        RequestedProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="events"
    )
    step = models.ForeignKey(
        ScheduledProcedureStep, null=True, blank=True, on_delete=models.PROTECT, related_name="events"
    )
    performed_step = models.ForeignKey(
        PerformedProcedureStep, null=True, blank=True, on_delete=models.PROTECT, related_name="events"
    )
    retired_identifier = models.ForeignKey(
        PatientIdentifier,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="events",
        help_text="Of a merge: the name that was given up. A reference, so that the event itself holds no identity",
    )
    verb = models.CharField(max_length=24)
    old_status = models.CharField(max_length=16, blank=True)
    new_status = models.CharField(max_length=16, blank=True)
    old_exam_status = models.CharField(max_length=16, blank=True)
    exam_status = models.CharField(max_length=16, blank=True)
    actor_kind = models.CharField(max_length=8)
    actor_name = models.CharField(max_length=150)
    source_message = models.CharField(max_length=250, blank=True)
    reason = models.CharField(max_length=250, blank=True)
    at = models.DateTimeField(db_index=True)
    published_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(published_at__isnull=True), name="event_to_publish"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.old_status} -> {self.new_status}"

    def save(self, *args, **kwargs) -> None:
        if self.pk is not None:
            raise EventIsAppendOnly("A WorkflowEvent is written once")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs):
        raise EventIsAppendOnly("A WorkflowEvent is never deleted")
