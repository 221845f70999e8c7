"""The scanners: their last signs of life, and all that is known of one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from ris import sight
from ris.access import staff
from ris.models import Station
from worklist import overview
from worklist.models import TextLoss

#: Rows of each kind that a station's page shows.
SHOWN = 50


@staff
@require_safe
def stations(request: HttpRequest) -> HttpResponse:
    """All stations and who was refused. With the ``version`` they are shown in: the live part alone, or 204."""
    shown, version = request.GET.get("version"), overview.version()
    if shown == version:
        return HttpResponse(status=204)
    context = {
        "version": version,
        "lines": overview.lines(),
        "callers": overview.unknown_callers(),
    }
    return render(request, "worklist/_stations.html" if shown else "worklist/stations.html", context)


@staff
@require_safe
def station(request: HttpRequest, pk: int) -> HttpResponse:
    """One station: profile, activity, questions, losses, defects and its worklist now."""
    found = get_object_or_404(Station.objects.select_related("room", "department", "activity"), pk=pk)
    own, department = overview.shown_entries(found)
    losses = TextLoss.objects.filter(station=found).select_related("step__requested_procedure__order")
    context = {
        "station": found,
        "activity": overview.activity_of(found),
        "silence": next((each for each in overview.silences() if each.station == found), None),
        "profile": overview.in_words(found, sight.siblings()[pk]),
        "questions": found.queries.order_by("-last_at", "-pk")[:SHOWN],
        "losses": losses.order_by("-at", "-pk")[:SHOWN],
        "defects": found.mpps_defects.order_by("-last_at", "-pk")[:SHOWN],
        "own": own,
        "department": department,
    }
    return render(request, "worklist/station.html", context)
