"""What the API says. Field names are the DICOM keywords."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ris.models import Patient, RequestedProcedure, ScheduledProcedureStep, WorkflowEvent
from ris.states import ExamStatus


class PatientSerializer(serializers.ModelSerializer):
    class Meta:
        model = Patient
        fields = ["patient_id", "issuer_of_patient_id", "patient_name", "patient_birth_date", "patient_sex"]


class StepSerializer(serializers.ModelSerializer):
    stations: serializers.SlugRelatedField = serializers.SlugRelatedField("ae_title", many=True, read_only=True)

    class Meta:
        model = ScheduledProcedureStep
        fields = ["scheduled_procedure_step_id", "status", "modality", "stations", "start"]


class ImagesSerializer(serializers.Serializer):
    """Images that the final MPPS list, and images that are here."""

    expected = serializers.IntegerField(source="images_expected")
    arrived = serializers.IntegerField(source="images_arrived")


class ReportSerializer(serializers.Serializer):
    """What the reporting system says of the report; ``status`` is empty without one, ``changed_at`` null."""

    status = serializers.ChoiceField(RequestedProcedure.ReportStatus.values, source="report_status")
    changed_at = serializers.DateTimeField(source="report_changed_at", allow_null=True)


class ExamSerializer(serializers.ModelSerializer):
    accession_number = serializers.CharField(source="order.accession_number")
    placer_order_number = serializers.CharField(source="order.placer_order_number")
    filler_order_number = serializers.CharField(source="order.filler_order_number")
    status = serializers.ChoiceField([status.value for status in ExamStatus])
    description = serializers.CharField(source="title")
    priority = serializers.CharField(source="order.priority")
    patient = PatientSerializer(source="order.patient")
    steps = StepSerializer(many=True)
    images = ImagesSerializer(source="*")
    report = ReportSerializer(source="*")
    url = serializers.HyperlinkedIdentityField("api-exam-detail")

    class Meta:
        model = RequestedProcedure
        fields = [
            "id",
            "url",
            "accession_number",
            "placer_order_number",
            "filler_order_number",
            "requested_procedure_id",
            "study_instance_uid",
            "description",
            "priority",
            "status",
            "patient",
            "steps",
            "images",
            "report",
        ]
        read_only_fields = fields


class EventSerializer(serializers.ModelSerializer):
    """One row of the history; statuses without prefix are the step's."""

    scheduled_procedure_step_id = serializers.SerializerMethodField()

    class Meta:
        model = WorkflowEvent
        fields = [
            "id",
            "at",
            "verb",
            "scheduled_procedure_step_id",
            "old_status",
            "new_status",
            "old_exam_status",
            "exam_status",
            "actor_kind",
            "actor_name",
            "source_message",
            "reason",
        ]

    @extend_schema_field(serializers.CharField())
    def get_scheduled_procedure_step_id(self, event: WorkflowEvent) -> str:
        return event.step.scheduled_procedure_step_id if event.step else ""


class StationStepSerializer(serializers.Serializer):
    """One step as one station sees it: on its worklist, or what keeps it off."""

    scheduled_procedure_step_id = serializers.CharField()
    on_worklist = serializers.BooleanField()
    obstacles = serializers.ListField(child=serializers.CharField())


class StationWorklistSerializer(serializers.Serializer):
    station = serializers.CharField(help_text="AE title")
    on_worklist = serializers.BooleanField(help_text="A step of the exam is on this station's worklist now")
    steps = StationStepSerializer(many=True)
