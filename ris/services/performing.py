"""The PPS Manager: what a scanner reports by MPPS. Reality is never refused (DESIGN section 3)."""

from collections.abc import Iterable, Iterator

from django.db import IntegrityError, transaction

from ris import identifiers
from ris.errors import DuplicatePerformedStep, PerformedStepIsFinal, UnknownPerformedStep
from ris.inputs import Actor, ScheduledStepReference, StepReport
from ris.models import ExpectedInstance, PerformedProcedureStep, ScheduledProcedureStep
from ris.services import events, images, patients
from ris.states import PerformedStatus, StepStatus, verb_for_performed

_Mismatch = PerformedProcedureStep.Mismatch


@transaction.atomic
def start(report: StepReport, actor: Actor) -> PerformedProcedureStep:
    """Keep a new MPPS (N-CREATE) and start, resume or append to every scheduled step that it names.

    DuplicatePerformedStep if its SOP Instance UID is here. An unknown, canceled or other patient's step is never a
    refusal: the MPPS is kept with the ``mismatch`` that says why, and changes no step.
    """
    found = _steps_named(report)
    _lock_orders(found)
    found = _fresh(found)
    linked, mismatch = _judge(found, report)
    performed = _create(report, mismatch)
    performed.scheduled_steps.set(linked)
    _expect(performed, report)
    if mismatch:
        _record_mismatch(performed, found, actor)
    for step in linked:
        if not _follow(performed, step, actor):
            events.record("append", actor, step=step, performed_step=performed)
        if elsewhere := _other_station(performed, step):
            events.record("other station", actor, step=step, performed_step=performed, reason=elsewhere)
    _remark(performed, performed.remarks, linked, actor)
    return performed


@transaction.atomic
def update(report: StepReport, actor: Actor) -> PerformedProcedureStep:
    """Apply an N-SET to an MPPS in progress and let its steps follow.

    ``report.attributes`` is laid over the stored object, each attribute replaced whole (PS3.4 F.7.2.2.2).
    UnknownPerformedStep, or PerformedStepIsFinal once it is COMPLETED or DISCONTINUED.
    """
    performed = lock(report.sop_instance_uid)
    check_in_progress(performed)
    known = performed.remarks
    _take_over(performed, report)
    _expect(performed, report)
    if performed.is_wrong_entry:
        images.withdraw(performed)
    linked = _linked_steps(report.sop_instance_uid)
    for step in linked:
        if not _follow(performed, step, actor) and performed.is_final:
            _record_no_move(performed, step, actor)
        if performed.is_final:
            images.settle(step.requested_procedure, actor)
    _remark(performed, [sentence for sentence in performed.remarks if sentence not in known], linked, actor)
    return performed


def lock(sop_instance_uid: str) -> PerformedProcedureStep:
    """The MPPS with its orders locked until the transaction ends; UnknownPerformedStep if there is none."""
    _lock_orders(_linked_steps(sop_instance_uid))
    return _lock_performed(sop_instance_uid)


def check_in_progress(performed: PerformedProcedureStep) -> None:
    """PerformedStepIsFinal if it has ended: it says no more (PS3.4 F.7.2.2.2)."""
    if performed.is_final:
        raise PerformedStepIsFinal("Performed Procedure Step Object may no longer be updated")


def _lock_orders(steps: Iterable[ScheduledProcedureStep]) -> None:
    events.lock_orders(step.requested_procedure.order_id for step in steps)


def _lock_performed(uid: str) -> PerformedProcedureStep:
    try:
        return PerformedProcedureStep.objects.select_for_update(no_key=True).get(sop_instance_uid=uid)
    except PerformedProcedureStep.DoesNotExist:
        raise UnknownPerformedStep("No MPPS has this SOP Instance UID") from None


def _linked_steps(uid: str) -> list[ScheduledProcedureStep]:
    return list(_with_order().filter(performed_steps__sop_instance_uid=uid).order_by("pk"))


def _with_order():
    return ScheduledProcedureStep.objects.select_related("requested_procedure__order__patient")


def _fresh(steps: Iterable[ScheduledProcedureStep]) -> list[ScheduledProcedureStep]:
    return list(_with_order().filter(pk__in=[step.pk for step in steps]).order_by("pk"))


def _steps_named(report: StepReport) -> list[ScheduledProcedureStep]:
    """The steps that the references name, each once."""
    found: dict[int, ScheduledProcedureStep] = {}
    for reference in report.references:
        for step in _named_by(reference, report.modality):
            found[step.pk] = step
    return list(found.values())


def _named_by(reference: ScheduledStepReference, modality: str) -> list[ScheduledProcedureStep]:
    """The step one reference means, by the surest of what it carries; empty if nothing names exactly one."""
    for criteria in _criteria(reference):
        steps = list(_with_order().filter(**criteria)[:2])
        if len(steps) > 1:
            steps = list(_with_order().filter(**criteria, modality=modality)[:2])
        if len(steps) == 1:
            return steps
    return []


def _criteria(reference: ScheduledStepReference) -> Iterator[dict[str, str]]:
    """Ways to look for the step, the surest first.

    A step ID alone says enough only if it is one of ours: a HIS may number the steps of each order from 1. The
    accession number is surer than the Study UID, which all items of a group may share (PS3.4 F.7.2.1.2 note 2).
    """
    by_study = {"requested_procedure__study_instance_uid": reference.study_instance_uid}
    accession = reference.accession_number
    by_accession = {"requested_procedure__order__accession_number": accession} if accession else None
    if step_id := reference.scheduled_procedure_step_id:
        by_id = {"scheduled_procedure_step_id": step_id}
        yield by_id | by_study
        if by_accession:
            yield by_id | by_accession
        if identifiers.is_ours(step_id):
            yield by_id
    if by_accession:
        yield by_accession | by_study
        if reference.requested_procedure_id:
            yield by_accession | {"requested_procedure__requested_procedure_id": reference.requested_procedure_id}
        yield by_accession
    yield by_study


def _judge(
    found: list[ScheduledProcedureStep], report: StepReport
) -> tuple[list[ScheduledProcedureStep], PerformedProcedureStep.Mismatch]:
    """Which of the named steps the MPPS may be linked to, and what is wrong with the rest."""
    if not found:
        return [], _Mismatch.UNSCHEDULED
    if not all(patients.is_named_by(step.requested_procedure.order.patient_id, report.patient) for step in found):
        return [], _Mismatch.PATIENT
    linked = [step for step in found if step.status not in (StepStatus.CANCELED, StepStatus.NEW)]
    return linked, _Mismatch.NONE if len(linked) == len(found) else _Mismatch.NOT_PENDING


def _create(report: StepReport, mismatch: PerformedProcedureStep.Mismatch) -> PerformedProcedureStep:
    first = report.references[0] if report.references else ScheduledStepReference(study_instance_uid="")
    patient = report.patient
    performed = PerformedProcedureStep(
        sop_instance_uid=report.sop_instance_uid,
        status=PerformedStatus.IN_PROGRESS,
        mismatch=mismatch,
        performed_procedure_step_id=report.performed_procedure_step_id,
        station_ae_title=report.station_ae_title,
        modality=report.modality,
        study_instance_uid=first.study_instance_uid,
        accession_number=first.accession_number,
        patient_id=patient.value if patient else "",
        issuer_of_patient_id=patient.issuer if patient else "",
        patient_name=report.patient_name or "",
        start=report.start,
    )
    try:
        with transaction.atomic():
            _take_over(performed, report)
    except IntegrityError:
        raise DuplicatePerformedStep("An MPPS with this SOP Instance UID is here already") from None
    return performed


def _take_over(performed: PerformedProcedureStep, report: StepReport) -> None:
    performed.attributes = {**performed.attributes, **report.attributes}
    performed.status = report.status or performed.status
    performed.end = report.end or performed.end
    if reason := report.discontinuation_reason:
        performed.discontinuation_code = reason.value[:16]
        performed.discontinuation_reason = reason.meaning[:64]
    performed.save()


def _expect(performed: PerformedProcedureStep, report: StepReport) -> None:
    """Keep which instances the MPPS lists; a new list replaces the old one, for sequences are set whole."""
    if report.instances is None:
        return
    unique = {reference.sop_instance_uid: reference for reference in report.instances}
    gone = []
    for pk, *kept in performed.expected.values_list("pk", "sop_instance_uid", "series_instance_uid", "sop_class_uid"):
        listed = unique.get(kept[0])
        if listed and [listed.sop_instance_uid, listed.series_instance_uid, listed.sop_class_uid] == kept:
            del unique[kept[0]]
        else:
            gone.append(pk)
    for at in range(0, len(gone), 500):
        performed.expected.filter(pk__in=gone[at : at + 500]).delete()
    ExpectedInstance.objects.bulk_create(
        [
            ExpectedInstance(
                performed_step=performed,
                series_instance_uid=reference.series_instance_uid,
                sop_instance_uid=reference.sop_instance_uid,
                sop_class_uid=reference.sop_class_uid,
            )
            for reference in unique.values()
        ],
        batch_size=1000,
    )


def _follow(performed: PerformedProcedureStep, step: ScheduledProcedureStep, actor: Actor) -> bool:
    """Bring a linked step to where all its MPPS say it is; False if it is there already."""
    rows = step.performed_steps.only("status", "discontinuation_code")
    states = [row.status for row in rows if not row.is_wrong_entry]
    verb = verb_for_performed(step.status, states, wrong_entry=len(states) < len(rows))
    if verb is None:
        return False
    events.move(step, verb, actor, reason=performed.discontinuation_reason, performed=performed)
    return True


def _record_no_move(performed: PerformedProcedureStep, step: ScheduledProcedureStep, actor: Actor) -> None:
    """The end of an MPPS that leaves its step where it is: appended, one of several, or withdrawn."""
    if performed.is_wrong_entry:
        reason = performed.discontinuation_reason
        events.record("wrong entry", actor, step=step, performed_step=performed, reason=reason)
    else:
        events.record("append", actor, step=step, performed_step=performed, reason=f"MPPS {performed.status}")


def _other_station(performed: PerformedProcedureStep, step: ScheduledProcedureStep) -> str:
    """Where it is performed if it was scheduled elsewhere, as a sentence."""
    stations = list(step.stations.prefetch_related("aliases"))
    names = {name for station in stations for name in (station.ae_title, *(a.ae_title for a in station.aliases.all()))}
    if not names or not performed.station_ae_title or performed.station_ae_title in names:
        return ""
    scheduled = ", ".join(station.ae_title for station in stations)
    return f"performed at {performed.station_ae_title}, scheduled for {scheduled}"


def _remark(
    performed: PerformedProcedureStep, remarks: list[str], linked: list[ScheduledProcedureStep], actor: Actor
) -> None:
    steps: list[ScheduledProcedureStep | None] = [*linked] or [None]
    for sentence in remarks:
        for step in steps:
            events.record("remark", actor, step=step, performed_step=performed, reason=sentence)


def _record_mismatch(performed: PerformedProcedureStep, found: list[ScheduledProcedureStep], actor: Actor) -> None:
    steps: list[ScheduledProcedureStep | None] = [*found] or [None]
    for step in steps:
        events.record("mismatch", actor, step=step, performed_step=performed, reason=performed.get_mismatch_display())
