"""All shared reads. Nothing here writes, and nothing elsewhere asks these questions in another way."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Case, Count, Exists, OuterRef, Prefetch, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from ris import arrivals
from ris.errors import UnknownPerformedStep
from ris.models import (
    Instance,
    Order,
    Patient,
    PerformedProcedureStep,
    RequestedProcedure,
    Room,
    ScheduledProcedureStep,
    Series,
    Station,
    Study,
    WorkflowEvent,
    name_key,
)
from ris.states import OVER, PENDING, StepStatus


def site_zone() -> ZoneInfo:
    """The site's time zone: every time a person or a scanner sees is in it."""
    return ZoneInfo(settings.TIME_ZONE)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Begin and end (exclusive) of a day of the site, aware; 23 or 25 hours long where clocks change."""
    zone = site_zone()
    begin = datetime.combine(day, time(), zone)
    return begin, datetime.combine(day + timedelta(days=1), time(), zone)


def steps() -> QuerySet[ScheduledProcedureStep]:
    """Steps with what their pages, answers and messages show."""
    return ScheduledProcedureStep.objects.select_related(
        "room", "requested_procedure__order__patient", "requested_procedure__order__visit"
    ).prefetch_related("stations")


def worklist_steps(statuses: Collection[StepStatus] = PENDING) -> QuerySet[ScheduledProcedureStep]:
    """What worklists may show: steps that wait for scanner or patient, not on hold, with a station.

    A scanner that asks for other ``statuses`` by Scheduled Procedure Step Status (0040,0020) gets those.
    """
    # EXISTS, not a join: DISTINCT over a join sorts every column of every row.
    assigned = ScheduledProcedureStep.stations.through.objects.filter(scheduledprocedurestep=OuterRef("pk"))
    return steps().filter(Exists(assigned), status__in=statuses, on_hold=False)


def steps_on_no_worklist(order: Order) -> QuerySet[ScheduledProcedureStep]:
    """The steps of an order that ``worklist_steps`` does not have."""
    assigned = ScheduledProcedureStep.stations.through.objects.filter(scheduledprocedurestep=OuterRef("pk"))
    return ScheduledProcedureStep.objects.filter(requested_procedure__order=order).exclude(
        Exists(assigned), status__in=PENDING, on_hold=False
    )


def worklist_obstacles(step: ScheduledProcedureStep, statuses: Collection[StepStatus] = PENDING) -> list[str]:
    """Why this step is on no worklist of ``statuses``, a sentence each; empty when it is on one."""
    status = StepStatus(step.status)
    if status is StepStatus.NEW:
        return _missing(step) or ["the step waits to be booked at the front desk"]
    reasons = (
        (status is StepStatus.STARTED and status not in statuses, "the exam has started"),
        (status in OVER, f"the step is {status}"),
        (step.on_hold, "the step is on hold"),
        (status in PENDING and not step.stations.all(), "no station is assigned"),
    )
    return [sentence for holds, sentence in reasons if holds]


def _missing(step: ScheduledProcedureStep) -> list[str]:
    """What a step that was never scheduled lacks."""
    performs = Station.objects.filter(is_active=True, modality=step.modality)
    reasons = (
        (not step.requested_start, "no start time was given: to be scheduled at the front desk"),
        (not step.modality, "no modality was given and the procedure code is not in the catalogue"),
        (bool(step.modality) and not performs.exists(), f"no active station performs modality {step.modality}"),
    )
    return [sentence for holds, sentence in reasons if holds]


def active_stations() -> QuerySet[Station]:
    return Station.objects.filter(is_active=True).select_related("room")


def performed_step(sop_instance_uid: str) -> PerformedProcedureStep:
    """The MPPS with this SOP Instance UID; UnknownPerformedStep if there is none."""
    try:
        return PerformedProcedureStep.objects.get(sop_instance_uid=sop_instance_uid)
    except PerformedProcedureStep.DoesNotExist:
        raise UnknownPerformedStep("No MPPS has this SOP Instance UID") from None


def exams() -> QuerySet[RequestedProcedure]:
    """Exams with patient, visit, steps and stations, annotated with ``images_expected`` and ``images_arrived``."""
    expected = arrivals.counted_instances().filter(performed_step__scheduled_steps__requested_procedure=OuterRef("pk"))
    arrived = arrivals.arrived_instances().filter(
        series__study__requested_procedure=OuterRef("pk"), series__study__mismatch=Study.Mismatch.NONE
    )
    # Images of a group lie in the study of one of its exams.
    elsewhere = (
        arrivals.arrived_instances()
        .filter(sop_instance_uid=OuterRef("sop_instance_uid"))
        .exclude(series__study__requested_procedure=OuterRef(OuterRef("pk")))
    )
    return (
        RequestedProcedure.objects.select_related("order__patient", "order__visit")
        .prefetch_related(
            Prefetch("steps", ScheduledProcedureStep.objects.select_related("room").order_by("position")),
            "steps__stations",
        )
        .annotate(
            images_expected=_count(expected, "performed_step__scheduled_steps__requested_procedure"),
            images_arrived=_count(arrived, "series__study__requested_procedure")
            + _count(expected.filter(Exists(elsewhere)), "performed_step__scheduled_steps__requested_procedure"),
        )
    )


def _count(rows: QuerySet, group: str) -> Coalesce:
    counted = rows.order_by().values(group).annotate(n=Count("sop_instance_uid", distinct=True)).values("n")
    return Coalesce(Subquery(counted), 0)


def history(procedure: RequestedProcedure) -> QuerySet[WorkflowEvent]:
    """All that happened to an exam, its order included, oldest first."""
    return WorkflowEvent.objects.filter(
        Q(requested_procedure=procedure) | Q(order=procedure.order_id, requested_procedure=None)
    ).select_related("step", "performed_step")


@dataclass(frozen=True)
class Origin:
    """Where one attribute of an exam came from: a field of a message."""

    label: str
    value: Any
    place: str
    message: str


def origins(procedure: RequestedProcedure) -> list[Origin]:
    """Where the exam's attributes came from: the order's, its own, its steps'; none for what nobody sent."""
    steps = list(procedure.steps.all())
    found = _origins(procedure.order, "") + _origins(procedure, "")
    for step in steps:
        found += _origins(step, f" of step {step.scheduled_procedure_step_id}" if len(steps) > 1 else " of the step")
    return found


def _origins(row: Order | RequestedProcedure | ScheduledProcedureStep, of: str) -> list[Origin]:
    return [
        Origin(name.replace("_", " ").capitalize() + of, getattr(row, name), place, message)
        for name, (place, message) in row.provenance.items()
        if hasattr(row, name)
    ]


@dataclass
class BoardColumn:
    """One room's steps of a day in the order of their start; ``room`` None: no room yet."""

    room: Room | None
    steps: list[ScheduledProcedureStep] = field(default_factory=list)


def board(day: date) -> list[BoardColumn]:
    """The steps of one day of the site, a column for each room with stations and one for steps without a room."""
    columns = {room.pk: BoardColumn(room) for room in Room.objects.all()}
    without = BoardColumn(None)
    begin, end = day_bounds(day)
    shown = steps().filter(start__gte=begin, start__lt=end).exclude(status=StepStatus.NEW)
    for step in shown.order_by("start", "pk"):
        columns.get(step.room_id or 0, without).steps.append(step)
    return [*columns.values(), *([without] if without.steps else [])]


def unscheduled_steps() -> QuerySet[ScheduledProcedureStep]:
    """Orders that wait for a booking: STAT, then HIGH, then the others, each the oldest first."""
    priority = "requested_procedure__order__priority"
    urgency = Case(When(**{priority: "STAT"}, then=0), When(**{priority: "HIGH"}, then=1), default=2)
    return steps().filter(status=StepStatus.NEW).order_by(urgency, "requested_procedure__created_at", "pk")


def to_reconcile() -> tuple[QuerySet[PerformedProcedureStep], QuerySet[Study]]:
    """MPPS and studies that do not fit what was ordered."""
    withdrawn = Series.objects.filter(wrong_entry=True).values_list("study", flat=True)
    marked = Study.objects.exclude(mismatch="").values_list("pk", flat=True).union(withdrawn)
    return (
        PerformedProcedureStep.objects.exclude(mismatch="").order_by("-created_at"),
        Study.objects.filter(pk__in=marked).order_by("-last_instance_at"),
    )


def board_version() -> str:
    """A token that changes whenever the board may look different.

    It counts the newest events, not only the last one: an event with a lower id may be committed after it. Studies
    to reconcile are counted because an image of no order records no event.
    """
    newest = list(WorkflowEvent.objects.order_by("-pk").values_list("pk", flat=True)[:100])
    performed, studies = to_reconcile()
    return f"{max(newest, default=0)}-{len(newest)}-{sum(newest)}-{performed.count()}-{studies.count()}"


def exam_version(procedure_pk: int) -> str:
    """A token that changes whenever anything happened to an exam or one of its images arrived."""
    events = WorkflowEvent.objects.filter(requested_procedure=procedure_pk).count()
    images = Instance.objects.filter(series__study__requested_procedure=procedure_pk).count()
    return f"{events}-{images}"


def performed_steps(procedure: RequestedProcedure) -> QuerySet[PerformedProcedureStep]:
    """The MPPS of an exam in the order of their start, annotated with ``series_count`` and ``instance_count``."""
    return (
        PerformedProcedureStep.objects.filter(scheduled_steps__requested_procedure=procedure)
        .annotate(
            series_count=Count("expected__series_instance_uid", distinct=True),
            instance_count=Count("expected__sop_instance_uid", distinct=True),
        )
        .order_by("start", "pk")
    )


def exams_by_accession_number(accession_number: str) -> QuerySet[RequestedProcedure]:
    return RequestedProcedure.objects.filter(order__accession_number=accession_number)


def exams_found(text: str) -> QuerySet[RequestedProcedure]:
    """Exams, the newest first, by accession number, patient ID or words of the name."""
    return (
        exams()
        .filter(Q(order__accession_number=text) | Q(order__patient__in=patients_found(text)))
        .order_by("-created_at", "-pk")
    )


def patients_found(text: str) -> QuerySet[Patient]:
    """Patients by an identifier or by words of the name."""
    return Patient.objects.filter(_named(text) | Q(identifiers__value=text)).distinct()


def _named(text: str) -> Q:
    words = name_key(text).replace(",", " ").replace("^", " ").split()
    if not words:
        return Q(pk=None)
    return Q(*(("name_key__contains", word) for word in words))
