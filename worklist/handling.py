"""What every handler runs in: each error becomes a status that the peer is answered with."""

import logging
from collections.abc import Callable, Generator, Iterable

from django.db import connection

from worklist import status
from worklist.dimse import SUCCESS, Answer, Request

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Answer]
QueryHandler = Callable[[Request], Iterable[Answer]]


def answer(handler: Handler, request: Request) -> Answer:
    """The handler's answer, or the failure that its error means."""
    try:
        return logged(handler(request), request)
    except Exception as error:  # noqa: BLE001 - every error is told to the peer
        return logged(status.answer_to(error, request), request)


def answers(handler: QueryHandler, request: Request) -> Generator[Answer, None, None]:
    """The handler's answers, the last of them a failure if it breaks off."""
    try:
        yield from handler(request)
    except Exception as error:  # noqa: BLE001 - as above
        yield logged(status.answer_to(error, request), request)


def echo(request: Request) -> Answer:
    """C-ECHO says that the work can be done, so it asks the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Answer(status=SUCCESS)


def logged(result: Answer, request: Request) -> Answer:
    """``result``, and a line in the log if it is a failure."""
    if result.status != SUCCESS:
        logger.warning(
            "%s of %s, %s: %04XH %s",
            request.verb,
            request.calling_ae_title,
            printable(request.sop_instance_uid or "-"),
            result.status,
            printable(result.comment),
        )
    return result


def printable(text: str) -> str:
    """A value from the network as it may stand in a log line: no control characters, no line ends."""
    return text.encode("unicode_escape").decode("ascii")[:200]
