"""N-SETs that came before their N-CREATE, or without one: answered 0112H, changed nothing, shown to a person."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from worklist.destinations import EarlyUpdate

#: How long the content is kept: a patient's data of an MPPS that we never took.
KEPT = timedelta(minutes=10)
#: How many are kept, the newest.
MOST = 500


@transaction.atomic
def park(ae_title: str, sop_instance_uid: str, attributes: dict[str, Any]) -> None:
    """Keep what a station said of an MPPS that is not here; a repeat replaces what it said before."""
    now = timezone.now()
    row, created = EarlyUpdate.objects.get_or_create(
        sop_instance_uid=sop_instance_uid,
        ae_title=ae_title,
        defaults={"attributes": attributes, "first_at": now, "last_at": now},
    )
    if not created:
        EarlyUpdate.objects.filter(pk=row.pk).update(attributes=attributes, times=F("times") + 1, last_at=now)
    forget(now)


def forget(now: datetime) -> int:
    """Take away the content of what is older than KEPT, and what is too much; how many lost their content."""
    if oldest := EarlyUpdate.objects.order_by("-last_at").values_list("last_at", flat=True)[MOST : MOST + 1]:
        EarlyUpdate.objects.filter(last_at__lte=oldest[0]).delete()
    return EarlyUpdate.objects.filter(last_at__lt=now - KEPT, attributes__isnull=False).update(attributes=None)
