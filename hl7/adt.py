"""Admissions: ADT (HL7 v2.5.1 3.3; IHE RAD-1, RAD-12)."""

from dataclasses import replace

from hl7 import spoken
from hl7.er7 import Message
from hl7.groups import patient_groups
from hl7.identity import patient_identity, retired_identifier, visit_info
from hl7.mapping import Reading
from hl7.orders import Effect
from ris.inputs import Actor
from ris.models import Patient, Visit
from ris.services import patients, scheduling

_Status = Visit.Status

#: Events that say who the patient is and where, and what each says of the visit (None: not said). The orders stay,
#: whatever becomes of the visit.
REGISTER: dict[str, str | None] = {
    "A01": _Status.CURRENT,
    "A02": None,
    "A03": _Status.DISCHARGED,
    "A04": _Status.CURRENT,
    "A05": _Status.CURRENT,
    "A06": None,
    "A07": None,
    "A08": None,
    "A11": _Status.CANCELED,
    "A12": None,
    "A13": _Status.CURRENT,
    "A28": None,
    "A31": None,
    "A38": _Status.CANCELED,
}
ARRIVE = ("A10",)
MERGE = ("A18", "A34", "A40")
CHANGE_IDENTIFIER = ("A47",)


def register(message: Message, reading: Reading, actor: Actor) -> Effect:
    """Create the patient or bring it up to date, with the visit."""
    return Effect(patient=_register(message, reading, actor))


def _register(message: Message, reading: Reading, actor: Actor) -> Patient:
    status = REGISTER.get(spoken.event(message)[1])
    visit = replace(visit_info(message, reading), status=status)
    if status == _Status.CANCELED and not visit.admission_id:
        reading.warn("PV1-19 (visit number) is empty: no visit was canceled")
    return patients.register(patient_identity(message, reading), actor, visit)


def arrive(message: Message, reading: Reading, actor: Actor) -> Effect:
    """A10: the patient is here. What is booked for that visit, or without one, on that day is checked in."""
    patient = _register(message, reading, actor)
    at = spoken.usable_time(*(message.value(path) for path in ("EVN-6.1", "EVN-2.1", "MSH-7.1")))
    visit = visit_info(message, reading).admission_id
    orders = scheduling.arrive_patient(patient.pk, actor, at=at, visit=visit)
    if not orders:
        reading.warn("No exam of this patient is booked on that day: nobody was checked in")
    return Effect(orders, patient)


def merge(message: Message, reading: Reading, actor: Actor) -> Effect:
    """A40: what MRG-1 named is from now on named by PID-3, for each PID. Further identifiers of MRG are left (#048)."""
    survivor: Patient | None = None
    for group in patient_groups(message):
        survivor = patients.merge(patient_identity(group, reading), retired_identifier(group, reading), actor)
    return Effect(patient=survivor)


def change_identifier(message: Message, reading: Reading, actor: Actor) -> Effect:
    """A47: PID-3 stands for what MRG-1 was until now."""
    old = retired_identifier(message, reading)
    return Effect(patient=patients.change_identifier(patient_identity(message, reading), old, actor))
