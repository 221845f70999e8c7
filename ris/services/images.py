"""Image arrival: which instances are here, whose they are, and whether they are all."""

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.utils import timezone

from ris import arrivals
from ris.inputs import Actor, InstanceReport
from ris.models import (
    ExpectedInstance,
    Instance,
    PerformedProcedureStep,
    RequestedProcedure,
    ScheduledProcedureStep,
    Series,
    Station,
    Study,
)
from ris.services import events, patients
from ris.states import PENDING, WRONG_ENTRY, PerformedStatus, StepStatus, Verb

_SWEEP = Actor(kind="SYSTEM", name="quiet study sweep")
#: An MPPS that ended as a wrong entry was never of its step.
_WITHDRAWN = Q(status=PerformedStatus.DISCONTINUED, discontinuation_code=WRONG_ENTRY)
#: Of a step: its MPPS.
_MPPS = PerformedProcedureStep.objects.filter(~_WITHDRAWN, scheduled_steps=OuterRef("pk"))


#: How often a transaction is begun anew because another one got ahead of it, before the error is passed on.
_ATTEMPTS = 5


def record(report: InstanceReport, actor: Actor) -> tuple[Instance, bool]:
    """Keep the fact that an instance is here; (instance, False) and no change if its SOP Instance UID is known.

    An image of no order, or of another patient than ordered, is kept and its study marked; it is never refused.
    The first image starts the steps of a station that sends no MPPS.
    """
    for _attempt in range(_ATTEMPTS - 1):
        with contextlib.suppress(IntegrityError):  # the same study, series or instance was written in this instant
            return _record(report, actor)
    return _record(report, actor)


def _record(report: InstanceReport, actor: Actor) -> tuple[Instance, bool]:
    """Lock the orders of the exams that the image concerns, in the order of their keys, and keep it.

    More of them may come to light while we wait, such as by an MPPS that lists it: then all are locked anew.
    """
    of_study = RequestedProcedure.objects.filter(study_instance_uid=report.study_instance_uid)
    orders = set(of_study.order_by().values_list("order_id", flat=True))
    while True:
        with transaction.atomic():
            events.lock_orders(orders)
            concerned = _concerned(report)
            if concerned.orders <= orders:
                return _keep(report, concerned, actor)
            orders = concerned.orders


@dataclass(frozen=True)
class _Concerned:
    """What an image concerns, by keys: the exam that it belongs to, those whose MPPS list it (group case), those whose
    images were complete, and the orders of all."""

    procedure: int | None
    listing: frozenset[int]
    complete: frozenset[int]
    orders: set[int]


def _concerned(report: InstanceReport) -> _Concerned:
    """The exam of the Study Instance UID, or else the only one of the accession number, is the image's."""
    exams = RequestedProcedure.objects.order_by().values_list("pk", "order_id", "images_complete")
    of_study = exams.filter(study_instance_uid=report.study_instance_uid).annotate(lists_it=Value(0))
    listing = exams.filter(steps__performed_steps__expected__sop_instance_uid=report.sop_instance_uid)
    found = list(of_study.union(listing.annotate(lists_it=Value(1)), all=True))
    own = [exam[:3] for exam in found if not exam[3]]
    if not own and report.accession_number:
        own = list(exams.filter(order__accession_number=report.accession_number)[:2])
    own = own if len(own) == 1 else []
    all_of_them = [*own, *(exam[:3] for exam in found if exam[3])]
    return _Concerned(
        procedure=own[0][0] if own else None,
        listing=frozenset(exam[0] for exam in found if exam[3]),
        complete=frozenset(pk for pk, _order, is_complete in all_of_them if is_complete),
        orders={order for _pk, order, _is_complete in all_of_them},
    )


def _keep(report: InstanceReport, concerned: _Concerned, actor: Actor) -> tuple[Instance, bool]:
    if existing := Instance.objects.filter(sop_instance_uid=report.sop_instance_uid).first():
        return existing, False
    series, mismatch = _series(report, concerned.procedure)
    instance = Instance.objects.create(
        series_id=series,
        sop_instance_uid=report.sop_instance_uid,
        sop_class_uid=report.sop_class_uid,
        transfer_syntax_uid=report.transfer_syntax_uid,
        path=report.path,
        size=report.size,
        sha256=report.sha256,
    )
    if concerned.procedure is not None and not mismatch:
        _begin_without_mpps(concerned.procedure, report.source_ae_title, actor)
    # An image that no MPPS of an exam lists makes it neither complete nor incomplete.
    for pk in sorted(concerned.listing | concerned.complete):
        settle(RequestedProcedure.objects.select_related("order__patient").get(pk=pk), actor)
    return instance, True


def _series(report: InstanceReport, procedure: int | None) -> tuple[int, str]:
    """The image's series, made if this is its first, and its study's ``mismatch``. The study has got an image now."""
    now = timezone.now()
    known = Series.objects.filter(
        study__study_instance_uid=report.study_instance_uid, series_instance_uid=report.series_instance_uid
    ).values_list("pk", "study_id", "study__mismatch")
    for series, study_pk, mismatch in known:
        Study.objects.filter(pk=study_pk).update(last_instance_at=now)
        return series, mismatch
    study = _study(report, procedure, now)
    made = Series.objects.create(
        study=study,
        series_instance_uid=report.series_instance_uid,
        modality=report.modality,
        wrong_entry=_is_withdrawn(report, procedure),
    )
    return made.pk, study.mismatch


def _study(report: InstanceReport, procedure: int | None, now: datetime) -> Study:
    study, created = Study.objects.get_or_create(
        study_instance_uid=report.study_instance_uid,
        defaults={
            "requested_procedure_id": procedure,
            "mismatch": lambda: _mismatch(report, procedure),  # type: ignore[misc]  # asked only if it is new
            "patient_id": report.patient.value,
            "issuer_of_patient_id": report.patient.issuer,
            "accession_number": report.accession_number[:16],
            "source_ae_title": report.source_ae_title,
            "last_instance_at": now,
        },
    )
    if not created:
        study.last_instance_at = now
        study.save(update_fields=["last_instance_at"])
    return study


def _mismatch(report: InstanceReport, procedure: int | None) -> Study.Mismatch:
    if procedure is None:
        return Study.Mismatch.UNSCHEDULED
    patient = RequestedProcedure.objects.values_list("order__patient_id", flat=True).get(pk=procedure)
    named = patients.is_named_by(patient, report.patient)
    return Study.Mismatch.NONE if named else Study.Mismatch.PATIENT


def _is_withdrawn(report: InstanceReport, procedure: int | None) -> bool:
    """Whether an MPPS that was withdrawn as a wrong entry lists the image's series: it comes late."""
    of_exam = Q(study_instance_uid=report.study_instance_uid)
    if procedure is not None:
        of_exam |= Q(scheduled_steps__requested_procedure=procedure)
    withdrawn = PerformedProcedureStep.objects.filter(of_exam, _WITHDRAWN)
    return withdrawn.filter(expected__series_instance_uid=report.series_instance_uid).exists()


def withdraw(performed: PerformedProcedureStep) -> None:
    """Mark what an MPPS made for a wrongly picked entry, so that it counts for no exam: the series it lists, and if
    no other MPPS was of its exams, all that they have got."""
    exams = RequestedProcedure.objects.filter(steps__performed_steps=performed)
    made = Series.objects.filter(study__requested_procedure__in=exams)
    others = PerformedProcedureStep.objects.filter(~_WITHDRAWN, scheduled_steps__requested_procedure__in=exams)
    if others.exists():
        made = made.filter(series_instance_uid__in=performed.expected.values("series_instance_uid"))
    made.update(wrong_entry=True)


def _begin_without_mpps(procedure: int, source_ae_title: str, actor: Actor) -> None:
    """Start what waits for a station that sends no MPPS: its first image is the only sign that the exam began."""
    waiting = ScheduledProcedureStep.objects.filter(requested_procedure=procedure, status__in=PENDING)
    if not waiting.exists():
        return
    silent = Station.objects.filter(ae_title=source_ae_title, sends_mpps=False).exists()
    exam = RequestedProcedure.objects.select_related("order__patient").get(pk=procedure)
    for step in waiting:
        stations = list(step.stations.all())
        if silent or (stations and not any(station.sends_mpps for station in stations)):
            step.requested_procedure = exam
            events.move(step, Verb.START, actor, reason="first image")


def settle(procedure: RequestedProcedure, actor: Actor) -> None:
    """Say so once every instance that the exam's final MPPS list has arrived; take it back if more are listed since."""
    if procedure.images_inferred:
        return
    complete = not missing_instances(procedure).exists() and expected_instances(procedure).exists()
    if complete == procedure.images_complete:
        return
    procedure.images_complete = complete
    procedure.save(update_fields=["images_complete"])
    events.record("images complete" if complete else "images missing", actor, procedure=procedure)


def expected_instances(procedure: RequestedProcedure) -> QuerySet[ExpectedInstance]:
    """What the final MPPS of all the exam's steps list."""
    return arrivals.counted_instances().filter(performed_step__scheduled_steps__requested_procedure=procedure)


def missing_instances(procedure: RequestedProcedure) -> QuerySet[ExpectedInstance]:
    """Those of them that have not arrived, or arrived as another patient's or a wrong entry's."""
    arrived = arrivals.arrived_instances().filter(sop_instance_uid=OuterRef("sop_instance_uid"))
    return expected_instances(procedure).filter(~Exists(arrived))


def complete_quiet_studies(now: datetime) -> int:
    """Complete started steps without MPPS whose study got no image for the station's quiet time; how many exams.

    Inferred, and marked so: nothing counted the images.
    """
    steps = ScheduledProcedureStep.objects.filter(
        ~Exists(_MPPS),
        status=StepStatus.STARTED,
        requested_procedure__studies__mismatch="",
        requested_procedure__studies__last_instance_at__lt=now,
    )
    procedures = RequestedProcedure.objects.filter(steps__in=steps).distinct()
    return sum(_complete_if_quiet(procedure, now) for procedure in procedures)


@transaction.atomic
def _complete_if_quiet(procedure: RequestedProcedure, now: datetime) -> bool:
    procedure.order = events.lock_order(procedure.order_id)
    last = max(study.last_instance_at for study in procedure.studies.filter(mismatch=""))
    steps = list(procedure.steps.filter(~Exists(_MPPS), status=StepStatus.STARTED))
    if not steps or last + _quiet_time(procedure) > now:
        return False
    procedure.images_complete = procedure.images_inferred = True
    procedure.save(update_fields=["images_complete", "images_inferred"])
    for step in steps:
        step.requested_procedure = procedure
        events.move(step, Verb.COMPLETE, _SWEEP, reason="study quiet, inferred")
    return True


def _quiet_time(procedure: RequestedProcedure) -> timedelta:
    sources = procedure.studies.values_list("source_ae_title", flat=True)
    stations = Station.objects.filter(Q(ae_title__in=sources) | Q(steps__requested_procedure=procedure))
    return timedelta(minutes=max((station.quiet_minutes for station in stations), default=10))
