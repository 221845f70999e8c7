"""Feeds and destinations are configured here; messages are only looked at."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from hl7 import feeds
from hl7.models import Destination, Feed, FeedVersion, InboundMessage, Listener, OutboundMessage, Subscription


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


class JsonArea(forms.Textarea):
    """JSON with a line for each entry."""

    def format_value(self, value: Any) -> str | None:
        try:
            return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
        except (TypeError, ValueError):  # as it was typed, with the fault in it
            return super().format_value(value)


class FeedForm(forms.ModelForm):
    """A feed whose mapping is checked before it is saved, with a sentence for each bad line."""

    mapping = forms.JSONField(
        required=False,
        initial=dict,
        widget=JsonArea(attrs={"rows": 24, "cols": 110, "spellcheck": "false"}),
        help_text="What this feed does otherwise than its preset; manage.py feed show NAME prints the whole",
    )

    def clean_mapping(self) -> Any:
        """An empty box changes nothing of the preset."""
        mapping = self.cleaned_data["mapping"]
        return {} if mapping is None else mapping

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors:
            draft = Feed(**{name: self.cleaned_data[name] for name in feeds.FIELDS})
            feeds.check(draft)
        return cleaned


class FeedVersionInline(admin.TabularInline):
    """The versions that were, newest first."""

    model = FeedVersion
    extra = 0
    can_delete = False
    readonly_fields = fields = ("number", "at", "who", "content_text")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="content")
    def content_text(self, version: FeedVersion) -> str:
        return feeds.text(version.content)


@admin.register(Listener)
class ListenerAdmin(admin.ModelAdmin):
    list_display = ("name", "host", "port", "release", "is_active")


@admin.register(Feed)
class FeedAdmin(admin.ModelAdmin):
    list_display = ("name", "sending_application", "sending_facility", "allowed_networks", "preset", "is_active")
    form = FeedForm
    inlines = (FeedVersionInline,)

    def save_model(self, request: HttpRequest, obj: Feed, form: Any, change: bool) -> None:
        feeds.save(obj, request.user.get_username())


class SubscriptionInline(admin.TabularInline):
    model = Subscription
    extra = 0


@admin.register(Destination)
class DestinationAdmin(admin.ModelAdmin):
    list_display = ("name", "host", "port", "is_active", "stopped_at")
    readonly_fields = ("stopped_at", "stopped_because")
    inlines = (SubscriptionInline,)


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
    list_display = ("created_at", "destination", "kind", "control_id", "state", "attempts", "last_error", "taken_at")
    list_filter = ("state", "destination", "kind")
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
