"""What the pages of messages ask for. What names a patient is posted, and leaves the page only as keys of ours."""

from typing import Any

from django import forms
from django.http import QueryDict

from hl7.inbox import TO_SETTLE_OUTCOME, Filter
from hl7.models import HEADER_LENGTH, Feed, InboundMessage, Mention
from hl7.receive import HANDLERS
from ris import selectors

_OUTCOMES = [
    ("", "any"),
    (TO_SETTLE_OUTCOME, "to look at"),
    *((each.value, each.value) for each in InboundMessage.Outcome),
]
#: Patients of one search; of more a longer name is asked for.
MOST_PATIENTS = 20
_KEYS_SHOWN = 200


class InboxForm(forms.Form):
    """The inbox' filter. ``who`` is only ever posted; an address has ``patient`` and ``mention``, which are keys."""

    feed = forms.ModelChoiceField(Feed.objects.order_by("name"), required=False, empty_label="any")
    outcome = forms.ChoiceField(choices=_OUTCOMES, required=False)
    event = forms.CharField(max_length=15, required=False, label="Type", widget=forms.TextInput({"list": "events"}))
    who = forms.CharField(max_length=64, required=False, label="Patient ID or name")
    number = forms.CharField(max_length=64, required=False, label="Accession or order")
    control_id = forms.CharField(max_length=HEADER_LENGTH, required=False, label="Control ID (MSH-10)")
    day = forms.DateField(required=False, widget=forms.DateInput({"type": "date"}))

    field_order = ("day", "feed", "outcome", "event", "who", "number", "control_id")
    events = sorted("^".join(pair) for pair in HANDLERS)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, label_suffix="", auto_id="filter_%s")
        self.keys = {name: _keys(data, name) for name in ("patient", "mention", "id")}
        for field in self.fields.values():
            field.widget.attrs["autocomplete"] = "off"

    def filter(self) -> Filter:
        """What is asked for; a part that is not in order is left out, and the form says so."""
        self.is_valid()
        said: dict[str, Any] = self.cleaned_data
        return Filter(
            feed=said["feed"].pk if said.get("feed") else None,
            outcome=said.get("outcome", ""),
            event=said.get("event", "").upper(),
            number=said.get("number", ""),
            control_id=said.get("control_id", ""),
            day=said.get("day"),
            patients=self.keys["patient"],
            mention=next(iter(self.keys["mention"]), None),
            chosen=self.keys["id"],
        )

    def clean_who(self) -> str:
        """Turn what was typed into keys of patients, or of a message that names such an identifier."""
        text = self.cleaned_data["who"].strip()
        if not text:
            return ""
        patients = tuple(selectors.patients_found(text).values_list("pk", flat=True)[: MOST_PATIENTS + 1])
        mentions = Mention.objects.filter(kind=Mention.Kind.PATIENT, value=text).values_list("pk", flat=True)[:1]
        if len(patients) > MOST_PATIENTS:
            raise forms.ValidationError("This names many patients: write more of the name, or the whole ID")
        if not patients and not mentions:
            raise forms.ValidationError(
                "No patient and no message has this. An ID must be whole; of a name any parts do"
            )
        self.keys |= {"patient": patients, "mention": tuple(mentions)}
        return text

    def query(self) -> str:
        """The filter as an address can hold it: without what was typed as a patient."""
        asked = QueryDict(mutable=True)
        for name in self.fields:
            if name != "who" and self.data.get(name) and name not in self.errors:
                asked[name] = self.data[name].strip()
        for name, keys in self.keys.items():
            asked.setlist(name, [str(key) for key in keys])
        return asked.urlencode()


def _keys(data: QueryDict, name: str) -> tuple[int, ...]:
    return tuple(int(text) for text in data.getlist(name) if text.isascii() and text.isdigit() and len(text) < 19)[
        :_KEYS_SHOWN
    ]


class SettleForm(forms.Form):
    """Why nothing more is to be done about a message."""

    reason = forms.CharField(max_length=250, label="Reason (kept with your name)")

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, label_suffix="")
