"""What an engineer types in: a new station, and what is to be explained."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ris.models import Department, Station
from worklist.explaining import Question
from worklist.models import StationActivity, UnknownCaller, WorklistQuery

#: Words in the names of SOP classes, and in AE titles, that tell a modality; the first that fits.
_MODALITIES = (
    ("Mammography", "MG"),
    ("Digital X-Ray", "DX"),
    ("Computed Radiography", "CR"),
    ("CT Image", "CT"),
    ("MR Image", "MR"),
    ("Ultrasound", "US"),
    ("X-Ray Angiographic", "XA"),
    ("X-Ray Radiofluoroscopic", "RF"),
    ("Nuclear Medicine", "NM"),
    ("Positron Emission", "PT"),
    ("Endoscopic", "ES"),
    ("Ophthalmic", "OP"),
)
_IN_TITLE = re.compile(r"(?<![A-Z])(CT|MR|US|DX|CR|MG|XA|RF|NM|PT|ES|OP|IO|PX|BMD)(?![A-Z])")


class AddStationForm(forms.ModelForm):
    """A refused caller as a station, prefilled by what is known of it."""

    ae_title = forms.CharField(label="AE title", disabled=True)

    class Meta:
        model = Station
        fields = ("ae_title", "name", "modality", "room", "department", "sends_mpps", "character_set")
        labels = {"sends_mpps": "Sends MPPS"}

    def __init__(self, caller: UnknownCaller, data: Any = None) -> None:
        super().__init__(data, initial={"ae_title": caller.ae_title} | known(caller), label_suffix="")


def known(caller: UnknownCaller) -> dict[str, Any]:
    """Modality, room and department as far as what it asked, its title and its address tell them."""
    departments = list(Department.objects.all()[:2])
    facts: dict[str, Any] = {"modality": modality_of(caller)}
    if len(departments) == 1:
        facts["department"] = departments[0]
    if neighbour := neighbour_of(caller):
        facts |= {"room": neighbour.room, "department": neighbour.department}
        facts["modality"] = facts["modality"] or neighbour.modality
    return facts


def neighbour_of(caller: UnknownCaller) -> Station | None:
    """The station that calls from the same address: the same device under another title, or one beside it.

    If the caller's modality is known, one of that modality: several devices may share a gateway's address.
    """
    at = StationActivity.objects.filter(address=caller.address).order_by("station__ae_title")
    if modality := modality_of(caller):
        at = at.filter(station__modality=modality)
    return next((activity.station for activity in at.select_related("station__room", "station__department")[:1]), None)


def modality_of(caller: UnknownCaller) -> str:
    """What the SOP classes that it proposed tell, else its AE title; empty if neither does."""
    proposed = " ".join(caller.asked)
    by_class = next((modality for word, modality in _MODALITIES if word in proposed), "")
    in_title = _IN_TITLE.search(caller.ae_title.upper())
    return by_class or (in_title.group() if in_title else "")


class ExplainForm(forms.Form):
    """Which exam, for which station, by which question. The accession number is only ever posted."""

    accession = forms.CharField(max_length=64, label="Accession number")
    station = forms.ModelChoiceField(
        Station.objects.order_by("ae_title"), required=False, empty_label="every station", label="Station"
    )
    query = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)
    keys = forms.CharField(
        required=False,
        max_length=4_000,
        label="Keys that it would ask by, one Keyword=value in each line",
        widget=forms.Textarea({"rows": 4, "cols": 60, "spellcheck": "false", "placeholder": "Modality=CT"}),
    )

    def __init__(self, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial, label_suffix="", auto_id="explain_%s")
        self.fields["accession"].widget.attrs |= {"autocomplete": "off", "autofocus": data is None}

    def clean(self) -> dict[str, Any]:
        """Adds ``question``: the logged one, the keys that were written, or None."""
        cleaned = super().clean() or {}
        lines = [line for line in cleaned.get("keys", "").splitlines() if line.strip()]
        cleaned["question"] = None
        if lines:
            cleaned["question"] = _said(lines)
        elif cleaned.get("query"):
            logged = WorklistQuery.objects.select_related("station").filter(pk=cleaned["query"]).first()
            if logged is None:
                raise ValidationError("This question is not kept any more.")
            cleaned["question"] = Question.of(logged)
        return cleaned


def _said(lines: list[str]) -> Question:
    try:
        return Question.said(lines)
    except ValueError as error:
        raise ValidationError({"keys": f"{error}."}) from None
