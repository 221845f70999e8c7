"""The one way to change a step's status: lock, table, save, one WorkflowEvent (DESIGN section 3)."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from ris.errors import TransitionNotAllowed, UnknownOrder
from ris.inputs import Actor
from ris.models import Order, RequestedProcedure, ScheduledProcedureStep, WorkflowEvent
from ris.services import rows
from ris.states import TRANSITIONS, StepStatus, Verb, exam_status


def lock_order(order_pk: int) -> Order:
    """The order's row, locked until the transaction ends. Every service function locks it before it reads below it.

    Without KEY, because the events of another order of the same patient only need that the key stays. Without its
    patient, because an order that is merged while we wait for it would not be found beside the patient it had.
    """
    try:
        return Order.objects.select_for_update(no_key=True).get(pk=order_pk)
    except Order.DoesNotExist:
        raise UnknownOrder("This order is not here") from None


def lock_orders(order_pks: Iterable[int]) -> None:
    """Lock several, always in the order of their keys, so that two that want the same cannot deadlock."""
    locked = Order.objects.select_for_update(no_key=True).filter(pk__in=set(order_pks)).order_by("pk")
    list(locked.values_list("pk"))


def lock_step(step_pk: int) -> ScheduledProcedureStep:
    """The step as it is once its order is locked; UnknownOrder if there is none."""
    steps = ScheduledProcedureStep.objects.filter(pk=step_pk)
    order_pk = steps.values_list("requested_procedure__order_id", flat=True).first()
    if order_pk is None:
        raise UnknownOrder("This step is not here")
    lock_order(order_pk)
    return steps.select_related("requested_procedure__order__patient").get()


def move(
    step: ScheduledProcedureStep, verb: Verb, actor: Actor, *, reason: str = "", performed: Any = None
) -> WorkflowEvent | None:
    """Do ``verb`` to a locked step, save it and record the event.

    None if the step already is where the verb leads (a repeat changes nothing); TransitionNotAllowed if the table has
    no cell for it.
    """
    old = StepStatus(step.status)
    new = TRANSITIONS.get((old, verb))
    if new is None:
        if _leads_to(verb) == old:
            return None
        raise TransitionNotAllowed(old, verb, f"Step {step.scheduled_procedure_step_id}")
    step.status = new
    rows.save(step)
    return record(verb, actor, step=step, old_status=old, new_status=new, reason=reason, performed_step=performed)


def _leads_to(verb: Verb) -> StepStatus | None:
    if verb in (Verb.SCHEDULE, Verb.HOLD, Verb.RELEASE):
        return None
    return next(target for (_status, other), target in TRANSITIONS.items() if other is verb)


def record(
    verb: str,
    actor: Actor,
    *,
    step: ScheduledProcedureStep | None = None,
    procedure: RequestedProcedure | None = None,
    order: Order | None = None,
    **facts: Any,
) -> WorkflowEvent:
    """Write one event, bringing the exam's computed status up to date first. ``facts`` are WorkflowEvent columns;
    who gives ``exam_status`` has seen to it.
    """
    procedure = procedure or (step.requested_procedure if step else None)
    order = order or (procedure.order if procedure else None)
    if procedure and "exam_status" not in facts:
        facts["old_exam_status"], facts["exam_status"] = refresh_exam(procedure)
    facts.setdefault("patient", order.patient if order else None)
    facts["reason"] = facts.get("reason", "")[:250]
    event = WorkflowEvent(
        verb=str(verb),
        order=order,
        requested_procedure=procedure,
        step=step,
        actor_kind=actor.kind,
        actor_name=actor.name[:150],
        source_message=actor.source_message[:250],
        at=timezone.now(),
        **facts,
    )
    return rows.save(event)


def refresh_exam(procedure: RequestedProcedure) -> tuple[str, str]:
    """Compute the exam's status anew and keep it; (old, new)."""
    old = procedure.status
    procedure.status = exam_status(
        _steps(procedure),
        images_complete=procedure.images_complete,
        reported=procedure.reported_at is not None,
    )
    if procedure.status != old:
        rows.save(procedure, ["status"])
    return old, procedure.status


def _steps(procedure: RequestedProcedure) -> Iterable[tuple[str, bool]]:
    """Status and hold of every step."""
    if rows.is_new(procedure):
        steps = rows.new(ScheduledProcedureStep)
        return [(step.status, step.on_hold) for step in steps if step.requested_procedure is procedure]
    return procedure.steps.values_list("status", "on_hold")
