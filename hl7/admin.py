"""Feeds and destinations are configured here; messages are only looked at."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from hl7.models import Destination, Feed, InboundMessage, OutboundMessage


class ReadOnly(admin.ModelAdmin):
    """Kept messages are evidence: nobody edits them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def readable(raw: bytes | memoryview) -> str:
    """A message with a line for each segment."""
    return bytes(raw).decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


@admin.register(Feed)
class FeedAdmin(admin.ModelAdmin):
    list_display = ("name", "sending_application", "sending_facility", "allowed_networks", "is_active")


@admin.register(Destination)
class DestinationAdmin(admin.ModelAdmin):
    list_display = ("name", "host", "port", "version", "is_active")


@admin.register(InboundMessage)
class InboundMessageAdmin(ReadOnly):
    list_display = ("received_at", "feed", "message_type", "control_id", "outcome", "reason")
    list_filter = ("outcome", "feed")
    search_fields = ("control_id", "order_numbers")
    list_select_related = ("feed",)
    exclude = ("raw", "answer")
    readonly_fields = ("message_text", "answer_text")

    @admin.display(description="message")
    def message_text(self, message: InboundMessage) -> str:
        return readable(message.raw)

    @admin.display(description="answer")
    def answer_text(self, message: InboundMessage) -> str:
        return readable(message.answer)


@admin.register(OutboundMessage)
class OutboundMessageAdmin(ReadOnly):
    list_display = ("created_at", "destination", "control_id", "state", "attempts", "last_error", "taken_at")
    list_filter = ("state", "destination")
    search_fields = ("control_id",)
    list_select_related = ("destination",)
    exclude = ("payload", "answer")
    readonly_fields = ("message_text", "answer_text")

    @admin.display(description="message")
    def message_text(self, message: OutboundMessage) -> str:
        return readable(message.payload)

    @admin.display(description="answer")
    def answer_text(self, message: OutboundMessage) -> str:
        return readable(message.answer)
