"""Reports of exams: what the reporting system says of them. The text stays in the message that brought it."""

from collections.abc import Iterator

from django.db import transaction

from ris.errors import UnknownOrder
from ris.inputs import Actor, OrderKey, ReportNotice
from ris.models import Order, RequestedProcedure
from ris.services import events, order_numbers, precedence

_Status = RequestedProcedure.ReportStatus
#: With these the exam is REPORTED.
_FILED = (_Status.FINAL, _Status.CORRECTED)


@transaction.atomic
def file(notice: ReportNotice, actor: Actor) -> Order:
    """Keep status and time of a report: final or corrected the exam is REPORTED, canceled it no longer is.

    A repeat changes nothing, nor does what was said before what is known. UnknownOrder, for a report makes no order;
    OrderOfOtherPatient if it names another patient.
    """
    order = order_numbers.lock(_key(notice))
    for procedure in _procedures(order, notice):
        procedure.order = order
        _take_over(procedure, notice, actor)
    return order


def _key(notice: ReportNotice) -> OrderKey:
    """The first of the notice's names that names one order."""
    for key in _keys(notice):
        if order_numbers.candidates(key).count() == 1:
            return key
    if found := order_numbers.of_another_sender(notice.order):
        return found
    raise UnknownOrder(f"No single order has the number {order_numbers.spelled(notice.order) or 'of this report'}")


def _keys(notice: ReportNotice) -> Iterator[OrderKey]:
    given = notice.order
    yield given
    accessions = [given.accession_number, given.filler_order_number.value, *_accessions_of(notice.study_instance_uid)]
    for number in dict.fromkeys(accession for accession in accessions if accession):
        yield OrderKey(sender=given.sender, accession_number=number, patient=given.patient)
    if given.filler_order_number:
        yield OrderKey(sender=given.sender, filler_order_number=given.filler_order_number, patient=given.patient)


def _accessions_of(study_instance_uid: str) -> list[str]:
    if not study_instance_uid:
        return []
    found = RequestedProcedure.objects.filter(study_instance_uid=study_instance_uid)
    return list(found.values_list("order__accession_number", flat=True)[:2])


def _procedures(order: Order, notice: ReportNotice) -> list[RequestedProcedure]:
    """Those that the report names, by the surest of what it says; else all of the order."""
    procedures = list(order.procedures.all())
    names = (
        ("study_instance_uid", notice.study_instance_uid),
        ("requested_procedure_id", notice.requested_procedure_id),
        ("code_value", notice.code.value),
    )
    for name, value in names:
        named = [procedure for procedure in procedures if value and getattr(procedure, name) == value]
        if named:
            return named
    return procedures


def _take_over(procedure: RequestedProcedure, notice: ReportNotice, actor: Actor) -> None:
    said = {"report_status": notice.status, "report_changed_at": notice.at or precedence.said_at(actor)}
    taken = precedence.take(procedure, said, precedence.stamp(actor))
    if not taken.changed:
        return
    procedure.reported_at = procedure.report_changed_at if procedure.report_status in _FILED else None
    procedure.save()
    events.record(f"report {notice.status.lower()}", actor, procedure=procedure)
