"""Image arrival: which instances are here, whose they are, and whether they are all."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
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


@transaction.atomic
def record(report: InstanceReport, actor: Actor) -> tuple[Instance, bool]:
    """Keep the fact that an instance is here; (instance, False) and no change if its SOP Instance UID is known.

    An image of no order, or of another patient than ordered, is kept and its study marked; it is never refused.
    The first image starts the steps of a station that sends no MPPS.
    """
    procedure = _procedure_of(report)
    expecting = _locked(procedure, report.sop_instance_uid)
    if existing := Instance.objects.filter(sop_instance_uid=report.sop_instance_uid).first():
        return existing, False
    study = _study(report, procedure)
    series, _created = Series.objects.get_or_create(
        study=study,
        series_instance_uid=report.series_instance_uid,
        defaults={"modality": report.modality, "wrong_entry": _is_withdrawn(report, procedure)},
    )
    instance, created = Instance.objects.get_or_create(
        sop_instance_uid=report.sop_instance_uid,
        defaults={
            "series": series,
            "sop_class_uid": report.sop_class_uid,
            "transfer_syntax_uid": report.transfer_syntax_uid,
            "path": report.path,
            "size": report.size,
            "sha256": report.sha256,
        },
    )
    if procedure is not None and not study.mismatch:
        _begin_without_mpps(procedure, report.source_ae_title, actor)
    for exam in expecting:
        settle(exam, actor)
    return instance, created


def _locked(procedure: RequestedProcedure | None, sop_instance_uid: str) -> list[RequestedProcedure]:
    """The image's exam and those whose MPPS list it (group case), their orders locked in the order of their keys.

    An MPPS that listed it while we waited may bring more: then all are locked anew, in their order.
    """
    while True:
        found = _expecting(procedure, sop_instance_uid)
        before = transaction.savepoint()
        orders = {pk: events.lock_order(pk) for pk in sorted({exam.order_id for exam in found})}
        if len(_expecting(procedure, sop_instance_uid)) <= len(found):
            transaction.savepoint_commit(before)
            break
        transaction.savepoint_rollback(before)
    for exam in found:
        exam.order = orders[exam.order_id]
        exam.refresh_from_db(fields=["status", "images_complete", "images_inferred"])
    return found


def _expecting(procedure: RequestedProcedure | None, sop_instance_uid: str) -> list[RequestedProcedure]:
    listing = RequestedProcedure.objects.filter(steps__performed_steps__expected__sop_instance_uid=sop_instance_uid)
    others = listing.exclude(pk=procedure.pk) if procedure else listing
    return [*([procedure] if procedure else []), *others.distinct()]


def _procedure_of(report: InstanceReport) -> RequestedProcedure | None:
    """The exam of the image: by Study Instance UID, else the only one of its accession number."""
    procedures = RequestedProcedure.objects.all()
    found = list(procedures.filter(study_instance_uid=report.study_instance_uid)[:2])
    if not found and report.accession_number:
        found = list(procedures.filter(order__accession_number=report.accession_number)[:2])
    return found[0] if len(found) == 1 else None


def _study(report: InstanceReport, procedure: RequestedProcedure | None) -> Study:
    now = timezone.now()
    study, created = Study.objects.get_or_create(
        study_instance_uid=report.study_instance_uid,
        defaults={
            "requested_procedure": procedure,
            "mismatch": _mismatch(report, procedure),
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


def _mismatch(report: InstanceReport, procedure: RequestedProcedure | None) -> Study.Mismatch:
    if procedure is None:
        return Study.Mismatch.UNSCHEDULED
    named = patients.is_named_by(procedure.order.patient_id, report.patient)
    return Study.Mismatch.NONE if named else Study.Mismatch.PATIENT


def _is_withdrawn(report: InstanceReport, procedure: RequestedProcedure | None) -> bool:
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


def _begin_without_mpps(procedure: RequestedProcedure, source_ae_title: str, actor: Actor) -> None:
    """Start what waits for a station that sends no MPPS: its first image is the only sign that the exam began."""
    silent = Station.objects.filter(ae_title=source_ae_title, sends_mpps=False).exists()
    for step in procedure.steps.filter(status__in=PENDING):
        stations = list(step.stations.all())
        if silent or (stations and not any(station.sends_mpps for station in stations)):
            step.requested_procedure = procedure
            events.move(step, Verb.START, actor, reason="first image")


def settle(procedure: RequestedProcedure, actor: Actor) -> None:
    """Say so once every instance that the exam's final MPPS list has arrived; take it back if more are listed since."""
    if procedure.images_inferred:
        return
    expected = expected_instances(procedure)
    complete = expected.exists() and not missing_instances(procedure).exists()
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
