"""Who was refused: made a station by one click, or dismissed."""

from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from ris.access import staff
from ris.models import Station, StationAlias
from worklist.forms import AddStationForm, neighbour_of
from worklist.models import UnknownCaller
from worklist.stations import STATIONS_SECONDS


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def caller(request: HttpRequest, pk: int) -> HttpResponse:
    """What is known of a refused caller, and the station that it would be."""
    found = get_object_or_404(UnknownCaller, pk=pk)
    form = AddStationForm(found, request.POST or None)
    if request.method == "POST":
        _may_add(request)
        if form.is_valid():
            return _added(request, form)
    context = {
        "caller": found,
        "form": form,
        "station": Station.objects.filter(ae_title=found.ae_title).first(),
        "alias": StationAlias.objects.filter(ae_title=found.ae_title).select_related("station").first(),
        "neighbour": neighbour_of(found),
        "may_add": request.user.has_perm("ris.add_station"),
    }
    return render(request, "worklist/caller.html", context)


def _may_add(request: HttpRequest) -> None:
    if not request.user.has_perm("ris.add_station"):
        raise PermissionDenied


def _added(request: HttpRequest, form: AddStationForm) -> HttpResponse:
    with transaction.atomic():
        station = form.save()
        LogEntry.objects.log_actions(
            str(request.user.pk),
            [station],
            ADDITION,
            change_message="Added from the list of refused callers.",
            single_object=True,
        )
        UnknownCaller.objects.filter(ae_title=station.ae_title).delete()
    messages.success(request, f"{station} may call in {STATIONS_SECONDS:.0f} seconds.")
    return redirect("station", pk=station.pk)


@staff
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a caller off the list; if it calls again it is there again."""
    if request.method == "POST":
        _may_add(request)
        UnknownCaller.objects.filter(pk=pk).delete()
        messages.success(request, "Dismissed. If it calls again, it is listed again.")
    return redirect("stations")
