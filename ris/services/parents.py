"""Parent orders (HL7 ORC-1 PA): they have no exams, so they are on no worklist; their children know them."""

from django.db import transaction

from ris.inputs import Actor, OrderKey, OrderRequest, PatientIdentity
from ris.services import order_numbers, orders


@transaction.atomic
def await_parent(key: OrderKey, patient: PatientIdentity, actor: Actor) -> None:
    """Make the parent of an order that comes now, without exams and provisional, if it is not here yet."""
    if order_numbers.candidates(key).exists():
        return
    request = OrderRequest(
        patient=patient,
        sender=key.sender,
        placer_order_number=key.placer_order_number,
        filler_order_number=key.filler_order_number,
        procedures=(),
    )
    orders.place(request, actor, provisional=True)
