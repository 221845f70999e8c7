"""The exam's page and what the desk and the technologist do there."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ris import selectors, sight
from ris.errors import Refusal
from ris.forms import BookForm, ReasonForm
from ris.inputs import Actor
from ris.models import RequestedProcedure, ScheduledProcedureStep
from ris.services import images, orders, scheduling
from ris.states import Verb

#: What a button does, and what the page says then.
_MOVES: dict[str, tuple[Callable[[int, Actor], ScheduledProcedureStep], str]] = {
    Verb.ARRIVE: (scheduling.arrive, "Checked in."),
    Verb.READY: (scheduling.ready, "Ready for the scanner."),
    Verb.HOLD: (scheduling.hold, "On hold: no scanner sees it."),
    Verb.RELEASE: (scheduling.release, "Released: scanners see it again."),
    Verb.NO_SHOW: (scheduling.no_show, "Marked as no-show."),
}


def actor(request: HttpRequest) -> Actor:
    """The person at the keyboard."""
    return Actor(kind="USER", name=request.user.get_username())


@require_safe
@never_cache
def exam(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one exam; 204 if it is still as in the ``version`` that is shown."""
    shown = request.GET.get("version")
    if shown and shown == selectors.exam_version(pk):
        return HttpResponse(status=204)
    return _page(request, pk)


def move(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Do one of ``_MOVES`` to a step; a refusal is shown as a sentence."""
    step = get_object_or_404(ScheduledProcedureStep, pk=pk)
    if verb not in _MOVES:
        raise Http404
    do, done = _MOVES[verb]
    return _done(request, step.requested_procedure_id, lambda: do(pk, actor(request)), done)


def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel the exam for the reason given."""
    get_object_or_404(RequestedProcedure, pk=pk)
    form = ReasonForm(request.POST or None)
    if not form.is_valid():
        return _page(request, pk, cancel_form=form)
    reason = form.cleaned_data["reason"]
    return _done(request, pk, lambda: orders.cancel_exam(pk, actor(request), reason), "The exam is canceled.")


def book(request: HttpRequest, pk: int) -> HttpResponse:
    """Book the step into a room and time, or move its booking."""
    step = get_object_or_404(selectors.steps(), pk=pk)
    form = BookForm(step, request.POST or None)
    if not form.is_valid():
        return _page(request, step.requested_procedure_id, book_form=form)
    booking = form.booking()
    return _done(
        request,
        step.requested_procedure_id,
        lambda: scheduling.book(pk, actor=actor(request), **booking),
        f"Booked into {form.cleaned_data['room']}.",
    )


def _done(request: HttpRequest, exam_pk: int, do: Callable[[], object], done: str) -> HttpResponse:
    """Do it, say so or why not, and go back to where the button was.

    A GET does nothing: whoever had to log in anew after pressing a button is led here and then to the exam.
    """
    if request.method != "POST":
        return redirect("exam", pk=exam_pk)
    try:
        do()
    except Refusal as refusal:
        messages.error(request, f"{refusal}.")
    else:
        messages.success(request, done)
    return redirect("board") if request.POST.get("back") == "board" else redirect("exam", pk=exam_pk)


def _page(
    request: HttpRequest, pk: int, *, book_form: BookForm | None = None, cancel_form: ReasonForm | None = None
) -> HttpResponse:
    """The exam's page; a form that was not in order is shown as it was filled in."""
    procedure = get_object_or_404(selectors.exams(), pk=pk)
    siblings = sight.siblings()
    context = {
        "exam": procedure,
        "order": procedure.order,
        "patient": procedure.order.patient,
        "steps": [_step(step, book_form, siblings) for step in procedure.steps.all()],
        "performed_steps": selectors.performed_steps(procedure),
        "images_missing": images.missing_instances(procedure).values("sop_instance_uid").distinct().count(),
        "version": selectors.exam_version(pk),
        "origins": selectors.origins(procedure),
        "history": selectors.history(procedure).order_by("-pk"),
        "cancel_form": cancel_form or ReasonForm(),
        "can_cancel": any(step.allows(Verb.CANCEL) for step in procedure.steps.all()),
    }
    return render(request, "ris/exam.html", context)


def _step(
    step: ScheduledProcedureStep, book_form: BookForm | None, siblings: Mapping[int, Collection[str]]
) -> dict[str, Any]:
    """A step with what can be done to it now, and whether its stations see it."""
    obstacles = selectors.worklist_obstacles(step)
    stations = [(each, sight.station_obstacles(step, each, siblings[each.pk])) for each in step.stations.all()]
    given = book_form if book_form and book_form.step.pk == step.pk else None
    return {
        "step": step,
        "obstacles": obstacles,
        "shown_at": [station for station, hidden in stations if not hidden],
        "hidden_at": [(station, hidden) for station, hidden in stations if hidden],
        "may": {verb.name.lower(): step.allows(verb) for verb in Verb},
        "book_form": (given or BookForm(step)) if step.allows(Verb.SCHEDULE) else None,
        "is_open": bool(given) or step.start is None,
    }
