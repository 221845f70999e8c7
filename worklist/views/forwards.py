"""MPPS passed on: the destinations, what waits and what they refused, and N-SETs that came without their N-CREATE."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe
from pydicom.dataset import Dataset

from ris.access import carry_out, staff
from worklist import forwarding
from worklist.models import EarlyUpdate, MppsDestination, MppsForward

State = MppsForward.State
#: Rows of one page, and attributes of one message that are shown.
PAGE, MOST_ATTRIBUTES = 50, 300
#: States that are not the end. Of the others there are millions, and they are not counted.
_OPEN = (State.WAITING, State.PARKED)


@dataclass(frozen=True)
class Line:
    """One destination as the page shows it."""

    destination: MppsDestination
    waiting: int
    parked: int
    oldest: datetime | None
    last_sent: datetime | None
    fault: str


@staff
@require_safe
def forwards(request: HttpRequest) -> HttpResponse:
    """The destinations and the newest messages. With the ``version`` they are shown in: the live part, or 204."""
    shown, version = request.GET.get("version"), _version()
    if shown == version:
        return HttpResponse(status=204)
    rows, asked = _asked(request)
    page = list(rows.defer("attributes").select_related("destination")[: PAGE + 1])
    context = {
        "version": version,
        "lines": _lines(),
        "rows": page[:PAGE],
        "older": page[PAGE - 1].pk if len(page) > PAGE else None,
        "asked": asked,
        "query": "&".join(f"{name}={value}" for name, value in asked.items() if value and name != "before"),
        "states": State.choices,
        "early": EarlyUpdate.objects.defer("attributes")[:PAGE],
    }
    return render(request, "worklist/_forwards.html" if shown else "worklist/forwards.html", context)


def _asked(request: HttpRequest) -> tuple[QuerySet[MppsForward], dict[str, str]]:
    """The messages of ``?destination=&state=&before=``, the newest first; a part that is none is left out."""
    keys = {name: request.GET.get(name, "") for name in ("destination", "before")}
    asked = {name: text if text.isascii() and text.isdigit() and len(text) < 19 else "" for name, text in keys.items()}
    asked["state"] = request.GET.get("state", "") if request.GET.get("state") in State.values else ""
    rows = MppsForward.objects.order_by("-id")
    rows = rows.filter(destination=int(asked["destination"])) if asked["destination"] else rows
    rows = rows.filter(pk__lt=int(asked["before"])) if asked["before"] else rows
    return rows.filter(state=asked["state"]) if asked["state"] else rows, asked


def _lines() -> list[Line]:
    waits = Q(state=State.WAITING)
    counted = MppsForward.objects.filter(state__in=_OPEN).order_by().values_list("destination")
    rows = counted.annotate(waiting=Count("pk", filter=waits), parked=Count("pk", filter=~waits))
    open_ = {destination: (waiting, parked) for destination, waiting, parked in rows}
    return [_line(to, *open_.get(to.pk, (0, 0))) for to in MppsDestination.objects.all()]


def _line(destination: MppsDestination, waiting: int, parked: int) -> Line:
    own = destination.forwards.order_by("id")
    first = own.filter(state=State.WAITING).values_list("created_at", "last_error").first()
    oldest, fault = first or (None, "")
    last = own.filter(state=State.SENT).values_list("sent_at", flat=True).last()
    return Line(destination, waiting, parked, oldest, last, fault)


def _version() -> str:
    """A token that changes whenever the page may look different; ages are in words, so each minute is another."""
    minute = timezone.now().strftime("%d%H%M")
    newest = MppsForward.objects.order_by("-pk").values_list("pk", flat=True).first()
    open_ = MppsForward.objects.filter(state__in=_OPEN).order_by()
    waits = Q(state=State.WAITING)
    states = open_.aggregate(all=Count("pk"), waiting=Count("pk", filter=waits), tried=Max("attempts"))
    early = EarlyUpdate.objects.aggregate(count=Count("pk"), at=Max("last_at"))
    at = early["at"].timestamp() if early["at"] else 0
    return "-".join(map(str, (minute, newest, *states.values(), early["count"], at)))


@staff
@require_safe
def forward(request: HttpRequest, pk: int) -> HttpResponse:
    """One message: its attributes, and what became of it."""
    found = get_object_or_404(MppsForward.objects.select_related("destination"), pk=pk)
    line = MppsForward.objects.filter(destination=found.destination_id, sop_instance_uid=found.sop_instance_uid)
    attributes = list(_attributes(forwarding.dataset_of(found), ""))
    context = {
        "sent": found,
        "attributes": attributes[:MOST_ATTRIBUTES],
        "more": max(0, len(attributes) - MOST_ATTRIBUTES),
        "line": line.defer("attributes"),
        "held_up": forwarding.later(found).filter(state=State.WAITING).count() if found.state == State.PARKED else 0,
        "may_resend": found.state != State.WAITING,
        "may_give_up": found.state == State.PARKED,
    }
    return render(request, "worklist/forward.html", context)


def _attributes(dataset: Dataset, depth: str) -> Iterator[tuple[str, str, str]]:
    """Tag, keyword (behind ``>`` for each sequence it is in) and value."""
    for element in dataset:
        tag = f"{element.tag.group:04X},{element.tag.element:04X}"
        name = depth + (element.keyword or "(private)")
        if element.VR != "SQ":
            yield tag, name, "" if element.value is None else str(element.value)
            continue
        yield tag, name, f"{len(element.value or [])} items"
        for item in element.value or []:
            yield from _attributes(item, f">{depth}")


@staff
def move(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """``resend`` or ``give-up``; a refusal is shown as a sentence."""
    moves = {"resend": (forwarding.resend, "Waits to be sent again."), "give-up": (forwarding.give_up, "Given up.")}
    if verb not in moves:
        raise Http404
    get_object_or_404(MppsForward, pk=pk)
    if request.method == "POST":
        carry_out(request, pk, *moves[verb])
    return redirect("forward", pk=pk)
