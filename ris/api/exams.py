"""Exams for other programs, read only."""

from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from ris import selectors, sight
from ris.api.filters import ExamFilter, StrictFilterBackend
from ris.api.paging import Paging
from ris.api.serializers import EventSerializer, ExamSerializer, StationWorklistSerializer
from ris.models import RequestedProcedure, ScheduledProcedureStep, Station


class ExamViewSet(ReadOnlyModelViewSet):
    """Exams with order numbers, patient, steps and image counts."""

    serializer_class = ExamSerializer
    filterset_class = ExamFilter
    filter_backends = [StrictFilterBackend]
    pagination_class = Paging
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[RequestedProcedure]:
        return selectors.exams().order_by("pk")

    @extend_schema(responses=EventSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def history(self, request: Request, pk: int) -> Response:
        """All that happened to the exam and its order, oldest first."""
        events = selectors.history(self.get_object())
        return Response(EventSerializer(events, many=True).data)

    @extend_schema(responses=StationWorklistSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def worklist(self, request: Request, pk: int) -> Response:
        """For each active station: is the exam on its worklist now, and if not, what keeps it off."""
        steps = list(self.get_object().steps.all())
        titles = sight.siblings()
        seen = [_seen_by(station, titles[station.pk], steps) for station in selectors.active_stations()]
        return Response(StationWorklistSerializer(seen, many=True).data)


def _seen_by(station: Station, titles: Collection[str], steps: list[ScheduledProcedureStep]) -> dict[str, Any]:
    seen = []
    for step in steps:
        obstacles = sight.station_obstacles(step, station, titles)
        seen.append(
            {
                "scheduled_procedure_step_id": step.scheduled_procedure_step_id,
                "on_worklist": not obstacles,
                "obstacles": obstacles,
            }
        )
    return {"station": station.ae_title, "on_worklist": any(step["on_worklist"] for step in seen), "steps": seen}
