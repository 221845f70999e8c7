"""Paste a message: what a feed would make of it, without keeping anything."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from hl7 import anatomy, batches
from hl7.header import Er7Error, Header
from hl7.models import Feed
from hl7.pasted import message_in
from hl7.preview import Preview, Touched, preview
from hl7.views.messages import read
from ris.access import staff
from ris.inputs import Code, Identifier

#: Bytes of one message.
_LONGEST = 2_000_000
_LEFT_OUT = "What stood around the message (a log, quotes, marks of line ends) was left out."
_SEVERAL = (
    "Messages in this frame: {count}. Each is taken for itself and answered {answered}; this is the first of them."
)
_FRAME_START, _FRAME_END = b"\x0b", b"\x1c"


class PasteForm(forms.Form):
    """A message as text, or a file of its bytes."""

    feed = forms.ModelChoiceField(Feed.objects.order_by("name"), empty_label=None, label="Feed")
    text = forms.CharField(
        required=False,
        strip=False,
        max_length=_LONGEST,
        label="Message",
        widget=forms.Textarea({"rows": 9, "spellcheck": "false", "placeholder": "MSH|^~\\&|…"}),
    )
    file = forms.FileField(required=False, label="or a file, byte for byte", max_length=250)

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        file: UploadedFile | None = cleaned.get("file")
        if file and (file.size or 0) > _LONGEST:
            raise forms.ValidationError("The file is larger than 2 MB")
        if not file and not (cleaned.get("text") or "").strip() and not self.errors:
            raise forms.ValidationError("Paste a message or choose a file")
        return cleaned

    def raw(self) -> bytes:
        """The bytes of the file, of its first MLLP frame if it has any, else the text in its own character set."""
        if file := self.cleaned_data["file"]:
            content = file.read()
            return (content.partition(_FRAME_START)[2] or content).partition(_FRAME_END)[0]
        text = message_in(self.cleaned_data["text"]).lstrip()
        header = Header.find(text.encode("utf-8", "replace"))
        codec = header.codec if header else ""
        return text.encode(codec if codec not in ("", "unknown") else "utf-8", "replace")


@dataclass(frozen=True)
class Row:
    """One attribute on the page."""

    name: str
    before: str
    after: str
    source: str
    is_changed: bool


@dataclass(frozen=True)
class Table:
    """What would become of one patient, order, exam or step."""

    title: str
    is_new: bool
    rows: tuple[Row, ...]


@staff
def paste(request: HttpRequest) -> HttpResponse:
    """The form, and below it what the message would do."""
    if request.method != "POST":
        return render(request, "hl7/paste.html", {"form": PasteForm(label_suffix="")})
    form = PasteForm(request.POST, request.FILES, label_suffix="")
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        feed, (raw, remarks) = form.cleaned_data["feed"], _one_message(form)
        found = preview(raw, feed)
        context |= {
            "remarks": remarks,
            "preview": found,
            "tables": [_table(touched) for touched in found.touched],
            "looked_up": _looked_up(found),
            "segments": read(raw, feed.default_character_set),
            "most_segments": anatomy.MOST_SEGMENTS,
            "answer": found.answer.decode(found.arrival.codec if found.arrival else "utf-8", "replace").splitlines(),
        }
    return render(request, "hl7/paste.html", context)


def _one_message(form: PasteForm) -> tuple[bytes, list[str]]:
    """The message that is looked at, the first of several, and what was left out to get it."""
    raw, remarks = form.raw(), []
    if not form.cleaned_data["file"] and message_in(form.cleaned_data["text"]) != form.cleaned_data["text"]:
        remarks.append(_LEFT_OUT)
    try:
        batch = batches.split(raw)
    except Er7Error as error:
        return raw, [*remarks, str(error)]
    if batch is None or not batch.messages:
        return raw, remarks
    if len(batch.messages) > 1 or batch.headers:
        answered = "by one batch" if batch.headers else "each in a frame of its own"
        remarks.append(_SEVERAL.format(count=len(batch.messages), answered=answered))
    return batch.messages[0], remarks


def _table(touched: Touched) -> Table:
    rows = (
        Row(_words(name), shown(value.before), shown(value.after), value.source, value.is_changed)
        for name, value in touched.values.items()
    )
    said = tuple(row for row in rows if row.before or row.after)
    return Table(f"{touched.kind.capitalize()} {touched.name}", touched.is_new, said)


def _looked_up(found: Preview) -> list[Row]:
    """Each value that was read in the message, once."""
    log = found.arrival.reading.log if found.arrival and found.arrival.reading else []
    rows = (Row(_words(each.attribute), "", shown(each.value), each.source, False) for each in log)
    return list(dict.fromkeys(rows))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, datetime):
        at = value if value.tzinfo is None else timezone.localtime(value)
        return at.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, list | tuple):
        return ", ".join(shown(each) for each in value if each)
    if isinstance(value, Identifier):
        return " ".join(filter(None, (value.value, value.issuer)))
    if isinstance(value, Code):
        return " ".join(filter(None, (value.value, value.meaning, value.scheme)))
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else str(value)
