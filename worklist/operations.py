"""One request being answered: by a handler in a thread, its answers handed to the event loop as encoded PDUs."""

import time
from collections.abc import Callable, Generator

from worklist import activity, handling, services, status
from worklist.assembly import Message
from worklist.dimse import CANCEL, PENDING, PENDING_UNSUPPORTED, SUCCESS, Answer, Request
from worklist.handling import Handler, QueryHandler

#: After so many answers, bytes or seconds what was found is sent, and the peer's C-CANCEL looked for.
BATCH_ANSWERS, BATCH_BYTES, BATCH_SECONDS = 500, 512 * 1024, 0.25

_NOTED = {
    "C-ECHO": activity.echo,
    "C-STORE": activity.image,
    "N-CREATE": activity.mpps,
    "N-SET": activity.mpps,
    "N-GET": activity.mpps,
}
#: Verbs that are noted whatever was answered; the others only if it was success.
_NOTED_ALWAYS = frozenset({"N-CREATE", "N-SET", "N-GET"})


class Cancellation:
    """Set by the event loop when the peer wants no more answers, read by the handler in its thread."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self) -> bool:
        return self.is_set


#: Takes the operation, encoded PDUs, and whether they are its last; called in the operation's thread.
Deliver = Callable[["Single | Query", bytes, bool], None]


class Single:
    """A request with one answer."""

    def __init__(self, handler: Handler, request: Request, message: Message, longest: int, deliver: Deliver) -> None:
        self.message, self.request = message, request
        self._handler, self._longest, self._deliver = handler, longest, deliver

    def cancel(self) -> None:
        """It is too late: only C-FIND can be canceled here (PS3.7 9.3.2.3)."""

    def abandon(self) -> None:
        """Nobody waits for the answer. What was asked is done all the same."""

    def run(self) -> None:
        """Answer, in a thread. The object that was to be stored is at its place or gone before the answer is given."""
        try:
            answer = handling.answer(self._handler, self.request)
        finally:
            self.message.sink.discard()
        verb = self.request.verb
        if verb in _NOTED and (answer.status == SUCCESS or verb in _NOTED_ALWAYS):
            _NOTED[verb](self.request.station, self.request.address)
        self._deliver(self, self._encoded(answer), True)

    def _encoded(self, answer: Answer) -> bytes:
        try:
            return self._pdus(answer)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be encoded is a failure, not silence
            return self._pdus(status.answer_to(error, self.request))

    def _pdus(self, answer: Answer) -> bytes:
        return services.encoded(answer, self.message.context, self.message.command, self._longest)


class Query:
    """A C-FIND. ``run`` encodes one batch of answers; the next is asked for when the peer has taken this one."""

    def __init__(
        self, handler: QueryHandler, request: Request, message: Message, longest: int, deliver: Deliver
    ) -> None:
        self.message, self.request = message, request
        self._handler, self._deliver = handler, deliver
        self._encoder = services.Encoder(message.context, message.command, longest)
        self._answers: Generator[Answer, None, None] | None = None
        self._is_cancelled = self._is_abandoned = False

    def cancel(self) -> None:
        """The peer wants no more answers. ``request.is_cancelled`` says so to the handler too."""
        self._is_cancelled = True
        if isinstance(self.request.is_cancelled, Cancellation):
            self.request.is_cancelled.is_set = True

    def abandon(self) -> None:
        """Nobody waits for the answers any more."""
        self._is_abandoned = True
        self.cancel()

    def run(self) -> None:
        """Answer with the next batch, in a thread."""
        if self._is_abandoned:
            return
        parts: list[bytes] = []
        try:
            last = self._batch(parts)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be encoded is a failure, not silence
            last = status.answer_to(error, self.request)
        if last is not None:
            parts.append(self._encoder.last(last))
            if self._answers is not None:
                self._answers.close()
        self._deliver(self, b"".join(parts), last is not None)

    def _batch(self, parts: list[bytes]) -> Answer | None:
        """Fill ``parts``; the last answer if that has been reached."""
        if self._is_cancelled:
            return Answer(status=CANCEL)
        if self._answers is None:
            self._answers = handling.answers(self._handler, self.request)
        size, until = 0, time.monotonic() + BATCH_SECONDS
        for count, answer in enumerate(self._answers, 1):
            if answer.status not in (PENDING, PENDING_UNSUPPORTED):
                return answer
            head, data = self._encoder.pending(answer)
            parts += (head, data)
            size += len(data)
            if count >= BATCH_ANSWERS or size >= BATCH_BYTES or time.monotonic() > until:
                return None
        return Answer(status=SUCCESS)
