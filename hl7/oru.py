"""Reports: ORU^R01 (HL7 v2.5.1 7.3.1; IHE RAD-28). A report never makes an order, and its text is not read."""

from hl7.ack import FieldRefused
from hl7.er7 import Message
from hl7.groups import Scope, patient_groups, report_groups
from hl7.identity import identifier_if_any
from hl7.mapping import Reading
from hl7.orders import Effect
from hl7.request import order_numbers
from ris.errors import UnknownOrder
from ris.inputs import Actor, Code, Identifier, OrderKey, ReportNotice
from ris.models import Order, RequestedProcedure
from ris.services import reports

_Status = RequestedProcedure.ReportStatus

#: OBR-25 (table 0123) and, where that is empty, OBX-11 (table 0085) of the first OBX.
STATUS = {
    **dict.fromkeys(("O", "I", "S"), _Status.REGISTERED),
    **dict.fromkeys(("A", "R"), _Status.PARTIAL),
    "P": _Status.PRELIMINARY,
    "F": _Status.FINAL,
    **dict.fromkeys(("C", "U"), _Status.CORRECTED),
    **dict.fromkeys(("X", "D", "W"), _Status.CANCELED),
}


def handle(message: Message, reading: Reading, actor: Actor) -> Effect:
    """File every report of the message; whatever is refused refuses all of it."""
    filed = [order for part in patient_groups(message) for order in _reports(part, reading, actor)]
    return Effect(list({order.pk: order for order in filed if order}.values()))


def _reports(message: Message, reading: Reading, actor: Actor) -> list[Order | None]:
    groups = report_groups(message)
    if not groups:
        raise FieldRefused("100", "OBR^1", "There is no OBR segment in this report")
    patient = identifier_if_any(message, reading)
    return [_file(_notice(scope, patient, reading), reading, actor) for scope in groups]


def _file(notice: ReportNotice, reading: Reading, actor: Actor) -> Order | None:
    """A reporting system may tell the reports of exams that were never ours."""
    try:
        return reports.file(notice, actor)
    except UnknownOrder as unknown:
        if reading.policy("report_unknown_order") == "refuse":
            raise
        reading.warn(f"{unknown}: the report changes nothing")
        return None


def _notice(scope: Scope, patient: Identifier, reading: Reading) -> ReportNotice:
    placer, filler = order_numbers(scope, reading)
    key = OrderKey(
        sender=reading.sender,
        placer_order_number=placer,
        filler_order_number=filler,
        accession_number=reading.find(scope, "accession_number") or "",
        patient=patient,
    )
    return ReportNotice(
        order=key,
        status=_status(scope, reading),
        study_instance_uid=reading.find(scope, "report_study_instance_uid") or "",
        requested_procedure_id=reading.find(scope, "requested_procedure_id") or "",
        code=reading.find(scope, "procedure_code") or Code(),
        at=reading.start(scope, "report_time") or None,
    )


def _status(scope: Scope, reading: Reading) -> str:
    said = reading.find(scope, "report_status") or ""
    if not said:
        raise FieldRefused("101", scope.location("OBR-25"), "OBR-25 (result status) is empty")
    if said.upper() not in STATUS:
        place = reading.place("report_status")
        raise FieldRefused("103", scope.location(place), f"{place} (result status) {said[:8]} is not of table 0123")
    return STATUS[said.upper()]
