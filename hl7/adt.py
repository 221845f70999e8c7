"""Admissions: ADT (HL7 v2.5.1 3.3; IHE RAD-1, RAD-12)."""

from hl7.er7 import Message
from hl7.identity import patient_identity, retired_identifier, visit_info
from hl7.mapping import Reading
from hl7.orders import Effect
from ris.inputs import Actor
from ris.services import patients

#: Events that say who the patient is and where: register or update, whatever the occasion.
REGISTER = ("A01", "A02", "A03", "A04", "A05", "A08", "A28", "A31")
MERGE = ("A40",)


def register(message: Message, reading: Reading, actor: Actor) -> Effect:
    """Create the patient or bring it up to date, with the visit."""
    patients.register(patient_identity(message, reading), actor, visit_info(message, reading))
    return Effect()


def merge(message: Message, reading: Reading, actor: Actor) -> Effect:
    """A40: what MRG-1 named is from now on named by PID-3. Further identifiers of MRG are left (#048)."""
    patients.merge(patient_identity(message, reading), retired_identifier(message, reading), actor)
    return Effect()
