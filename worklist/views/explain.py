"""Why an exam is, or is not, on a scanner's list: the engineer's first stop at night."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from ris import sight
from ris.access import staff
from ris.models import Station
from worklist import explaining
from worklist.explaining import Case, Question, Verdict
from worklist.forms import ExplainForm
from worklist.models import WorklistQuery

#: Logged questions of one station that are replayed at once.
QUESTIONS = 20


@dataclass(frozen=True)
class Explained:
    """One step with each station's verdict, and how each logged question of the chosen station would be answered."""

    case: Case
    stations: list[tuple[Station, Verdict]]
    questions: list[tuple[Question, Verdict]]


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def explain(request: HttpRequest) -> HttpResponse:
    """The question first; posted, the answer. ``?query=`` and ``?station=`` are our keys."""
    posted = request.method == "POST"
    form = ExplainForm(request.POST if posted else None, initial=_keys(request))
    context: dict[str, Any] = {"form": form, "logged": _logged(form["query"].value())}
    if posted and form.is_valid():
        said = form.cleaned_data
        cases = explaining.cases_of(said["accession"].strip())
        context |= {
            "explained": [_explained(case, said["station"], said["question"]) for case in cases],
            "question": said["question"],
            "searched": True,
        }
    return render(request, "worklist/explain.html", context)


def _keys(request: HttpRequest) -> dict[str, Any]:
    found = {name: request.GET.get(name, "") for name in ("query", "station")}
    return {name: int(text) for name, text in found.items() if text.isascii() and text.isdigit() and len(text) < 19}


def _logged(pk: Any) -> WorklistQuery | None:
    text = str(pk or "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        return None
    return WorklistQuery.objects.select_related("station").filter(pk=int(text)).first()


def _stations(chosen: Station | None, question: Question | None) -> list[Station]:
    """The chosen one, else all of them, the one that asked before the others."""
    if chosen:
        return [chosen]
    asker = question.logged.station_id if question and question.logged else None
    return sorted(Station.objects.all(), key=lambda station: station.pk != asker)


def _explained(case: Case, chosen: Station | None, question: Question | None) -> Explained:
    titles = sight.siblings()
    rows = _stations(chosen, question)
    asked = chosen.queries.order_by("-last_at", "-pk")[:QUESTIONS] if chosen and not question else []
    questions = [Question.of(logged) for logged in asked]
    return Explained(
        case,
        [(station, explaining.verdict(case, station, titles[station.pk], question)) for station in rows],
        [(each, explaining.verdict(case, station, titles[station.pk], each)) for each in questions for station in rows],
    )
