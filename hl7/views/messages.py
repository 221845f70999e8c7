"""One message: what it says, field by field, what became of it, and its bytes as they came."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from hl7 import anatomy, inbox, replay
from hl7.er7 import Message
from hl7.forms import SettleForm
from hl7.header import Er7Error
from hl7.models import InboundMessage
from ris.access import staff
from ris.models import RequestedProcedure

#: Bytes of a message that the page shows as they came; the rest is in the download.
_BYTES_SHOWN = 16_384
#: Attempts under one control ID that the page lists.
_ATTEMPTS_SHOWN = 50


@staff
@require_safe
def message(request: HttpRequest, pk: int) -> HttpResponse:
    """All that is known of one message."""
    kept = get_object_or_404(InboundMessage.objects.select_related("feed", "patient", "replay_of"), pk=pk)
    character_set = kept.feed.default_character_set if kept.feed else "UTF-8"
    same = inbox.same_control_id(kept)
    context = {
        "kept": kept,
        "segments": read(bytes(kept.raw), character_set),
        "most_segments": anatomy.MOST_SEGMENTS,
        "answer": read(bytes(kept.answer), character_set),
        "size": len(kept.raw),
        "rows": dump(bytes(kept.raw)[:_BYTES_SHOWN]),
        "is_cut": len(kept.raw) > _BYTES_SHOWN,
        "exams": RequestedProcedure.objects.filter(order__in=kept.orders.all()).select_related("order"),
        "attempts": same[:_ATTEMPTS_SHOWN],
        "before": same.filter(pk__lt=pk).last(),
        "after": same.filter(pk__gt=pk).first(),
        "form": SettleForm(),
        "obstacle": replay.obstacle(kept),
        "waits": inbox.waits(kept),
    }
    return render(request, "hl7/message.html", context)


def read(raw: bytes, character_set: str) -> list[anatomy.ShownSegment]:
    """The segments, or none of what cannot be read as a message."""
    try:
        return anatomy.segments(Message.parse(raw, character_set))
    except Er7Error:
        return []


def dump(raw: bytes) -> list[tuple[str, str, str]]:
    """Sixteen bytes a row: where, in hexadecimal, and what of it is printable ASCII."""
    rows = []
    for at in range(0, len(raw), 16):
        piece = raw[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in piece)
        rows.append((f"{at:06x}", piece.hex(" "), text))
    return rows


@staff
@require_safe
def download(request: HttpRequest, pk: int) -> HttpResponse:
    """The bytes as they came. The file is named by our key."""
    kept = get_object_or_404(InboundMessage, pk=pk)
    return as_file(bytes(kept.raw), f"message-{pk}.hl7")


def as_file(raw: bytes, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(raw, content_type="application/octet-stream", headers=headers)
