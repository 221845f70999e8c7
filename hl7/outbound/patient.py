"""Patients new, changed and merged, forwarded (IHE RAD-12): ADT^A08 or A31, A40, and A47 for another identifier."""

from hl7.destinations import Structure, Subscription
from hl7.outbound.segments import Body, Fields, MessageType, evn, pid, pv1
from ris.models import Patient, Visit, WorkflowEvent

#: Events of a patient alone; the same verbs on an order say which orders moved.
_UPDATES = ("register", "update")
#: What gives up an identifier -> trigger event and structure.
_GIVE_UP = {"merge": ("A40", "ADT_A39"), "change identifier": ("A47", "ADT_A30")}


def trigger(event: WorkflowEvent) -> str | None:
    """``update``, or the verb that gave up an identifier; that is told if the identifier is known."""
    if event.patient_id is None or event.order_id is not None:
        return None
    if event.verb in _UPDATES:
        return "update"
    return event.verb if event.verb in _GIVE_UP and event.retired_identifier_id else None


def body(event: WorkflowEvent, what: str, subscription: Subscription) -> tuple[MessageType, Body]:
    """The patient as they are now; of a merge the survivor in PID; the identifier given up in MRG-1."""
    patient, retired = event.patient, event.retired_identifier
    assert patient is not None
    person: tuple[str, Fields] = ("PID", pid(patient) | {11: patient.patient_address, 13: patient.telephone})
    if what in _GIVE_UP:
        assert retired is not None
        code, structure = _GIVE_UP[what]
        mrg: Fields = {1: (retired.value, "", "", retired.issuer)}
        return ("ADT", code, structure), [("EVN", evn(event, code)), person, ("MRG", mrg)]
    code, structure = ("A31", "ADT_A05") if subscription.structure == Structure.ADT_A31 else ("A08", "ADT_A01")
    return ("ADT", code, structure), [("EVN", evn(event, code)), person, ("PV1", pv1(_visit(patient)))]


def _visit(patient: Patient) -> Visit | None:
    return patient.visits.order_by("pk").last()
