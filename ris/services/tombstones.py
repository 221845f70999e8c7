"""Cancellations that came before their order: kept, and laid on the order when it comes."""

from django.db.models import Q

from ris.inputs import Actor, Identifier, OrderKey, OrderRequest
from ris.models import Order, Tombstone
from ris.services import order_numbers, precedence


def bury(key: OrderKey, actor: Actor, reason: str) -> None:
    """Keep the cancellation of an order that is not here; the numbers are held. A repeat changes nothing."""
    said_at, numbers = precedence.said_at(actor), _columns(key)
    tombstone = Tombstone.objects.filter(**numbers).first() or Tombstone(**numbers, canceled_at=said_at)
    if tombstone.pk is None or said_at > tombstone.canceled_at:
        tombstone.sender, tombstone.canceled_at, tombstone.cancel_reason = key.sender, said_at, reason[:250]
        tombstone.source_message = actor.source_message[:250]
        tombstone.save()


def lay_on(order: Order, key: OrderKey) -> None:
    """Mark a new, order (not saved) as canceled if its cancellation came before it. ``key`` is all its numbers."""
    hold(key)
    found = list(Tombstone.objects.filter(_any_number(key)).order_by("canceled_at"))
    for tombstone in found:  # the last one said holds
        order.canceled_at, order.cancel_reason = tombstone.canceled_at, tombstone.cancel_reason
        tombstone.delete()


def hold(key: OrderKey) -> None:
    """Let nobody else place or bury an order of these numbers until the transaction ends."""
    order_numbers.hold_numbers(spelled(key))


def key_of(request: OrderRequest) -> OrderKey:
    """The request's own numbers. An accession number alone does not name the order that is placed."""
    return OrderKey(
        sender=request.sender,
        placer_order_number=request.placer_order_number,
        filler_order_number=request.filler_order_number,
    )


def _columns(key: OrderKey) -> dict[str, str]:
    placer, filler = key.placer_order_number, key.filler_order_number
    return {
        "placer_order_number": placer.value,
        "placer_issuer": _issuer(placer, key.sender),
        "filler_order_number": filler.value,
        "filler_issuer": _issuer(filler, key.sender),
        "accession_number": key.accession_number,
    }


def _issuer(number: Identifier, sender: str) -> str:
    return (number.issuer or sender) if number else ""


def spelled(key: OrderKey) -> list[str]:
    """The numbers as texts that are another for each kind and issuer."""
    columns = _columns(key)
    return [
        "\x1f".join((name, columns[name], columns.get(name.replace("order_number", "issuer"), "")))
        for name in ("placer_order_number", "filler_order_number", "accession_number")
        if columns[name]
    ]


def _any_number(key: OrderKey) -> Q:
    columns, any_number = _columns(key), Q(pk=None)
    for kind in ("placer", "filler"):
        names = (f"{kind}_order_number", f"{kind}_issuer")
        if columns[names[0]]:
            any_number |= Q(**{name: columns[name] for name in names})
    if key.accession_number:
        any_number |= Q(accession_number=key.accession_number, placer_order_number="", filler_order_number="")
    return any_number
