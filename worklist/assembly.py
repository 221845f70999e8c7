"""Messages put together from their fragments (PS3.7 6.3.1, PS3.8 annex E): a command set, then its data set.

A data set is kept in memory up to a length, or written to a file as it comes: an object to store is never held whole.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from worklist import command
from worklist.command import Command
from worklist.framing import Pdv
from worklist.limits import LONGEST_COMMAND, USUAL_DATA_SET
from worklist.negotiation import Context

#: What a fragment counts at least towards its message's longest length: one without content costs no less to take.
_COMMAND_FRAGMENT, _DATA_FRAGMENT = 32, 256


class InvalidMessage(Exception):
    """Fragments that are no message, or one that is too long: the association is aborted."""


class Sink(Protocol):
    """Where the fragments of one data set go."""

    def write(self, fragment: bytes) -> None: ...

    def discard(self) -> None: ...


class Room:
    """How many bytes of long data sets may be in memory at once, of all peers of a door together."""

    def __init__(self, size: int) -> None:
        self._left, self._lock = size, threading.Lock()

    def take(self, size: int) -> None:
        """InvalidMessage if there is no room."""
        with self._lock:
            if size > self._left:
                raise InvalidMessage("a long data set while others take all the room")
            self._left -= size

    def give(self, size: int) -> None:
        with self._lock:
            self._left += size


@dataclass(slots=True)
class Memory:
    """Keeps the data set of a query or an MPPS. What is longer than usual needs ``room``."""

    room: Room
    fragments: list[bytes] = field(default_factory=list)
    size: int = 0
    _taken: int = 0

    def write(self, fragment: bytes) -> None:
        self.size += len(fragment)
        if self.size > USUAL_DATA_SET:
            self.room.take(self.size - self._taken)
            self._taken = self.size
        self.fragments.append(fragment)

    def discard(self) -> None:
        self.fragments.clear()
        taken, self._taken = self._taken, 0
        if taken:
            self.room.give(taken)

    def data(self) -> bytes:
        return b"".join(self.fragments)


class Nowhere:
    """Takes the data set of a request that is refused for its command already."""

    def write(self, fragment: bytes) -> None: ...

    def discard(self) -> None: ...


class File:
    """Writes an object to ``file`` as it comes. An error is kept for the answer, and nothing is left on the disk."""

    def __init__(self, open_file: Callable[[], BinaryIO]) -> None:
        self.error: OSError | None = None
        self.path: Path | None = None
        self.offset = 0
        self._file: BinaryIO | None = None
        try:
            self._file = open_file()
            self.path, self.offset = Path(self._file.name), self._file.tell()
        except OSError as error:
            self.error = error

    def write(self, fragment: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(fragment)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """All was written."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError as error:
            self._fail(error)

    def discard(self) -> None:
        """Close and remove what is there, if anything."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what cannot be flushed is thrown away with the rest
                file.close()
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):  # the handler moved it to its place
                os.unlink(self.path)

    def _fail(self, error: OSError) -> None:
        self.error = error
        self.discard()


@dataclass(slots=True)
class Message:
    """A whole request. ``received_at`` is set when its last fragment came."""

    context: Context
    command: Command
    sink: Sink
    received_at: float = 0.0


class Assembly:
    """Takes fragments and gives messages. ``sink_for`` says where an announced data set goes and how long it may be."""

    __slots__ = ("_command", "_context", "_contexts", "_length", "_longest", "_message", "_sink_for")

    def __init__(
        self, contexts: Mapping[int, Context], sink_for: Callable[[Context, Command], tuple[Sink, int]]
    ) -> None:
        self._contexts, self._sink_for = contexts, sink_for
        self._command = bytearray()
        self._context: Context | None = None
        self._message: Message | None = None
        self._length = self._longest = 0

    @property
    def is_between(self) -> bool:
        """Whether no message has begun."""
        return self._context is None

    @property
    def is_streaming(self) -> bool:
        """Whether an object to store is on its way."""
        return self._message is not None and isinstance(self._message.sink, File)

    def add(self, pdv: Pdv) -> Message | None:
        """The message that this fragment ends. InvalidMessage."""
        context = self._contexts.get(pdv.context_id)
        if context is None:
            raise InvalidMessage("a presentation context that was not accepted")
        if self._context is not None and self._context is not context:
            raise InvalidMessage("a fragment of another presentation context amid a message")
        if pdv.is_command != (self._message is None):
            raise InvalidMessage("a command set and a data set that do not follow each other")
        self._context = context
        return self._add_command(context, pdv) if self._message is None else self._add_data(self._message, pdv)

    def discard(self) -> None:
        """Forget what has begun."""
        if self._message is not None:
            self._message.sink.discard()
        self._message = self._context = None

    def _add_command(self, context: Context, pdv: Pdv) -> Message | None:
        self._command += pdv.fragment
        self._length += max(len(pdv.fragment), _COMMAND_FRAGMENT)
        if self._length > LONGEST_COMMAND:
            raise InvalidMessage("a command set without end")
        if not pdv.is_last:
            return None
        try:
            parsed = command.parse(bytes(self._command))
        except command.InvalidCommand as error:
            raise InvalidMessage(f"command set: {error}") from error
        self._command.clear()
        sink, self._longest = self._sink_for(context, parsed)
        self._length, message = 0, Message(context, parsed, sink)
        if parsed.has_data_set:
            self._message = message
            return None
        self._context = None
        return message

    def _add_data(self, message: Message, pdv: Pdv) -> Message | None:
        self._length += max(len(pdv.fragment), _DATA_FRAGMENT)
        if self._length > self._longest:
            raise InvalidMessage("a data set without end")
        message.sink.write(pdv.fragment)
        if not pdv.is_last:
            return None
        if isinstance(message.sink, File):
            message.sink.close()
        self._message = self._context = None
        self._length = 0
        return message
