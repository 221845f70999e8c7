"""Every failure and its DIMSE status, once: PS3.7 annex C, PS3.4 K.4.1.1.4 (C-FIND), B.2.3 (C-STORE), F.7.2 (MPPS)."""

import logging

from django.db import Error as DatabaseUnavailable
from pydicom.datadict import tag_for_keyword

from ris import errors
from worklist.dimse import Answer, Request
from worklist.encoding import MalformedDataset, TooLarge

logger = logging.getLogger(__name__)

NO_SUCH_ATTRIBUTE = 0x0105
INVALID_ATTRIBUTE_VALUE = 0x0106
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_SOP_INSTANCE = 0x0112
INVALID_SOP_INSTANCE = 0x0117
NO_SUCH_SOP_CLASS = 0x0118
MISSING_ATTRIBUTE = 0x0120
MISSING_ATTRIBUTE_VALUE = 0x0121
NOT_AUTHORIZED = 0x0124
SOP_CLASS_NOT_SUPPORTED = 0x0122
UNRECOGNIZED_OPERATION = 0x0211
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
MAY_NO_LONGER_BE_UPDATED = 0xA710
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

#: C-FIND and C-STORE have failures of their own where the DIMSE-N services share those of PS3.7 annex C.
_OWN_FAILURES = ("C-FIND", "C-STORE")

#: Domain error -> DIMSE status. The worklist's door meets only some of them; the rest stand here so that a new
#: path through the domain cannot fall into "processing failure" unseen.
OF_REFUSAL: dict[type[errors.Refusal], int] = {
    errors.DuplicatePerformedStep: DUPLICATE_SOP_INSTANCE,
    errors.UnknownPerformedStep: NO_SUCH_SOP_INSTANCE,
    errors.PerformedStepIsFinal: PROCESSING_FAILURE,
    errors.InvalidIdentifier: INVALID_ATTRIBUTE_VALUE,
    errors.IncompleteRequest: MISSING_ATTRIBUTE_VALUE,
    errors.OrderOfOtherPatient: INVALID_ATTRIBUTE_VALUE,
    errors.UnknownOrder: INVALID_ATTRIBUTE_VALUE,
    errors.NotOfTheOrder: INVALID_ATTRIBUTE_VALUE,
    errors.TransitionNotAllowed: PROCESSING_FAILURE,
    errors.CancelRefused: PROCESSING_FAILURE,
    errors.MergeNotPossible: PROCESSING_FAILURE,
    errors.IdentifierTaken: PROCESSING_FAILURE,
    errors.OrderNumberTaken: PROCESSING_FAILURE,
    errors.RoomCannotPerform: PROCESSING_FAILURE,
}


class Failure(Exception):
    """A request that is refused for what it says in DICOM; ``keywords`` name the attributes at fault."""

    def __init__(self, status: int, comment: str, *keywords: str) -> None:
        self.status, self.keywords = status, keywords
        super().__init__(comment)


def answer_to(error: Exception, request: Request) -> Answer:
    """The failure that tells the peer about ``error``; an error nobody foresaw is logged, without its message."""
    own = request.verb in _OWN_FAILURES
    if isinstance(error, Failure):
        tags = tuple(tag_for_keyword(keyword) or 0 for keyword in error.keywords)
        return Answer(status=error.status, comment=str(error), tags=tags)
    if isinstance(error, errors.Refusal):
        return _refused(error)
    if isinstance(error, MalformedDataset):
        return Answer(status=_malformed(error, request.verb), comment=str(error))
    if isinstance(error, (DatabaseUnavailable, OSError)):
        logger.error("%s of %s failed: %s", request.verb, request.calling_ae_title, type(error).__name__)
        return Answer(status=OUT_OF_RESOURCES if own else PROCESSING_FAILURE, comment="Storage not available")
    # The message may quote a patient's data, so only its kind and place are logged.
    logger.error("%s of %s failed: %s", request.verb, request.calling_ae_title, place(error))
    return Answer(status=CANNOT_UNDERSTAND if own else PROCESSING_FAILURE, comment="Internal error")


def _refused(error: errors.Refusal) -> Answer:
    status = next((OF_REFUSAL[kind] for kind in type(error).__mro__ if kind in OF_REFUSAL), PROCESSING_FAILURE)
    error_id = MAY_NO_LONGER_BE_UPDATED if isinstance(error, errors.PerformedStepIsFinal) else None
    return Answer(status=status, comment=str(error), error_id=error_id)


def _malformed(error: MalformedDataset, verb: str) -> int:
    if verb == "C-FIND":
        return DOES_NOT_MATCH_SOP_CLASS
    if verb == "C-STORE":
        return CANNOT_UNDERSTAND
    return PROCESSING_FAILURE if isinstance(error, TooLarge) else INVALID_ATTRIBUTE_VALUE


def place(error: BaseException) -> str:
    """Kind and place of an error: its message may quote a patient's data."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {where}"
