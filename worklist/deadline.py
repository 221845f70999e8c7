"""One deadline of a connection. To move it is only to note another time: the loop's timer is not touched for it."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls ``passed`` once, when the time that was set last is over."""

    __slots__ = ("_at", "_handle", "_loop", "_passed")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop, self._passed = loop, passed
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._at is not None

    def set(self, seconds: float) -> None:
        self._at = self._loop.time() + seconds
        if self._handle is not None and self._handle.when() > self._at:
            self._handle.cancel()
            self._handle = None
        if self._handle is None:
            self._handle = self._loop.call_at(self._at, self._look)

    def clear(self) -> None:
        self._at = None

    def end(self) -> None:
        """Never call again, and forget the owner."""
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._handle = self._loop.call_at(self._at, self._look)
            return
        self._at = None
        self._passed()
