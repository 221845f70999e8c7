"""Which instances count for an exam: those that its MPPS list, and those that are here."""

from django.db.models import QuerySet

from ris.models import ExpectedInstance, Instance, Study
from ris.states import WRONG_ENTRY, PerformedStatus


def counted_instances() -> QuerySet[ExpectedInstance]:
    """The instances that final MPPS list, without those of a wrong entry: they are of another exam, or of none."""
    return ExpectedInstance.objects.exclude(performed_step__status=PerformedStatus.IN_PROGRESS).exclude(
        performed_step__status=PerformedStatus.DISCONTINUED, performed_step__discontinuation_code=WRONG_ENTRY
    )


def arrived_instances() -> QuerySet[Instance]:
    """Instances that count for an exam: neither of another patient nor of a wrong entry."""
    return Instance.objects.filter(series__wrong_entry=False).exclude(series__study__mismatch=Study.Mismatch.PATIENT)
