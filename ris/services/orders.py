"""The order filler: place, change and cancel orders."""

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from ris import identifiers
from ris.errors import IncompleteRequest, OrderOfOtherPatient, TransitionNotAllowed, UnknownOrder
from ris.inputs import Actor, OrderKey, OrderRequest, ProcedureRequest
from ris.models import Order, Patient, PatientIdentifier, RequestedProcedure
from ris.services import events, patients, planning
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
def place(request: OrderRequest, actor: Actor) -> Order:
    """Take a new order (ORC-1 NW), or bring the same order up to date when it is sent again.

    IncompleteRequest without patient or order number; InvalidIdentifier for numbers that DICOM cannot carry;
    OrderOfOtherPatient if a number belongs to somebody else; TransitionNotAllowed for an order that was canceled.
    """
    _check(request)
    patient = patients.register(request.patient, actor)
    order, created = _get_or_create(request, patient)
    if not created:
        _refuse_canceled(order)
    return _apply(order, request, patient, actor)


@transaction.atomic
def change(request: OrderRequest, actor: Actor) -> Order:
    """Bring an order up to date (ORC-1 XO); UnknownOrder if it is not here, else refused like ``place``."""
    _check(request)
    key = OrderKey(
        sender=request.sender,
        placer_order_number=request.placer_order_number,
        filler_order_number=request.filler_order_number,
    )
    find(key)
    patient = patients.register(request.patient, actor)
    order = _lock(key)
    _refuse_canceled(order)
    return _apply(order, request, patient, actor)


@transaction.atomic
def cancel(key: OrderKey, actor: Actor, reason: str = "") -> Order:
    """Cancel every step of an order (ORC-1 CA). A repeat changes nothing.

    UnknownOrder if no order has the numbers; OrderOfOtherPatient if the key names another patient;
    TransitionNotAllowed once one of its steps was started, and then nothing is canceled.
    """
    order = _lock(key)
    if key.patient and not _is_of(order, key):
        raise OrderOfOtherPatient("The order with these numbers belongs to another patient")
    for procedure in order.procedures.all():
        _cancel_steps(procedure, actor, reason)
    return order


@transaction.atomic
def cancel_exam(procedure_pk: int, actor: Actor, reason: str) -> RequestedProcedure:
    """Cancel every step of one exam (front desk). A repeat changes nothing; TransitionNotAllowed once started."""
    procedures = RequestedProcedure.objects.filter(pk=procedure_pk)
    order_pk = procedures.values_list("order_id", flat=True).first()
    if order_pk is None:
        raise UnknownOrder("This exam is not here")
    events.lock_order(order_pk)
    procedure = procedures.select_related("order__patient").get()
    _cancel_steps(procedure, actor, reason)
    return procedure


def find(key: OrderKey) -> Order:
    """The order that the key's numbers name, not locked; UnknownOrder if none or several do."""
    found = list(_candidates(key)[:2])
    if len(found) != 1:
        numbers = (key.placer_order_number.value, key.filler_order_number.value, key.accession_number)
        named = dict.fromkeys(number for number in numbers if number)
        raise UnknownOrder(f"No single order has the number {' or '.join(named)}")
    return found[0]


def _candidates(key: OrderKey) -> QuerySet[Order]:
    placer, filler = key.placer_order_number, key.filler_order_number
    if placer:
        by_placer = Order.objects.filter(placer_order_number=placer.value, placer_issuer=placer.issuer or key.sender)
        if by_placer.exists() or not filler:
            return by_placer
    if filler:
        number = Q(filler_order_number=filler.value, filler_issuer__in=[filler.issuer or key.sender, ""])
        ours = Q(filler_order_number="", accession_number=filler.value)  # what we tell as filler number when none came
        return Order.objects.filter(number | ours)
    if key.accession_number:
        return Order.objects.filter(accession_number=key.accession_number)
    return Order.objects.none()


def _lock(key: OrderKey) -> Order:
    return events.lock_order(find(key).pk)


def _is_of(order: Order, key: OrderKey) -> bool:
    return PatientIdentifier.objects.filter(
        patient=order.patient, value=key.patient.value, issuer=key.patient.issuer
    ).exists()


def _check(request: OrderRequest) -> None:
    if not (request.placer_order_number or request.filler_order_number):
        raise IncompleteRequest("placer_order_number", "The order has neither a placer nor a filler order number")
    identifiers.check_short_string("Accession number", request.accession_number)
    for procedure in request.procedures:
        identifiers.check_short_string("Requested procedure ID", procedure.requested_procedure_id)
        identifiers.check_uid("Study Instance UID", procedure.study_instance_uid)
        for step in procedure.steps:
            identifiers.check_short_string("Scheduled procedure step ID", step.scheduled_procedure_step_id)


def _get_or_create(request: OrderRequest, patient: Patient) -> tuple[Order, bool]:
    """The order by the placer's number, else by the filler's, locked; two callers at once make one."""
    placer, filler = request.placer_order_number, request.filler_order_number
    if placer:
        key = {"placer_order_number": placer.value, "placer_issuer": placer.issuer or request.sender}
    else:
        key = {"filler_order_number": filler.value, "filler_issuer": filler.issuer or request.sender}
    return (
        Order.objects.select_for_update(of=("self",), no_key=True)
        .select_related("patient")
        .get_or_create(**key, defaults={"patient": patient, "sender": request.sender})
    )


def _refuse_canceled(order: Order) -> None:
    steps = {step for procedure in order.procedures.all() for step in procedure.steps.values_list("status", flat=True)}
    if steps == {StepStatus.CANCELED}:
        raise TransitionNotAllowed(StepStatus.CANCELED, Verb.SCHEDULE, f"Order {order.accession_number}")


def _apply(order: Order, request: OrderRequest, patient: Patient, actor: Actor) -> Order:
    if order.patient_id != patient.pk:
        raise OrderOfOtherPatient("The order number belongs to an order of another patient")
    _refuse_foreign_numbers(order, request)
    _take_over(order, request)
    for index, wanted in enumerate(request.procedures, 1):
        _apply_procedure(order, wanted, index, actor)
    return order


def _refuse_foreign_numbers(order: Order, request: OrderRequest) -> None:
    others = Order.objects.exclude(patient=order.patient_id)
    number = request.accession_number
    if number and others.filter(accession_number=number, accession_issuer=request.accession_issuer).exists():
        raise OrderOfOtherPatient(f"Accession number {number} belongs to an order of another patient")
    uids = [procedure.study_instance_uid for procedure in request.procedures if procedure.study_instance_uid]
    if uids and others.filter(procedures__study_instance_uid__in=uids).exists():
        raise OrderOfOtherPatient("The Study Instance UID belongs to an order of another patient")


def _take_over(order: Order, request: OrderRequest) -> None:
    said: dict[str, Any] = {name: getattr(request, name) for name in _TEXTS}
    said |= {name: getattr(request.visit, name) for name in _VISIT_TEXTS}
    if filler := request.filler_order_number:
        said |= {"filler_order_number": filler.value, "filler_issuer": filler.issuer or request.sender}
    if request.accession_number:
        said |= {"accession_number": request.accession_number, "accession_issuer": request.accession_issuer}
    elif not order.accession_number:
        said["accession_number"] = identifiers.accession_number(order.pk)
    if request.visit.admission_id:
        said["visit"] = patients.admit(order.patient, request.visit)
    for name, value in said.items():
        if value is not None:
            setattr(order, name, value)
    order.save()


def _apply_procedure(order: Order, wanted: ProcedureRequest, index: int, actor: Actor) -> None:
    procedure = _matching(order, wanted, index)
    created = procedure is None
    if procedure is None:
        procedure = RequestedProcedure(order=order, position=_next_position(order))
    _fill(procedure, wanted)
    if created:
        events.record("order", actor, procedure=procedure)
    planning.plan(procedure, wanted, actor)


def _matching(order: Order, wanted: ProcedureRequest, index: int) -> RequestedProcedure | None:
    """The procedure meant: by Study UID, by requested procedure ID, else by its place in the order."""
    procedures = list(order.procedures.select_related("order__patient"))
    for name in ("study_instance_uid", "requested_procedure_id"):
        value = getattr(wanted, name)
        for procedure in procedures:
            if value and getattr(procedure, name) == value:
                return procedure
    return next(
        (procedure for procedure in procedures if procedure.position == index and _can_be(procedure, wanted)), None
    )


def _can_be(procedure: RequestedProcedure, wanted: ProcedureRequest) -> bool:
    """Whether the procedure at the wanted one's place is the same one: not if the sender named both differently."""
    ours = identifiers.requested_procedure_id(procedure.pk)
    return not wanted.requested_procedure_id or procedure.requested_procedure_id == ours


def _next_position(order: Order) -> int:
    return max(order.procedures.values_list("position", flat=True), default=0) + 1


def _fill(procedure: RequestedProcedure, wanted: ProcedureRequest) -> None:
    order, code = procedure.order, wanted.code
    said = {
        "requested_procedure_id": wanted.requested_procedure_id,
        "study_instance_uid": wanted.study_instance_uid,
        "description": wanted.description,
        "reason": wanted.reason,
        "comments": wanted.comments,
    }
    if code:
        said |= {"code_value": code.value, "coding_scheme": code.scheme, "code_meaning": code.meaning}
    for name, value in said.items():
        if value:
            setattr(procedure, name, value)
    if not procedure.study_instance_uid:
        procedure.study_instance_uid = identifiers.study_instance_uid(*_order_number(order), procedure.position)
    procedure.save()
    if not procedure.requested_procedure_id:
        procedure.requested_procedure_id = identifiers.requested_procedure_id(procedure.pk)
        procedure.save(update_fields=["requested_procedure_id"])


def _order_number(order: Order) -> tuple[str, str]:
    if order.placer_order_number:
        return order.placer_issuer, order.placer_order_number
    return order.filler_issuer, order.filler_order_number


def _cancel_steps(procedure: RequestedProcedure, actor: Actor, reason: str) -> None:
    for step in procedure.steps.select_related("requested_procedure__order__patient"):
        step.requested_procedure = procedure
        events.move(step, Verb.CANCEL, actor, reason=reason)
