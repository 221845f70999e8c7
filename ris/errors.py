"""One exception per fact for which the domain refuses something.

Each edge maps these to its own answer in one table: ``hl7/ack.py`` to MSA-1 and ERR, ``worklist/status.py`` to a DIMSE
status, ``ris/api/errors.py`` to an HTTP status. The message is a sentence a HIS engineer or receptionist can act on.
It names order numbers, identifiers and statuses; it never holds a patient's name, identifier or birth date.
"""


class Refusal(Exception):
    """The domain will not do this; ``str(error)`` says why, without patient data."""


class UnknownOrder(Refusal):
    """No order has these numbers."""


class NotOfTheOrder(UnknownOrder):
    """The order is here, but has no such procedure."""


class UnknownPerformedStep(Refusal):
    """No performed procedure step (MPPS) has this SOP Instance UID."""


class DuplicatePerformedStep(Refusal):
    """A performed procedure step (MPPS) with this SOP Instance UID is here already."""


class PerformedStepIsFinal(Refusal):
    """The performed procedure step is COMPLETED or DISCONTINUED and may no longer be updated (PS3.4 F.7.2.2.2)."""


class TransitionNotAllowed(Refusal):
    """The state table has no cell for this verb in this status."""

    def __init__(self, status: str, verb: str, what: str) -> None:
        self.status, self.verb, self.what = status, verb, what
        super().__init__(f"{what} is {status}: {verb} is not allowed")


class CancelRefused(TransitionNotAllowed):
    """The order with the key ``order_pk`` cannot be canceled any more: one of its steps was started."""

    def __init__(self, order_pk: int, refused: TransitionNotAllowed) -> None:
        self.order_pk = order_pk
        super().__init__(refused.status, refused.verb, refused.what)


class OrderNumberTaken(Refusal):
    """An order number is another order's, or the order has another one."""


class OrderOfOtherPatient(Refusal):
    """The order number, accession number or Study Instance UID belongs to another patient."""


class MergeNotPossible(Refusal):
    """The two patient records cannot be merged: they are one, or it would close a circle."""


class IdentifierTaken(Refusal):
    """The patient identifier names another patient."""


class InvalidIdentifier(Refusal):
    """An identifier from outside cannot be used in DICOM: too long or not made of allowed characters."""


class IncompleteRequest(Refusal):
    """Something without which the request means nothing is missing; ``field`` names it in the domain's words."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        super().__init__(sentence)


class RoomCannotPerform(Refusal):
    """The room has no active station of the step's modality."""
