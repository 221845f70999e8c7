"""What other systems are told: the destinations, their messages, and what a person does about those that failed."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from hl7 import outbox as deeds
from hl7.models import Destination, OutboundMessage
from hl7.views.messages import as_file, dump, read
from ris.access import carry_out, staff

State = OutboundMessage.State
#: Messages of one page.
PAGE = 50
#: States that are not the end. Of the others there are millions, and they are not counted.
_OPEN = (State.WAITING, State.FAILED, State.UNBUILT)


@dataclass(frozen=True)
class Line:
    """One destination as the page shows it."""

    destination: Destination
    waiting: int
    oldest: datetime | None
    failed: int
    last_taken: datetime | None
    fault: str


@staff
@require_safe
def outbox(request: HttpRequest) -> HttpResponse:
    """The destinations and the newest messages. With the ``version`` they are shown in: the live part, or 204."""
    shown, version = request.GET.get("version"), _version()
    if shown == version:
        return HttpResponse(status=204)
    rows, asked = _asked(request)
    page = list(rows.defer("payload", "answer").select_related("destination")[: PAGE + 1])
    context = {
        "version": version,
        "lines": _lines(),
        "rows": page[:PAGE],
        "older": page[PAGE - 1].pk if len(page) > PAGE else None,
        "asked": asked,
        "query": "&".join(f"{name}={value}" for name, value in asked.items() if value and name != "before"),
        "states": State.choices,
    }
    return render(request, "hl7/_outbox.html" if shown else "hl7/outbox.html", context)


def _asked(request: HttpRequest) -> tuple[QuerySet[OutboundMessage], dict[str, str]]:
    """The messages of ``?destination=&state=&before=``, the newest first; a part that is none is left out."""
    keys = {name: request.GET.get(name, "") for name in ("destination", "before")}
    asked = {name: text if text.isascii() and text.isdigit() and len(text) < 19 else "" for name, text in keys.items()}
    asked["state"] = request.GET.get("state", "") if request.GET.get("state") in State.values else ""
    rows = OutboundMessage.objects.order_by("-id")
    rows = rows.filter(destination=int(asked["destination"])) if asked["destination"] else rows
    rows = rows.filter(pk__lt=int(asked["before"])) if asked["before"] else rows
    return rows.filter(state=asked["state"]) if asked["state"] else rows, asked


def _lines() -> list[Line]:
    open_ = OutboundMessage.objects.filter(state__in=_OPEN).order_by()
    waits = Q(state=State.WAITING)
    rows = open_.values_list("destination").annotate(
        waiting=Count("pk", filter=waits), failed=Count("pk", filter=~waits)
    )
    counted = {destination: (waiting, failed) for destination, waiting, failed in rows}
    return [_line(to, *counted.get(to.pk, (0, 0))) for to in Destination.objects.order_by("name")]


def _line(destination: Destination, waiting: int, failed: int) -> Line:
    own = destination.messages.order_by("id")
    first = own.filter(state=State.WAITING).values_list("created_at", "last_error").first()
    oldest, fault = first or (None, "")
    last_taken = own.filter(state=State.TAKEN).values_list("taken_at", flat=True).last()
    return Line(destination, waiting, oldest, failed, last_taken, fault)


def _version() -> str:
    """A token that changes whenever the page may look different; ages are in words, so each minute is another."""
    minute = timezone.now().strftime("%d%H%M")
    newest = OutboundMessage.objects.order_by("-pk").values_list("pk", flat=True).first()
    open_ = OutboundMessage.objects.filter(state__in=_OPEN).order_by()
    states = open_.aggregate(all=Count("pk"), waiting=Count("pk", filter=Q(state=State.WAITING)), sent=Max("sent_at"))
    stopped = Destination.objects.filter(stopped_at__isnull=False).aggregate(count=Count("pk"), at=Max("stopped_at"))
    moments = [at.timestamp() if at else 0 for at in (states["sent"], stopped["at"])]
    return "-".join(map(str, (minute, newest, states["all"], states["waiting"], stopped["count"], *moments)))


@staff
@require_safe
def message(request: HttpRequest, pk: int) -> HttpResponse:
    """One message with the answer that it was given."""
    found = get_object_or_404(
        OutboundMessage.objects.select_related("destination", "event__requested_procedure__order"), pk=pk
    )
    payload = bytes(found.payload)
    context = {
        "sent": found,
        "segments": read(payload, "UTF-8"),
        "answer": read(bytes(found.answer), "UTF-8"),
        "rows": dump(payload),
        "size": len(payload),
        "held_up": deeds.held_up(found),
        "line": OutboundMessage.objects.filter(destination=found.destination_id, line=found.line).defer(
            "payload", "answer"
        ),
        "may_resend": found.state not in (State.WAITING, State.UNBUILT),
        "may_give_up": found.state == State.FAILED,
    }
    return render(request, "hl7/outbound.html", context)


@staff
@require_safe
def download(request: HttpRequest, pk: int) -> HttpResponse:
    """The bytes as they are sent."""
    return as_file(bytes(get_object_or_404(OutboundMessage, pk=pk).payload), f"outbound-{pk}.hl7")


@staff
def move(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """``resend`` or ``give-up``; a refusal is shown as a sentence."""
    moves = {"resend": (deeds.resend, "Waits to be sent again."), "give-up": (deeds.give_up, "Given up.")}
    if verb not in moves:
        raise Http404
    get_object_or_404(OutboundMessage, pk=pk)
    if request.method == "POST":
        carry_out(request, pk, *moves[verb])
    return redirect("outbound", pk=pk)


@staff
def move_destination(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """``stop`` or ``resume``."""
    destination = get_object_or_404(Destination, pk=pk)
    if verb not in ("stop", "resume"):
        raise Http404
    if request.method == "POST":
        if verb == "stop":
            deeds.stop(pk, request.user.get_username())
        else:
            deeds.resume(pk)
        told = "waits: nothing is sent to it" if verb == "stop" else "is sent to again"
        messages.success(request, f"{destination} {told}.")
    return redirect("outbox")
