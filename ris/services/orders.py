"""The order filler: place, change, hold and cancel orders. What holds when messages overtake is in precedence.py."""

from typing import Any

from django.db import transaction
from django.db.models import Exists

from ris import identifiers
from ris.errors import (
    CancelRefused,
    IncompleteRequest,
    OrderNumberTaken,
    OrderOfOtherPatient,
    TransitionNotAllowed,
    UnknownOrder,
)
from ris.inputs import Actor, Identifier, OrderKey, OrderRequest
from ris.models import Order, Patient, RequestedProcedure, ScheduledProcedureStep
from ris.services import (
    events,
    order_numbers,
    patients,
    precedence,
    procedures,
    provenance,
    rows,
    scheduling,
    tombstones,
)
from ris.states import StepStatus, Verb

_TEXTS = (
    "priority",
    "requesting_physician",
    "clinical_information",
    "medical_alerts",
    "allergies",
    "pregnancy_status",
    "patient_state",
    "patient_weight",
    "patient_size",
    "transport_arrangements",
    "confidentiality",
)
_VISIT_TEXTS = ("referring_physician", "current_patient_location")


@transaction.atomic
def place(request: OrderRequest, actor: Actor, *, provisional: bool = False) -> Order:
    """Take a new order (ORC-1 NW), or bring the same order up to date when it is sent again.

    ``provisional``: it is a change (ORC-1 XO) of an order that is not here yet. An order that was canceled ahead is
    kept as canceled. IncompleteRequest without patient or order number; InvalidIdentifier for numbers that DICOM cannot
    carry; OrderOfOtherPatient if a number belongs to somebody else; TransitionNotAllowed for an order that was
    canceled since it was placed.
    """
    _check(request)
    patient = patients.register(request.patient, actor)
    facts = _facts(request, patient, actor)
    order, created = _get_or_create(request, patient, {**facts, "is_provisional": provisional}, actor)
    if not created:
        _refuse_canceled(order, actor, again=not provisional)
    elif not rows.is_gathering():
        tombstones.lay_on(order, tombstones.key_of(request))
    _refuse_other_patients(order, request, patient)
    if order.is_provisional and not provisional:
        order.is_provisional = False
        order.save(update_fields=["is_provisional"])
    return _apply(order, request, facts, actor, [] if created else _procedures(order))


@transaction.atomic
def change(request: OrderRequest, actor: Actor) -> Order:
    """Bring an order up to date (ORC-1 XO); UnknownOrder if it is not here, else refused like ``place``."""
    _check(request)
    order_numbers.find(tombstones.key_of(request))
    patient = patients.register(request.patient, actor)
    order = order_numbers.lock(tombstones.key_of(request))
    _refuse_canceled(order, actor, again=False)
    _refuse_other_patients(order, request, patient)
    return _apply(order, request, _facts(request, patient, actor), actor, _procedures(order))


@transaction.atomic
def cancel(key: OrderKey, actor: Actor, reason: str = "") -> Order:
    """Cancel an order for good, with every step of it (ORC-1 CA). A repeat changes nothing.

    UnknownOrder if no order has the numbers; OrderOfOtherPatient if the key names another patient; CancelRefused once
    one of its steps was started, and then nothing is canceled.
    """
    order = order_numbers.lock(key)
    try:
        _cancel_procedures(order, actor, reason)
    except TransitionNotAllowed as refused:
        raise CancelRefused(order.pk, refused) from refused
    said_at = precedence.said_at(actor)
    if order.canceled_at is None or said_at > order.canceled_at:
        order.canceled_at, order.cancel_reason = said_at, reason[:250]
        order.save(update_fields=["canceled_at", "cancel_reason"])
    return order


@transaction.atomic
def cancel_ahead(key: OrderKey, actor: Actor, reason: str = "") -> Order | None:
    """Cancel an order that is not here: it will be canceled when it comes. A repeat changes nothing.

    The order, canceled, if it came in this instant. UnknownOrder if the numbers name several.
    """
    tombstones.hold(key)
    if order_numbers.candidates(key).exists():
        return cancel(key, actor, reason)
    tombstones.bury(key, actor, reason)
    return None


@transaction.atomic
def tell_refused_cancel(order_pk: int, actor: Actor, reason: str) -> Order:
    """Record with the order that its cancellation was refused: somebody wants it not to go on.

    Called after the refusal rolled back what the cancellation had done.
    """
    order = events.lock_order(order_pk)
    for procedure in _procedures(order):
        events.record("cancel refused", actor, procedure=procedure, reason=reason)
    return order


@transaction.atomic
def cancel_exam(procedure_pk: int, actor: Actor, reason: str) -> RequestedProcedure:
    """Cancel every step of one exam (front desk). A repeat changes nothing; TransitionNotAllowed once started."""
    found = RequestedProcedure.objects.filter(pk=procedure_pk)
    order_pk = found.values_list("order_id", flat=True).first()
    if order_pk is None:
        raise UnknownOrder("This exam is not here")
    events.lock_order(order_pk)
    procedure = found.select_related("order__patient").get()
    _cancel_steps(procedure, actor, reason)
    return procedure


@transaction.atomic
def hold(key: OrderKey, actor: Actor, reason: str = "") -> Order:
    """Hide every waiting step of an order from worklists (ORC-1 HD). A repeat changes nothing.

    UnknownOrder, OrderOfOtherPatient; TransitionNotAllowed if no step waits any more.
    """
    order, waiting = _waiting(key, Verb.HOLD)
    for step in waiting:
        scheduling.hold(step.pk, actor, reason)
    return order


@transaction.atomic
def release(key: OrderKey, actor: Actor) -> Order:
    """Show what was held again (ORC-1 RL); refused like ``hold``."""
    order, waiting = _waiting(key, Verb.RELEASE)
    for step in waiting:
        scheduling.release(step.pk, actor)
    return order


@transaction.atomic
def assign_placer_number(key: OrderKey, placer: Identifier, actor: Actor) -> Order:
    """Give an order that has none the placer's number (ORC-1 NA). A repeat changes nothing.

    UnknownOrder if ``key`` names no order; OrderNumberTaken if the order has another number, or another order this one.
    """
    order = order_numbers.lock(key)
    number = {"placer_order_number": placer.value, "placer_issuer": placer.issuer or key.sender}
    if order.placer_order_number == placer.value:
        return order
    if order.placer_order_number or Order.objects.filter(**number).exists():
        raise OrderNumberTaken(f"Order {order.accession_number} has another placer order number, or another order this")
    for name, value in number.items():
        setattr(order, name, value)
    order.save(update_fields=[*number])
    events.record("number", actor, order=order)
    return order


def _waiting(key: OrderKey, verb: Verb) -> tuple[Order, list[ScheduledProcedureStep]]:
    order = order_numbers.lock(key)
    steps = list(ScheduledProcedureStep.objects.filter(requested_procedure__order=order).order_by("pk"))
    waiting = [step for step in steps if step.allows(verb)]
    if not waiting:
        raise TransitionNotAllowed(steps[0].status if steps else "empty", verb, f"Order {order.accession_number}")
    return order, waiting


def _check(request: OrderRequest) -> None:
    if not (request.placer_order_number or request.filler_order_number):
        raise IncompleteRequest("placer_order_number", "The order has neither a placer nor a filler order number")
    identifiers.check_short_string("Accession number", request.accession_number)
    for procedure in request.procedures:
        identifiers.check_short_string("Requested procedure ID", procedure.requested_procedure_id)
        identifiers.check_uid("Study Instance UID", procedure.study_instance_uid)
        for step in procedure.steps:
            identifiers.check_short_string("Scheduled procedure step ID", step.scheduled_procedure_step_id)


def _get_or_create(request: OrderRequest, patient: Patient, facts: dict[str, Any], actor: Actor) -> tuple[Order, bool]:
    """The order by the placer's number, else by the filler's, locked; two callers at once make one."""
    placer, filler = request.placer_order_number, request.filler_order_number
    by_placer = {"placer_order_number": placer.value, "placer_issuer": placer.issuer or request.sender}
    by_filler = {"filler_order_number": filler.value, "filler_issuer": filler.issuer or request.sender}
    key = by_placer if placer else by_filler
    values = {
        **facts,
        "patient": patient,
        "sender": request.sender,
        "said_at": dict.fromkeys(facts, precedence.stamp(actor)),
        "provenance": provenance.entries(request.provenance, actor),
    }
    if rows.is_gathering():
        return rows.save(Order(**key | values)), True
    if placer and filler:  # it may have come by the filler's number alone before
        named = Order.objects.filter(**by_placer)
        Order.objects.filter(~Exists(named), placer_order_number="", **by_filler).update(**by_placer)
    locked = Order.objects.select_for_update(no_key=True)
    return locked.get_or_create(**key, defaults=values)


def _refuse_canceled(order: Order, actor: Actor, *, again: bool) -> None:
    """Refuse what would have to revive an order: one that the desk canceled, or one that is placed ``again``."""
    if order.canceled_at is None:
        rows = ScheduledProcedureStep.objects.filter(requested_procedure__order=order)
        refused = set(rows.values_list("status", flat=True)) == {StepStatus.CANCELED}
    else:
        refused = again and not order.is_provisional and precedence.said_at(actor) > order.canceled_at
    if refused:
        raise TransitionNotAllowed(StepStatus.CANCELED, Verb.SCHEDULE, f"Order {order.accession_number}")


def _refuse_other_patients(order: Order, request: OrderRequest, patient: Patient) -> None:
    if order.patient_id != patient.pk:
        raise OrderOfOtherPatient("The order number belongs to an order of another patient")
    if rows.is_gathering():
        return
    others = Order.objects.exclude(patient=order.patient_id)
    number = request.accession_number
    if number and others.filter(accession_number=number, accession_issuer=request.accession_issuer).exists():
        raise OrderOfOtherPatient(f"Accession number {number} belongs to an order of another patient")
    uids = [procedure.study_instance_uid for procedure in request.procedures if procedure.study_instance_uid]
    if uids and others.filter(procedures__study_instance_uid__in=uids).exists():
        raise OrderOfOtherPatient("The Study Instance UID belongs to an order of another patient")


def _facts(request: OrderRequest, patient: Patient, actor: Actor) -> dict[str, Any]:
    """What the request says of the order itself. The visit, if it names one, is kept by the way."""
    said: dict[str, Any] = {name: getattr(request, name) for name in _TEXTS}
    said |= {name: getattr(request.visit, name) for name in _VISIT_TEXTS}
    if filler := request.filler_order_number:
        said |= {"filler_order_number": filler.value, "filler_issuer": filler.issuer or request.sender}
    if request.accession_number:
        said |= {"accession_number": request.accession_number, "accession_issuer": request.accession_issuer}
    if request.visit.admission_id:
        said["visit"] = patients.admit(patient, request.visit, actor)
    if request.parent:
        said["parent"] = order_numbers.candidates(request.parent).filter(patient=patient).first()
    return precedence.spoken(Order, said)


def _apply(
    order: Order, request: OrderRequest, facts: dict[str, Any], actor: Actor, known: list[RequestedProcedure]
) -> Order:
    """Bring a locked order and the procedures ``known`` of it up to date; a canceled one stays canceled."""
    taken = precedence.take(order, facts, precedence.stamp(actor))
    noted = provenance.note(order, request.provenance, actor)
    is_unsaved = not order.accession_number or order.is_provisional or order.canceled_at is not None
    order.accession_number = order.accession_number or identifiers.accession_number(order.pk)
    if taken.is_news or noted or is_unsaved:
        rows.save(order)
    for index, wanted in enumerate(request.procedures, 1):
        others = request.procedures
        procedures.apply(order, wanted, index, known, actor, order_changed=bool(taken.changed), siblings=others)
    if order.canceled_at is not None:
        _cancel_procedures(order, actor, order.cancel_reason)
    return order


def _procedures(order: Order) -> list[RequestedProcedure]:
    found = list(order.procedures.all())
    for procedure in found:
        procedure.order = order
    return found


def _cancel_procedures(order: Order, actor: Actor, reason: str) -> None:
    for procedure in _procedures(order):
        _cancel_steps(procedure, actor, reason)


def _cancel_steps(procedure: RequestedProcedure, actor: Actor, reason: str) -> None:
    for step in procedure.steps.all():
        step.requested_procedure = procedure
        events.move(step, Verb.CANCEL, actor, reason=reason)
