"""What of an MPPS goes on to other systems: written beside the change, and what a person does about it afterwards."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from pydicom.dataset import Dataset

from ris.errors import Refusal
from worklist.destinations import MppsDestination, MppsForward
from worklist.stations import Profile

_State = MppsForward.State


class CannotForward(Refusal):
    """This cannot be sent again, or given up; the sentence says why."""


def put_create(station: Profile, sop_instance_uid: str, attributes: Dataset, encoded: dict[str, Any]) -> None:
    """An N-CREATE for every destination that is told of this station. Call it in the transaction of the MPPS itself."""
    told = MppsDestination.objects.filter(Q(stations=station.pk) | Q(stations=None), is_active=True)
    _put(told.values_list("pk", flat=True).distinct(), sop_instance_uid, MppsForward.Verb.CREATE, attributes, encoded)


def put_set(sop_instance_uid: str, modification: Dataset, encoded: dict[str, Any]) -> None:
    """An N-SET for every destination that was given the N-CREATE: another one would not know the instance."""
    told = MppsForward.objects.filter(sop_instance_uid=sop_instance_uid, verb=MppsForward.Verb.CREATE)
    destinations = told.values_list("destination", flat=True).distinct()
    _put(destinations, sop_instance_uid, MppsForward.Verb.SET, modification, encoded)


def _put(destinations: Any, sop_instance_uid: str, verb: str, sent: Dataset, encoded: dict[str, Any]) -> None:
    terms = sent.get("SpecificCharacterSet") or ""
    character_set = terms if isinstance(terms, str) else "\\".join(terms)
    MppsForward.objects.bulk_create(
        MppsForward(
            destination_id=pk,
            sop_instance_uid=sop_instance_uid,
            verb=verb,
            attributes=encoded,
            character_set=character_set,
        )
        for pk in sorted(destinations)
    )


def dataset_of(forward: MppsForward) -> Dataset:
    """The data set to send, in the character set in which it came."""
    dataset = Dataset.from_json(forward.attributes)
    if forward.character_set:
        dataset.SpecificCharacterSet = forward.character_set.split("\\")
    return dataset


@transaction.atomic
def resend(pk: int, who: str) -> MppsForward:
    """Offer it again, before all that follow it of its MPPS.

    CannotForward if it waits already, or if a later one of its MPPS was taken since: it would set the receiver back.
    """
    forward = _lock(pk)
    if forward.state == _State.WAITING:
        raise CannotForward("It waits to be sent already")
    if later(forward).filter(state=_State.SENT).exists():
        raise CannotForward("A later message of the same MPPS was taken since")
    forward.state, forward.refusals, forward.next_attempt_at = _State.WAITING, 0, None
    forward.handled_by = who[:150]
    forward.save(update_fields=["state", "refusals", "next_attempt_at", "handled_by"])
    return forward


@transaction.atomic
def give_up(pk: int, who: str) -> MppsForward:
    """Leave a parked one unsent, so that what follows of its MPPS goes on; CannotForward if it is not parked."""
    forward = _lock(pk)
    if forward.state != _State.PARKED:
        raise CannotForward("Only what is parked can be given up")
    forward.state, forward.handled_by = _State.GIVEN_UP, who[:150]
    forward.save(update_fields=["state", "handled_by"])
    return forward


def later(forward: MppsForward) -> QuerySet[MppsForward]:
    """What follows of the same MPPS at the same destination."""
    return MppsForward.objects.filter(
        destination=forward.destination_id, sop_instance_uid=forward.sop_instance_uid, pk__gt=forward.pk
    )


def purge(days: int) -> int:
    """Delete what was sent or given up more than so many days ago; how many."""
    old = MppsForward.objects.filter(created_at__lt=timezone.now() - timedelta(days=days))
    return old.filter(state__in=[_State.SENT, _State.GIVEN_UP]).delete()[0]


def _lock(pk: int) -> MppsForward:
    found = MppsForward.objects.select_for_update(of=("self",)).filter(pk=pk).first()
    if found is None:
        raise CannotForward("This is not here")
    return found
