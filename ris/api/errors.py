"""Domain error -> HTTP status, one table."""

from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from ris import errors

STATUS: dict[type[errors.Refusal], int] = {
    errors.UnknownOrder: status.HTTP_404_NOT_FOUND,
    errors.UnknownPerformedStep: status.HTTP_404_NOT_FOUND,
    errors.DuplicatePerformedStep: status.HTTP_409_CONFLICT,
    errors.PerformedStepIsFinal: status.HTTP_409_CONFLICT,
    errors.TransitionNotAllowed: status.HTTP_409_CONFLICT,
    errors.CancelRefused: status.HTTP_409_CONFLICT,
    errors.OrderNumberTaken: status.HTTP_409_CONFLICT,
    errors.IdentifierTaken: status.HTTP_409_CONFLICT,
    errors.OrderOfOtherPatient: status.HTTP_409_CONFLICT,
    errors.MergeNotPossible: status.HTTP_409_CONFLICT,
    errors.InvalidIdentifier: status.HTTP_400_BAD_REQUEST,
    errors.IncompleteRequest: status.HTTP_400_BAD_REQUEST,
    errors.RoomCannotPerform: status.HTTP_409_CONFLICT,
}


def answer(error: Exception, context: dict) -> Response | None:
    """DRF's exception handler: a refusal becomes its status with the sentence in ``detail``."""
    if isinstance(error, errors.Refusal):
        refused = APIException(str(error))
        refused.status_code = STATUS[type(error)]
        return exception_handler(refused, context)
    return exception_handler(error, context)
