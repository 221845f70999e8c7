"""Scheduled and performed procedure steps: what is planned and what was done."""

from datetime import timedelta

from django.db import models

from ris.models.order import RequestedProcedure
from ris.models.station import Room, Station
from ris.states import DONE, PENDING, WRONG_ENTRY, ExamStatus, PerformedStatus, StepStatus, Verb, is_allowed

#: How far ahead of ours a scanner's clock may be.
_AHEAD = timedelta(days=1)


class ScheduledProcedureStep(models.Model):
    """One worklist entry. ``requested_start`` is what the order last asked for, ``start`` what is booked."""

    requested_procedure = models.ForeignKey(RequestedProcedure, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(default=1)
    scheduled_procedure_step_id = models.CharField(max_length=16, blank=True, db_index=True)
    status = models.CharField(max_length=16, choices=[(s.value, s.value) for s in StepStatus], default=StepStatus.NEW)
    on_hold = models.BooleanField(default=False)
    modality = models.CharField(max_length=16, blank=True)
    description = models.CharField(max_length=64, blank=True)
    protocol_codes = models.JSONField(default=list, blank=True, help_text="[[value, scheme, meaning], ...]")
    start = models.DateTimeField(null=True, blank=True)
    requested_start = models.DateTimeField(null=True, blank=True)
    requested_stations = models.JSONField(default=list, blank=True, help_text="AE titles the order last named")
    duration_minutes = models.PositiveSmallIntegerField(default=20)
    stations = models.ManyToManyField(Station, blank=True, related_name="steps")
    room = models.ForeignKey(Room, null=True, blank=True, on_delete=models.SET_NULL, related_name="steps")
    station_name = models.CharField(max_length=64, blank=True)
    location = models.CharField(max_length=64, blank=True)
    performing_physician = models.CharField(max_length=324, blank=True)
    pre_medication = models.CharField(max_length=64, blank=True)
    contrast_agent = models.CharField(max_length=64, blank=True)
    placer_appointment_id = models.CharField(max_length=200, blank=True, db_index=True, help_text="SCH-1")
    filler_appointment_id = models.CharField(max_length=200, blank=True, db_index=True, help_text="SCH-2")
    said_at = models.JSONField(default=dict, blank=True, editable=False, help_text="{attribute: stamp of who said it}")
    provenance = models.JSONField(default=dict, blank=True, help_text="{attribute: [field, message]}")

    class Meta:
        ordering = ["requested_procedure_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["requested_procedure", "position"], name="one_step_per_position"),
            models.CheckConstraint(condition=models.Q(status__in=list(StepStatus)), name="step_status_known"),
            models.CheckConstraint(
                condition=models.Q(start__isnull=False) | ~models.Q(status__in=["SCHEDULED", "ARRIVED", "READY"]),
                name="scheduled_step_has_a_start",
            ),
        ]
        indexes = [models.Index(fields=["status", "start"]), models.Index(fields=["start"])]

    def __str__(self) -> str:
        return f"Step {self.scheduled_procedure_step_id}"

    def allows(self, verb: Verb) -> bool:
        """Whether the state table lets ``verb`` happen now; templates and services ask the same question here."""
        return is_allowed(self.status, verb)

    @property
    def is_on_worklists(self) -> bool:
        return self.status in PENDING and not self.on_hold

    @property
    def shown_status(self) -> str:
        """The clinic's word for the step on board and page: what the exam says once the step is done."""
        exam = self.requested_procedure.status
        if self.on_hold and self.status in PENDING | {StepStatus.NEW}:
            return ExamStatus.ON_HOLD
        if self.status == StepStatus.STARTED:
            return ExamStatus.IN_PROGRESS
        if self.status == StepStatus.NEW:
            return ExamStatus.ORDERED
        if self.status == StepStatus.COMPLETED and exam in DONE:
            return exam
        return self.status.replace("_", " ")


class PerformedProcedureStep(models.Model):
    """One MPPS SOP instance. ``mismatch`` says why it waits for reconciliation; empty when all is well."""

    class Mismatch(models.TextChoices):
        NONE = "", "matched"
        UNSCHEDULED = "UNSCHEDULED", "no scheduled step found"
        PATIENT = "PATIENT", "another patient than scheduled"
        NOT_PENDING = "NOT_PENDING", "the step was canceled or not yet scheduled"

    sop_instance_uid = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=16, choices=[(s.value, s.value) for s in PerformedStatus])
    mismatch = models.CharField(max_length=16, choices=Mismatch, blank=True, default=Mismatch.NONE)
    scheduled_steps = models.ManyToManyField(ScheduledProcedureStep, blank=True, related_name="performed_steps")
    performed_procedure_step_id = models.CharField(max_length=16, blank=True)
    station_ae_title = models.CharField(max_length=16, blank=True)
    modality = models.CharField(max_length=16, blank=True)
    study_instance_uid = models.CharField(max_length=64, blank=True, db_index=True)
    accession_number = models.CharField(max_length=16, blank=True, db_index=True)
    patient_id = models.CharField(max_length=64, blank=True)
    issuer_of_patient_id = models.CharField(max_length=64, blank=True)
    patient_name = models.CharField(max_length=324, blank=True)
    start = models.DateTimeField(null=True, blank=True)
    end = models.DateTimeField(null=True, blank=True)
    discontinuation_code = models.CharField(max_length=16, blank=True)
    discontinuation_reason = models.CharField(max_length=64, blank=True)
    attributes = models.JSONField(default=dict, help_text="The whole object as DICOM JSON, as the station sent it")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=list(PerformedStatus)), name="performed_status_known")
        ]
        indexes = [models.Index(fields=["mismatch"], condition=~models.Q(mismatch=""), name="performed_to_reconcile")]

    def __str__(self) -> str:
        return f"MPPS {self.sop_instance_uid}"

    @property
    def is_final(self) -> bool:
        return self.status != PerformedStatus.IN_PROGRESS

    @property
    def is_wrong_entry(self) -> bool:
        """Withdrawn: the technologist had picked another entry than the one meant."""
        return self.status == PerformedStatus.DISCONTINUED and self.discontinuation_code == WRONG_ENTRY

    @property
    def remarks(self) -> list[str]:
        """What its times cannot mean. It is taken all the same: the scan happened."""
        start, end = self.start, self.end
        rules = (
            (start and end and end < start, "ended before it began"),
            (start and start > self.created_at + _AHEAD, "begins in the future"),
            (end and end > self.updated_at + _AHEAD, "ends in the future"),
        )
        return [sentence for holds, sentence in rules if holds]


class ExpectedInstance(models.Model):
    """An instance that a final MPPS lists: images are complete when all of them have arrived."""

    performed_step = models.ForeignKey(PerformedProcedureStep, on_delete=models.CASCADE, related_name="expected")
    series_instance_uid = models.CharField(max_length=64)
    sop_instance_uid = models.CharField(max_length=64, db_index=True)
    sop_class_uid = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["performed_step", "sop_instance_uid"], name="instance_expected_once")
        ]

    def __str__(self) -> str:
        return f"Expected {self.sop_instance_uid}"
