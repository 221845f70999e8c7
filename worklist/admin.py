"""Destinations of MPPS are configured here; what is passed on is looked at under Scanners."""

from django.contrib import admin

from worklist.models import MppsDestination


@admin.register(MppsDestination)
class MppsDestinationAdmin(admin.ModelAdmin):
    list_display = ("name", "ae_title", "host", "port", "is_active")
    filter_horizontal = ("stations",)
