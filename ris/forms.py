"""What people type in."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.forms.utils import from_current_timezone
from django.utils import timezone

from ris.models import Room, ScheduledProcedureStep


class BookForm(forms.Form):
    """Room, day and time of a step, in the site's zone. Only rooms whose stations can do the step are offered."""

    room = forms.ModelChoiceField(Room.objects.none(), empty_label=None)
    day = forms.DateField(widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"))
    # A text field, because a browser shows its own time field in the clock of the browser's language, not in 24 hours.
    time = forms.TimeField(
        input_formats=["%H:%M"],
        widget=forms.TimeInput(
            {"pattern": r"([01]?\d|2[0-3]):[0-5]\d", "size": 5, "title": "24 hours, 14:30"}, "%H:%M"
        ),
        error_messages={"invalid": "Write the time with 24 hours, such as 14:30."},
    )
    duration_minutes = forms.IntegerField(label="Minutes", min_value=1, max_value=24 * 60)

    def __init__(self, step: ScheduledProcedureStep, data: Any = None) -> None:
        start = timezone.localtime(step.start or step.requested_start or _next_quarter())
        initial = {"room": step.room_id, "day": start.date(), "time": start.time()}
        super().__init__(
            data,
            auto_id=f"book-{step.pk}-%s",
            initial=initial | {"duration_minutes": step.duration_minutes},
        )
        self.step = step
        wanted = {"stations__modality": step.modality} if step.modality else {}
        rooms = Room.objects.filter(stations__is_active=True, **wanted).distinct()
        self.fields["room"].queryset = rooms  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Adds ``start``; refuses an hour that the change of clocks leaves out or repeats."""
        cleaned = super().clean() or {}
        if "day" in cleaned and "time" in cleaned:
            cleaned["start"] = from_current_timezone(datetime.combine(cleaned["day"], cleaned["time"]))
        return cleaned

    def booking(self) -> dict[str, Any]:
        """What ``scheduling.book`` asks for."""
        cleaned = self.cleaned_data
        return {
            "room_pk": cleaned["room"].pk,
            "start": cleaned["start"],
            "duration_minutes": cleaned["duration_minutes"],
        }


def _next_quarter() -> datetime:
    now = timezone.now().replace(second=0, microsecond=0)
    return now + timedelta(minutes=15 - now.minute % 15)


class ReasonForm(forms.Form):
    """Why an exam is canceled: it goes into the history and to the HIS."""

    reason = forms.CharField(max_length=250, widget=forms.TextInput({"autocomplete": "off"}))


class SearchForm(forms.Form):
    """An accession number, a patient ID, or parts of a name."""

    text = forms.CharField(label="Accession number, patient ID or name", max_length=64)
