"""How a message names an order: by placer, filler or accession number."""

import hashlib
from collections.abc import Iterable

from django.db import connection
from django.db.models import Q, QuerySet

from ris.errors import OrderOfOtherPatient, UnknownOrder
from ris.inputs import Identifier, OrderKey
from ris.models import Order, PatientIdentifier
from ris.services import events


def find(key: OrderKey) -> Order:
    """The order that the key's numbers name, not locked; UnknownOrder if none or several do."""
    found = list(candidates(key)[:2])
    if len(found) != 1:
        raise UnknownOrder(f"No single order has the number {spelled(key)}")
    return found[0]


def lock(key: OrderKey) -> Order:
    """The order that the key names, locked; UnknownOrder, or OrderOfOtherPatient if the key names another patient."""
    order = events.lock_order(find(key).pk)
    if key.patient and not is_of(order, key.patient):
        raise OrderOfOtherPatient("The order with these numbers belongs to another patient")
    return order


def candidates(key: OrderKey) -> QuerySet[Order]:
    """The orders of the placer's number, else of the filler's, else of the accession number."""
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


def of_another_sender(key: OrderKey) -> OrderKey | None:
    """All numbers of the patient's only order of this placer number: a system that schedules or reports need not be the
    one that ordered, and may leave out the number's namespace."""
    placer = key.placer_order_number
    if not placer or placer.issuer or not key.patient:
        return None
    named = PatientIdentifier.objects.filter(value=key.patient.value, issuer=key.patient.issuer)
    found = list(Order.objects.filter(placer_order_number=placer.value, patient__identifiers__in=named)[:2])
    return exactly(found[0], key.patient) if len(found) == 1 else None


def exactly(order: Order, patient: Identifier) -> OrderKey:
    """The key of this very order, asked for by a message about ``patient``."""
    placer = Identifier(order.placer_order_number, order.placer_issuer)
    filler = Identifier(order.filler_order_number, order.filler_issuer)
    return OrderKey(sender=order.sender, placer_order_number=placer, filler_order_number=filler, patient=patient)


def spelled(key: OrderKey) -> str:
    """The key's numbers, for a sentence."""
    numbers = (key.placer_order_number.value, key.filler_order_number.value, key.accession_number)
    return " or ".join(dict.fromkeys(number for number in numbers if number))


def is_of(order: Order, patient: Identifier) -> bool:
    """Whether this identifier names the order's patient."""
    return PatientIdentifier.objects.filter(patient=order.patient, value=patient.value, issuer=patient.issuer).exists()


def hold_numbers(numbers: Iterable[str]) -> None:
    """Let nobody else place or bury an order of one of these numbers until the transaction ends.

    An order that is not here yet has no row that could be locked, so PostgreSQL locks the numbers. On SQLite there is
    one writer at a time anyway.
    """
    numbers = list(numbers)
    if connection.vendor != "postgresql" or not numbers:
        return
    keys = sorted({int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True) for text in numbers})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", [keys])
