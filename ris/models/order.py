"""The order (DICOM Imaging Service Request) and its requested procedures (the clinic's exams)."""

from django.db import models

from ris.models.patient import Patient, Visit
from ris.states import ExamStatus


class Order(models.Model):
    """What one ORC group ordered. The row is the lock of everything below it (DESIGN section 3)."""

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="orders")
    visit = models.ForeignKey(Visit, null=True, blank=True, on_delete=models.SET_NULL, related_name="orders")
    sender = models.CharField(max_length=128, help_text="Ordering system: application|facility, or DESK")
    placer_order_number = models.CharField(max_length=64, blank=True)
    placer_issuer = models.CharField(max_length=128, blank=True)
    filler_order_number = models.CharField(max_length=64, blank=True)
    filler_issuer = models.CharField(max_length=128, blank=True)
    accession_number = models.CharField(max_length=16, blank=True, db_index=True)
    accession_issuer = models.CharField(max_length=64, blank=True)
    priority = models.CharField(max_length=16, blank=True, help_text="STAT, HIGH, ROUTINE, MEDIUM or LOW")
    requesting_physician = models.CharField(max_length=324, blank=True)
    referring_physician = models.CharField(max_length=324, blank=True)
    current_patient_location = models.CharField(max_length=64, blank=True)
    clinical_information = models.TextField(blank=True)
    medical_alerts = models.CharField(max_length=64, blank=True)
    allergies = models.CharField(max_length=64, blank=True)
    pregnancy_status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="(0010,21C0): 1 to 4")
    patient_state = models.CharField(max_length=64, blank=True)
    patient_weight = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True, help_text="kg")
    patient_size = models.DecimalField(max_digits=4, decimal_places=2, null=True, blank=True, help_text="m")
    transport_arrangements = models.CharField(max_length=64, blank=True)
    confidentiality = models.CharField(max_length=64, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True, help_text="The cancellation is final: when it was said")
    cancel_reason = models.CharField(max_length=250, blank=True)
    is_provisional = models.BooleanField(default=False, help_text="A change came first: the order itself is awaited")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    said_at = models.JSONField(default=dict, blank=True, editable=False, help_text="{attribute: stamp of who said it}")
    provenance = models.JSONField(default=dict, blank=True, help_text="{attribute: [field, message]}")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["placer_order_number", "placer_issuer"],
                condition=~models.Q(placer_order_number=""),
                name="one_order_per_placer_number",
            ),
            models.UniqueConstraint(
                fields=["filler_order_number", "filler_issuer"],
                condition=~models.Q(filler_order_number="") & models.Q(placer_order_number=""),
                name="one_order_per_filler_number_alone",
            ),
        ]
        # The partial unique index cannot answer for a placer number alone, which worklist keys and the API ask for.
        indexes = [
            models.Index(fields=["placer_order_number"]),
            models.Index(fields=["filler_order_number", "filler_issuer"]),
        ]

    def __str__(self) -> str:
        return f"Order {self.accession_number}"


class Tombstone(models.Model):
    """A cancellation of an order that is not here: when the order comes it is canceled already."""

    sender = models.CharField(max_length=128)
    placer_order_number = models.CharField(max_length=64, blank=True, db_index=True)
    placer_issuer = models.CharField(max_length=128, blank=True)
    filler_order_number = models.CharField(max_length=64, blank=True, db_index=True)
    filler_issuer = models.CharField(max_length=128, blank=True)
    accession_number = models.CharField(max_length=16, blank=True, db_index=True)
    canceled_at = models.DateTimeField()
    cancel_reason = models.CharField(max_length=250, blank=True)
    source_message = models.CharField(max_length=250, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Cancellation {self.pk} of an order not here"


class CanceledAppointment(models.Model):
    """A cancellation of an appointment that is not here: when that comes nothing is booked. IDs as steps keep them."""

    placer_appointment_id = models.CharField(max_length=200, blank=True, db_index=True)
    filler_appointment_id = models.CharField(max_length=200, blank=True, db_index=True)
    canceled_at = models.DateTimeField()
    source_message = models.CharField(max_length=250, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Cancellation {self.pk} of an appointment not here"


class RequestedProcedure(models.Model):
    """One exam. ``status`` is computed from steps, images and report and kept for the indexes (services.events)."""

    class ReportStatus(models.TextChoices):
        NONE = "", "no report"
        REGISTERED = "REGISTERED", "registered"
        PARTIAL = "PARTIAL", "partial"
        PRELIMINARY = "PRELIMINARY", "preliminary"
        FINAL = "FINAL", "final"
        CORRECTED = "CORRECTED", "corrected"
        CANCELED = "CANCELED", "canceled"

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="procedures")
    position = models.PositiveSmallIntegerField(default=1, help_text="1 for the order's first procedure")
    requested_procedure_id = models.CharField(max_length=16, blank=True, db_index=True)
    study_instance_uid = models.CharField(max_length=64, db_index=True)
    code_value = models.CharField(max_length=64, blank=True)
    coding_scheme = models.CharField(max_length=64, blank=True)
    code_meaning = models.CharField(max_length=64, blank=True)
    description = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=250, blank=True)
    comments = models.TextField(blank=True)
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in ExamStatus], default=ExamStatus.ORDERED, db_index=True
    )
    images_complete = models.BooleanField(default=False)
    images_inferred = models.BooleanField(default=False, help_text="Complete because quiet, not because counted")
    report_status = models.CharField(max_length=16, choices=ReportStatus, blank=True, default=ReportStatus.NONE)
    report_changed_at = models.DateTimeField(null=True, blank=True, help_text="When the report got this status")
    reported_at = models.DateTimeField(null=True, blank=True, help_text="Only while the report is final or corrected")
    said_at = models.JSONField(default=dict, blank=True, editable=False, help_text="{attribute: stamp of who said it}")
    provenance = models.JSONField(default=dict, blank=True, help_text="{attribute: [field, message]}")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["order_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["order", "position"], name="one_procedure_per_position"),
            models.CheckConstraint(condition=models.Q(status__in=list(ExamStatus)), name="exam_status_known"),
            models.CheckConstraint(condition=~models.Q(study_instance_uid=""), name="exam_has_a_study_uid"),
        ]

    def __str__(self) -> str:
        return f"Exam {self.requested_procedure_id}"

    @property
    def title(self) -> str:
        """What is to be done, in the words the order used."""
        return self.description or self.code_meaning or self.code_value or "(procedure not named)"
