"""Why an exam is, or is not, on a scanner's list: the engineer's first stop at night."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from ris import sight
from ris.access import staff
from ris.models import Station
from worklist import explaining, overview
from worklist.explaining import Case, Question, Verdict
from worklist.forms import ExplainForm
from worklist.models import UnknownCaller, WorklistQuery

#: Logged questions that are replayed at once: of a chosen station, and else of each that the step is assigned to.
QUESTIONS, FEW_QUESTIONS = 20, 5
#: Who was refused within this time may be the scanner that misses the exam.
REFUSED_WITHIN = timedelta(days=1)
MOST_REFUSED = 5


@dataclass(frozen=True)
class Explained:
    """One step with each station's verdict, and how what a station asked would be answered: of the chosen one, else of
    those that the step is assigned to."""

    case: Case
    stations: list[tuple[Station, Verdict]]
    questions: list[tuple[Question, Verdict]]


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def explain(request: HttpRequest) -> HttpResponse:
    """The question first; posted, the answer. ``?query=`` and ``?station=`` are our keys."""
    posted = request.method == "POST"
    form = ExplainForm(request.POST if posted else None, initial=_keys(request))
    context: dict[str, Any] = {"form": form, "logged": _logged(form["query"].value()), "refused": _refused()}
    if posted and form.is_valid():
        said = form.cleaned_data
        cases = explaining.cases_of(said["accession"].strip())
        context |= {
            "explained": [_explained(case, said["station"], said["question"]) for case in cases],
            "question": said["question"],
            "searched": True,
        }
    return render(request, "worklist/explain.html", context)


def _refused() -> QuerySet[UnknownCaller]:
    return overview.unknown_callers().filter(last_at__gt=timezone.now() - REFUSED_WITHIN)[:MOST_REFUSED]


def _keys(request: HttpRequest) -> dict[str, Any]:
    found = {name: request.GET.get(name, "") for name in ("query", "station")}
    return {name: int(text) for name, text in found.items() if text.isascii() and text.isdigit() and len(text) < 19}


def _logged(pk: Any) -> WorklistQuery | None:
    text = str(pk or "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        return None
    return WorklistQuery.objects.select_related("station").filter(pk=int(text)).first()


def _stations(case: Case, chosen: Station | None, question: Question | None) -> list[Station]:
    """The chosen one, else all of them: first the one that asked, then those that the step is assigned to."""
    stations = Station.objects.select_related("activity")
    if chosen:
        return [stations.get(pk=chosen.pk)]
    asker = question.logged.station_id if question and question.logged else None
    assigned = _assigned(case)
    return sorted(stations, key=lambda station: (station.pk != asker, station.pk not in assigned))


def _assigned(case: Case) -> set[int]:
    return {station.pk for station in case.step.stations.all()}


def _asked(case: Case, rows: list[Station], chosen: Station | None) -> Iterator[tuple[Station, Question]]:
    """What the chosen station asked last, else what those asked that the step is assigned to."""
    for station in rows if chosen else [row for row in rows if row.pk in _assigned(case)]:
        for logged in station.queries.order_by("-last_at", "-pk")[: QUESTIONS if chosen else FEW_QUESTIONS]:
            yield station, Question.of(logged)


def _explained(case: Case, chosen: Station | None, question: Question | None) -> Explained:
    titles = sight.siblings()
    rows = _stations(case, chosen, question)
    asked = () if question else _asked(case, rows, chosen)
    return Explained(
        case,
        [(station, explaining.verdict(case, station, titles[station.pk], question)) for station in rows],
        [(each, explaining.verdict(case, station, titles[station.pk], each)) for station, each in asked],
    )
