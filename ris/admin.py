"""Administration: the site's set-up can be edited; what happened can be read."""

from django.contrib import admin
from django.http import HttpRequest

from ris import models


@admin.register(models.Room)
class RoomAdmin(admin.ModelAdmin):
    list_display = ["name", "location", "position"]
    list_editable = ["position"]


@admin.register(models.Department)
class DepartmentAdmin(admin.ModelAdmin):
    list_display = ["name"]


class StationAliasInline(admin.TabularInline):
    model = models.StationAlias
    extra = 1


@admin.register(models.Station)
class StationAdmin(admin.ModelAdmin):
    """A scanner's profile; the pages under /stations/ show what it did."""

    list_display = ["ae_title", "name", "modality", "room", "department", "is_active", "sends_mpps"]
    list_filter = ["modality", "department", "is_active"]
    list_select_related = ["room", "department"]
    search_fields = ["ae_title", "name", "aliases__ae_title"]
    inlines = [StationAliasInline]
    fieldsets = [
        (None, {"fields": ["ae_title", "name", "modality", "room", "department", "is_active"]}),
        (
            "Who it must be",
            {
                "description": "An AE title is easily borrowed. What is empty is not asked for; a passcode is made by "
                "manage.py station_passcode",
                "fields": ["allowed_networks", "certificate_name"],
            },
        ),
        (
            "What it sees",
            {
                "description": "Rules that hide entries from this station's worklist, beside its department",
                "fields": ["only_arrived", "days_before", "days_after"],
            },
        ),
        (
            "How it is answered",
            {
                "description": "What this scanner can read, and what it forgets to ask",
                "fields": ["character_set", "overlong", "most_answers", "default_keys"],
            },
        ),
        (
            "MPPS",
            {
                "description": "How what it reports is taken; what Table F.7.2-1 (PS3.4) does not allow is counted",
                "fields": ["sends_mpps", "mpps_strictness", "quiet_minutes"],
            },
        ),
    ]


@admin.register(models.ProcedureType)
class ProcedureTypeAdmin(admin.ModelAdmin):
    list_display = ["meaning", "code_value", "coding_scheme", "modality", "duration_minutes"]
    list_filter = ["modality"]
    search_fields = ["meaning", "code_value"]


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shown, never written: services write these, each change with its event (DESIGN section 3)."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(models.Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ["accession_number", "placer_order_number", "filler_order_number", "sender", "priority"]


@admin.register(models.RequestedProcedure)
class RequestedProcedureAdmin(ReadOnlyAdmin):
    list_display = ["requested_procedure_id", "title", "status", "images_complete"]
    list_filter = ["status"]


@admin.register(models.ScheduledProcedureStep)
class ScheduledProcedureStepAdmin(ReadOnlyAdmin):
    list_display = ["scheduled_procedure_step_id", "status", "on_hold", "modality", "start", "room"]
    list_filter = ["status", "modality"]
    list_select_related = ["room"]


@admin.register(models.PerformedProcedureStep)
class PerformedProcedureStepAdmin(ReadOnlyAdmin):
    list_display = ["sop_instance_uid", "status", "mismatch", "station_ae_title", "start", "end"]
    list_filter = ["status", "mismatch"]


@admin.register(models.WorkflowEvent)
class WorkflowEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "verb", "old_status", "new_status", "exam_status", "actor_kind", "actor_name"]
    list_filter = ["verb", "actor_kind"]


admin.site.register(
    [
        models.Patient,
        models.PatientIdentifier,
        models.Visit,
        models.ExpectedInstance,
        models.Study,
        models.Series,
        models.Instance,
        models.Tombstone,
        models.CanceledAppointment,
        models.Heartbeat,
        models.StepChange,
    ],
    ReadOnlyAdmin,
)
admin.site.site_header = admin.site.site_title = "Sunview administration"
