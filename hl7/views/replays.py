"""Replaying messages: the difference first, then the deed."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from hl7 import replay
from hl7.models import InboundMessage
from hl7.preview import Preview
from hl7.replay import Candidate
from hl7.views.inbox import picked_messages
from ris.access import staff


@dataclass(frozen=True)
class Change:
    """An attribute as it is and as it would be, as texts."""

    what: str
    name: str
    is_new: bool
    attribute: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """What a replay of one message would do. Without an ``outcome`` it cannot be replayed: ``obstacle`` says why."""

    candidate: Candidate
    obstacle: str = ""
    outcome: str = ""
    sentence: str = ""
    changes: tuple[Change, ...] = ()


@staff
def preview(request: HttpRequest) -> HttpResponse:
    """What a replay of the picked messages would change. Nothing is kept."""
    if request.method != "POST":
        return redirect("inbox")
    candidates = replay.candidates(picked_messages(request).select_related("feed", "replay_of"))
    differences = [difference(candidate) for candidate in candidates]
    context = {
        "differences": differences,
        "possible": sum(not each.obstacle for each in differences),
        "accepted": sum(not each.obstacle and bool(each.candidate.accepted_as) for each in differences),
    }
    return render(request, "hl7/replay.html", context)


def difference(candidate: Candidate) -> Difference:
    found = candidate.obstacle or candidate.preview()
    if not isinstance(found, Preview):
        return Difference(candidate, obstacle=found)
    changes = tuple(
        Change(
            touched.kind, touched.name, touched.is_new, name.replace("_", " "), shown(value.before), shown(value.after)
        )
        for touched in found.touched
        for name, value in touched.changes.items()
        if value.after or not touched.is_new
    )
    return Difference(candidate, outcome=found.outcome, sentence=found.verdict.sentence, changes=changes)


def shown(value: Any) -> str:
    """A value of a column as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return timezone.localtime(value).strftime("%d %b %Y %H:%M")
    if isinstance(value, date):
        return value.strftime("%d %b %Y")
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return "" if value is None else str(value)


@staff
def carry_out(request: HttpRequest) -> HttpResponse:
    """Replay what the difference was shown of, and show the new rows."""
    if request.method != "POST":
        return redirect("inbox")
    who, accepted_too = request.user.get_username(), "accepted_too" in request.POST
    results = replay.replay_all(_chosen(request), who, accepted_too=accepted_too)
    done = [result.kept for result in results if result.kept]
    for result in results:
        if result.why_not:
            messages.error(request, f"Message {result.message.pk} was not replayed: {result.why_not}.")
    accepted = sum(kept.outcome == InboundMessage.Outcome.ACCEPTED for kept in done)
    if done:
        messages.success(request, f"{len(done)} replayed, of which {accepted} accepted.")
    if len(done) == 1:
        return redirect("message", pk=done[0].pk)
    return redirect(reverse("inbox") + ("?" + "&".join(f"id={kept.pk}" for kept in done) if done else ""))


def _chosen(request: HttpRequest) -> list[tuple[int, int]]:
    """Pairs of a message and the last replay that was seen of it."""
    pairs = [text.partition(":") for text in request.POST.getlist("chosen")[: replay.MOST]]
    keys = [(pk, seen) for pk, _colon, seen in pairs if f"{pk}{seen}".isascii() and pk.isdigit() and seen.isdigit()]
    known = set(InboundMessage.objects.filter(pk__in=[int(pk) for pk, _seen in keys]).values_list("pk", flat=True))
    return [(int(pk), int(seen)) for pk, seen in keys if int(pk) in known]
