"""What every handler runs in: each error becomes a status, and the thread's database connection is given back."""

import logging
from collections.abc import Callable, Iterable, Iterator

from django.db import connection

from worklist import status
from worklist.dimse import SUCCESS, Answer, Request

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Answer]
QueryHandler = Callable[[Request], Iterable[Answer]]


def answer(handler: Handler, request: Request) -> Answer:
    """The handler's answer, or the failure that its error means."""
    try:
        return _logged(handler(request), request)
    except Exception as error:  # noqa: BLE001 - no error may reach the library: it would answer C-ECHO with success
        return _logged(status.answer_to(error, request), request)
    finally:
        # Threads come and go with associations, and each would leave its connection open (reliability.md, fact 6).
        connection.close()


def answers(handler: QueryHandler, request: Request) -> Iterator[Answer]:
    """The handler's answers. It reads all it needs from the database before it gives back its iterable."""
    try:
        rows = handler(request)
    except Exception as error:  # noqa: BLE001 - as above
        rows = [_logged(status.answer_to(error, request), request)]
    finally:
        connection.close()
    try:
        yield from rows
    except Exception as error:  # noqa: BLE001 - as above
        yield _logged(status.answer_to(error, request), request)


def echo(request: Request) -> Answer:
    """C-ECHO says that the work can be done, so it asks the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Answer(status=SUCCESS)


def _logged(result: Answer, request: Request) -> Answer:
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
