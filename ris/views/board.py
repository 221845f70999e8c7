"""Today's board: who is expected where, and what happens now."""

from collections import Counter
from datetime import date, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ris import selectors
from ris.models import ScheduledProcedureStep
from ris.states import ExamStatus

#: Orders shown beside the board; more than these are counted.
WAITING_SHOWN = 40


@require_safe
@never_cache
def board(request: HttpRequest) -> HttpResponse:
    """The board of ``?day=YYYY-MM-DD``, else of today. With the ``version`` it is shown in: the board alone, or 204."""
    day = _asked_day(request) or timezone.localdate()
    version = f"{day}.{selectors.board_version()}"
    shown = request.GET.get("version")
    if shown == version:
        return HttpResponse(status=204)
    return render(request, "ris/_board.html" if shown else "ris/board.html", _context(request, day, version))


def _asked_day(request: HttpRequest) -> date | None:
    """The day that the address names; None without one, or with one that is none."""
    try:
        day = parse_date(request.GET.get("day", ""))
    except ValueError:
        return None
    return day if day and 1900 < day.year < 2200 else None


def _context(request: HttpRequest, day: date, version: str) -> dict:
    columns = selectors.board(day)
    waiting = selectors.unscheduled_steps()
    steps = [step for column in columns for step in column.steps]
    return {
        "columns": columns,
        "counts": _counts(steps),
        "total": len(steps),
        "day": day,
        "asked_day": _asked_day(request),
        "today": timezone.localdate(),
        "before": day - timedelta(days=1),
        "after": day + timedelta(days=1),
        "version": version,
        "waiting": waiting[:WAITING_SHOWN],
        "waiting_count": waiting.count(),
        "to_reconcile": sum(rows.count() for rows in selectors.to_reconcile()),
    }


def _counts(steps: list[ScheduledProcedureStep]) -> list[tuple[str, int]]:
    """How many steps are in each status, in the order of the exam's life."""
    counted = Counter(step.shown_status for step in steps)
    life = [*ExamStatus]
    life.insert(life.index(ExamStatus.ARRIVED) + 1, "READY")  # a step's status that is none of an exam
    return [(status, counted[status]) for status in [*life, "COMPLETED"] if counted[status]]
