"""What the list of exams can be asked for. Anything else is refused by its name, not ignored."""

import datetime

from django.db.models import Exists, OuterRef, QuerySet
from django_filters import rest_framework as filters
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from ris import selectors
from ris.models import PatientIdentifier, RequestedProcedure, ScheduledProcedureStep
from ris.states import ExamStatus

_PAGING = ("limit", "offset")


class ExamFilter(filters.FilterSet):
    """Each parameter narrows the list; text is matched as a whole."""

    accession_number = filters.CharFilter("order__accession_number")
    placer_order_number = filters.CharFilter("order__placer_order_number")
    patient_id = filters.CharFilter(method="of_patient", label="Any identifier of the patient, of any issuer")
    status = filters.ChoiceFilter(choices=[(status.value, status.value) for status in ExamStatus])
    date = filters.DateFilter(method="on_day", label="A step is booked on this day of the site, YYYY-MM-DD")
    modality = filters.CharFilter(method="of_modality", label="A step has this modality")

    class Meta:
        model = RequestedProcedure
        fields: list[str] = []

    def of_patient(self, exams: QuerySet, name: str, value: str) -> QuerySet:
        identifiers = PatientIdentifier.objects.filter(patient=OuterRef("order__patient"), value=value)
        return exams.filter(Exists(identifiers))

    def on_day(self, exams: QuerySet, name: str, value: datetime.date) -> QuerySet:
        begin, end = selectors.day_bounds(value)
        return exams.filter(_has_step(start__gte=begin, start__lt=end))

    def of_modality(self, exams: QuerySet, name: str, value: str) -> QuerySet:
        return exams.filter(_has_step(modality=value))


def _has_step(**facts) -> Exists:
    return Exists(ScheduledProcedureStep.objects.filter(requested_procedure=OuterRef("pk"), **facts))


class StrictFilterBackend(filters.DjangoFilterBackend):
    """Refuses a parameter that it does not know: a misspelt filter must not answer with everything."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: APIView) -> QuerySet:
        listing = not getattr(view, "detail", False)
        known = {*ExamFilter.base_filters, *_PAGING} if listing else set()
        unknown = {name: "There is no such parameter." for name in request.query_params if name not in known}
        not_numbers = {
            name: "Must be a whole number, 0 or more."
            for name in _PAGING
            if not request.query_params.get(name, "0").isdecimal()
        }
        if wrong := unknown | not_numbers:
            raise ValidationError(wrong)
        return super().filter_queryset(request, queryset, view) if listing else queryset
