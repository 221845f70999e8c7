"""From what an order asks for to its requested procedures (the clinic's exams) and their steps."""

from ris import identifiers
from ris.inputs import Actor, ProcedureRequest
from ris.models import Order, RequestedProcedure
from ris.services import events, planning, precedence, provenance, rows


def apply(
    order: Order,
    wanted: ProcedureRequest,
    index: int,
    known: list[RequestedProcedure],
    actor: Actor,
    *,
    order_changed: bool,
) -> None:
    """Create the ``index``-th procedure of a request, or bring it up to date, with its steps.

    ``known`` are all procedures of the locked order; a new one is added to it. A change of the procedure or its order
    is an event, for those who were told of it.
    """
    procedure = _matching(known, wanted, index)
    created = procedure is None
    if procedure is None:
        position = max((other.position for other in known), default=0) + 1
        procedure = RequestedProcedure(order=order, position=position)
        known.append(procedure)
    changed = _fill(procedure, wanted, actor)
    if created:
        status = procedure.status
        events.record("order", actor, procedure=procedure, old_exam_status=status, exam_status=status)
    elif changed or order_changed:
        events.record("change", actor, procedure=procedure)
    existing = [] if created else list(procedure.steps.all())
    planning.plan(procedure, wanted, actor, existing, other_code="code_value" in changed)


def _matching(procedures: list[RequestedProcedure], wanted: ProcedureRequest, index: int) -> RequestedProcedure | None:
    """The procedure meant: by Study UID, by requested procedure ID, else by its place in the order."""
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
    ours = identifiers.requested_procedure_id(procedure.order_id, procedure.position)
    return not wanted.requested_procedure_id or procedure.requested_procedure_id == ours


def _fill(procedure: RequestedProcedure, wanted: ProcedureRequest, actor: Actor) -> frozenset[str]:
    """Take over and save what the request says; the names of what changed."""
    code, mark = wanted.code, precedence.stamp(actor)
    said = {
        "requested_procedure_id": wanted.requested_procedure_id or None,
        "study_instance_uid": wanted.study_instance_uid or None,
        "description": wanted.description,
        "reason": wanted.reason,
        "comments": wanted.comments,
    }
    if code is not None:
        said |= {"code_value": code.value, "coding_scheme": code.scheme, "code_meaning": code.meaning}
    taken = precedence.take(procedure, precedence.spoken(RequestedProcedure, said), mark)
    noted = provenance.note(procedure, wanted.provenance, actor)
    if not procedure.study_instance_uid:
        order_number = _order_number(procedure.order)
        procedure.study_instance_uid = identifiers.study_instance_uid(*order_number, procedure.position)
    if not procedure.requested_procedure_id:
        number = identifiers.requested_procedure_id(procedure.order_id, procedure.position)
        procedure.requested_procedure_id = number
    if taken.is_news or noted or procedure.pk is None:
        rows.save(procedure)
    return taken.changed


def _order_number(order: Order) -> tuple[str, str]:
    if order.placer_order_number:
        return order.placer_issuer, order.placer_order_number
    return order.filler_issuer, order.filler_order_number
