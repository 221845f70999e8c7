"""Small tables that every order asks and that hardly ever change: catalogue, stations, feeds.

They are read each time, unless a process that takes many orders says that it keeps what it read for a moment.
"""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_keeping_seconds = 0.0


def keep_for(seconds: float) -> None:
    """From now on this process may use what it read so many seconds ago."""
    global _keeping_seconds
    _keeping_seconds = seconds


class Kept(Generic[T]):
    """What ``read`` gives, for each of its arguments. Rows are shared: nobody may change them."""

    def __init__(self, read: Callable[..., T]) -> None:
        self._read = read
        self._found: dict[tuple[Hashable, ...], T] = {}
        self._until = 0.0

    def __call__(self, *key: Hashable) -> T:
        if not _keeping_seconds:
            return self._read(*key)
        if time.monotonic() >= self._until:
            self._found, self._until = {}, time.monotonic() + _keeping_seconds
        if key not in self._found:
            self._found[key] = self._read(*key)
        return self._found[key]
