"""MLLP's framing on bytes (HL7 v2 Transport Specification, MLLP Release 1): ``<VT> message <FS><CR>``. No sockets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

START, END = b"\x0b", b"\x1c"
#: The largest message that is read, in bytes.
SIZE_LIMIT = 1024 * 1024
#: What is kept of a message that is too large: enough for its MSH segment.
HEAD_BYTES = 8192
#: So many bytes that belong to no frame, in a row, are taken for a peer that does not speak MLLP.
NOISE_LIMIT = 64 * 1024

#: What a frame of MLLP Release 2 holds beside messages: that one was kept, or not.
COMMITTED, NOT_COMMITTED = b"\x06", b"\x15"

_BETWEEN_FRAMES = b"\r\n\x00 \t"


@dataclass(frozen=True)
class Frame:
    """One whole message."""

    payload: bytes


@dataclass(frozen=True)
class Abandoned:
    """A message of which only the beginning came before another start block."""

    payload: bytes


@dataclass(frozen=True)
class Oversized:
    """A message beyond the limit; ``head`` is its beginning. The rest of it is passed over."""

    head: bytes


Event = Frame | Abandoned | Oversized
#: What came, the address of who sent it, and the key of the Listener it came by.
Came = tuple[Event, str, int]


def frame(payload: bytes) -> bytes:
    """``payload`` as it goes onto the wire."""
    return START + payload + END + b"\r"


def in_frames_of_their_own(messages: Sequence[bytes]) -> bytes:
    """Several messages as one payload for ``frame``: each comes out as a frame."""
    return (END + b"\r" + START).join(messages)


class Deframer:
    """Turns a stream of bytes, cut anywhere, into messages.

    ``noise`` counts the bytes since the last whole message that belong to none (line ends, NUL and blanks between
    messages are not counted), ``begun`` the start blocks. The end block is accepted without its carriage return.
    A message beyond ``size_limit`` may be as large as ``limit_of`` says of its beginning.
    """

    def __init__(self, size_limit: int = SIZE_LIMIT, limit_of: Callable[[bytes], int] | None = None) -> None:
        self.size_limit = self._limit = size_limit
        self._limit_of = limit_of
        self.noise = 0
        self.begun = 0
        self._buffer: bytearray | None = None
        self._passing_over = False

    @property
    def is_unfinished(self) -> bool:
        """Whether something has begun that has not ended: a frame, or noise."""
        return self._buffer is not None or self._passing_over or self.noise > 0

    def feed(self, data: bytes) -> list[Frame | Abandoned | Oversized]:
        """What became complete with ``data``, in order."""
        events: list[Frame | Abandoned | Oversized] = []
        while data:
            data = self._pass_over(data) if self._buffer is None else self._collect(data, events)
        return events

    def _pass_over(self, data: bytes) -> bytes:
        """Skip to the next start block; what follows it is returned."""
        before, start, after = data.partition(START)
        if not self._passing_over:
            self.noise += len(before.strip(_BETWEEN_FRAMES))
        elif END in before:
            self._passing_over = False
        if start:
            self._passing_over = False
            self._begin()
        return after

    def _begin(self) -> None:
        self._buffer = bytearray()
        self._limit = self.size_limit
        self.begun += 1

    def _collect(self, data: bytes, events: list[Frame | Abandoned | Oversized]) -> bytes:
        """Take bytes of the frame that has begun, up to its end, the next start block, or the limit."""
        assert self._buffer is not None
        ends = [at for at in (data.find(END), data.find(START)) if at >= 0]
        at = min(ends, default=len(data))
        self._buffer += data[:at]
        if self._is_too_large(self._buffer):
            events.append(Oversized(bytes(self._buffer[:HEAD_BYTES])))
            self._buffer, self._passing_over = None, True
            return data[at:]
        if at == len(data):
            return b""
        if data[at : at + 1] == START:
            if self._buffer.strip(_BETWEEN_FRAMES):
                events.append(Abandoned(bytes(self._buffer)))
            self.noise += len(self._buffer) + 1
            self._begin()
        else:
            events.append(Frame(bytes(self._buffer)))
            self._buffer, self.noise = None, 0
        return data[at + 1 :]

    def _is_too_large(self, buffer: bytearray) -> bool:
        if self._limit_of and self._limit == self.size_limit < len(buffer):
            self._limit = max(self.size_limit, self._limit_of(bytes(buffer[:HEAD_BYTES])))
        return len(buffer) > self._limit
