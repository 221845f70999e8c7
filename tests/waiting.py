"""Waiting for a predicate: the only way in which a test waits."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def wait_until(predicate: Callable[[], Result], seconds: float = 10.0, step: float = 0.02) -> Result:
    """The predicate's first true value; AssertionError if there is none within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {predicate}"
        time.sleep(step)
    return value
