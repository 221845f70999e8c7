"""Arrival facts: which images are here. Never edited, only added to."""

from django.db import models

from ris.models.order import RequestedProcedure


class Study(models.Model):
    """A study of which at least one image arrived. ``mismatch`` says why it waits for reconciliation."""

    class Mismatch(models.TextChoices):
        NONE = "", "matched"
        UNSCHEDULED = "UNSCHEDULED", "no order found"
        PATIENT = "PATIENT", "another patient than ordered"

    study_instance_uid = models.CharField(max_length=64, unique=True)
    requested_procedure = models.ForeignKey(
        RequestedProcedure, null=True, blank=True, on_delete=models.SET_NULL, related_name="studies"
    )
    mismatch = models.CharField(max_length=16, choices=Mismatch, blank=True, default=Mismatch.NONE)
    patient_id = models.CharField(max_length=64, blank=True)
    issuer_of_patient_id = models.CharField(max_length=64, blank=True)
    accession_number = models.CharField(max_length=16, blank=True)
    source_ae_title = models.CharField(max_length=16, blank=True)
    first_instance_at = models.DateTimeField(auto_now_add=True)
    last_instance_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "studies"
        indexes = [models.Index(fields=["mismatch"], condition=~models.Q(mismatch=""), name="study_to_reconcile")]

    def __str__(self) -> str:
        return f"Study {self.study_instance_uid}"

    @property
    def trouble(self) -> str:
        """Why it is to be reconciled."""
        return self.get_mismatch_display() if self.mismatch else "images of a worklist entry picked by mistake"


class Series(models.Model):
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="series")
    series_instance_uid = models.CharField(max_length=64)
    modality = models.CharField(max_length=16, blank=True)
    wrong_entry = models.BooleanField(
        default=False, help_text="Made for a worklist entry picked by mistake (DCM 110514): counts for no exam"
    )

    class Meta:
        verbose_name_plural = "series"
        constraints = [models.UniqueConstraint(fields=["study", "series_instance_uid"], name="series_once_per_study")]
        indexes = [models.Index(fields=["study"], condition=models.Q(wrong_entry=True), name="series_of_a_wrong_entry")]

    def __str__(self) -> str:
        return f"Series {self.series_instance_uid}"


class Instance(models.Model):
    """One stored object. ``path`` is made of our own ids and lies under the data folder; ``size`` in bytes."""

    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="instances")
    sop_instance_uid = models.CharField(max_length=64, unique=True)
    sop_class_uid = models.CharField(max_length=64)
    transfer_syntax_uid = models.CharField(max_length=64)
    path = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    received_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Instance {self.sop_instance_uid}"
