"""The PPS Manager: what a scanner reports by MPPS. Reality is never refused (DESIGN section 3)."""

from collections.abc import Iterable

from django.db import IntegrityError, transaction

from ris import identifiers
from ris.errors import DuplicatePerformedStep, PerformedStepIsFinal, UnknownPerformedStep
from ris.inputs import Actor, ScheduledStepReference, StepReport
from ris.models import ExpectedInstance, PatientIdentifier, PerformedProcedureStep, ScheduledProcedureStep
from ris.services import events, images
from ris.states import PerformedStatus, StepStatus, verb_for_performed

#: DCM 110514 "Incorrect worklist entry selected" (PS3.16 CID 9300): the step goes back to the worklist.
WRONG_ENTRY = "110514"

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
    return performed


@transaction.atomic
def update(report: StepReport, actor: Actor) -> PerformedProcedureStep:
    """Apply an N-SET to an MPPS in progress and let its steps follow.

    ``report.attributes`` is laid over the stored object, each attribute replaced whole (PS3.4 F.7.2.2.2).
    UnknownPerformedStep, or PerformedStepIsFinal once it is COMPLETED or DISCONTINUED.
    """
    _lock_orders(_linked_steps(report.sop_instance_uid))
    performed = _lock_performed(report.sop_instance_uid)
    if performed.is_final:
        raise PerformedStepIsFinal("Performed Procedure Step Object may no longer be updated")
    _take_over(performed, report)
    _expect(performed, report)
    for step in _linked_steps(report.sop_instance_uid):
        if not _follow(performed, step, actor) and performed.is_final:
            events.record("append", actor, step=step, performed_step=performed, reason=f"MPPS {performed.status}")
        if performed.is_final:
            images.settle(step.requested_procedure, actor)
    return performed


def _lock_orders(steps: Iterable[ScheduledProcedureStep]) -> None:
    """Lock the steps' orders, always in the order of their keys: two MPPS of one group cannot deadlock."""
    for order_pk in sorted({step.requested_procedure.order_id for step in steps}):
        events.lock_order(order_pk)


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
    """The step one reference means, by the surest of what it carries; empty if nothing names exactly one.

    A step ID alone says enough only if it is one of ours: a HIS may number the steps of each order from 1.
    """
    step_id, accession = reference.scheduled_procedure_step_id, reference.accession_number
    by_study = {"requested_procedure__study_instance_uid": reference.study_instance_uid}
    by_accession = {"requested_procedure__order__accession_number": accession}
    by_id = {"scheduled_procedure_step_id": step_id}
    tries: list[dict[str, str]] = []
    if step_id:
        tries += [by_id | by_study, *([by_id | by_accession] if accession else [])]
        tries += [by_id] if identifiers.is_ours(step_id) else []
    tries += [by_study, by_study | {"modality": modality}]
    if accession:
        tries += [by_accession, by_accession | {"modality": modality}]
    for criteria in tries:
        steps = list(_with_order().filter(**criteria)[:2])
        if len(steps) == 1:
            return steps
    return []


def _judge(
    found: list[ScheduledProcedureStep], report: StepReport
) -> tuple[list[ScheduledProcedureStep], PerformedProcedureStep.Mismatch]:
    """Which of the named steps the MPPS may be linked to, and what is wrong with the rest."""
    if not found:
        return [], _Mismatch.UNSCHEDULED
    if not all(_same_patient(step, report) for step in found):
        return [], _Mismatch.PATIENT
    linked = [step for step in found if step.status not in (StepStatus.CANCELED, StepStatus.NEW)]
    return linked, _Mismatch.NONE if len(linked) == len(found) else _Mismatch.NOT_PENDING


def _same_patient(step: ScheduledProcedureStep, report: StepReport) -> bool:
    """Whether the MPPS is of the step's patient; an MPPS that names no patient is not held against it."""
    if not report.patient:
        return True
    patient = step.requested_procedure.order.patient
    named = PatientIdentifier.objects.filter(patient=patient, value=report.patient.value)
    if report.patient.issuer:
        named = named.filter(issuer__in=[report.patient.issuer, ""])
    return named.exists()


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
    performed.expected.all().delete()
    unique = {reference.sop_instance_uid: reference for reference in report.instances}
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
    states = step.performed_steps.values_list("status", flat=True)
    verb = verb_for_performed(step.status, states, performed.discontinuation_code == WRONG_ENTRY)
    if verb is None:
        return False
    events.move(step, verb, actor, reason=performed.discontinuation_reason, performed=performed)
    return True


def _record_mismatch(performed: PerformedProcedureStep, found: list[ScheduledProcedureStep], actor: Actor) -> None:
    steps: list[ScheduledProcedureStep | None] = [*found] or [None]
    for step in steps:
        events.record("mismatch", actor, step=step, performed_step=performed, reason=performed.get_mismatch_display())
