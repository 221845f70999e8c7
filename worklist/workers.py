"""Threads that do what must not stall the event loop. Each owns one database connection for as long as it lives."""

import logging
import queue
import select
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.db import connection

from worklist import status

logger = logging.getLogger(__name__)

Job = Callable[[], None]


class Workers:
    """``count`` threads; ``options`` are added to the database's connection options, for their connections only.

    A job catches what it foresees; what escapes it is logged with its kind and place, and the thread goes on.
    """

    def __init__(self, name: str, count: int, options: Mapping[str, Any] | None = None) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._options = dict(options or {})
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Have ``job`` done by the next free thread."""
        self._jobs.put(job)

    def stop(self, seconds: float) -> bool:
        """End the threads when they have done what was submitted. Whether they all ended within ``seconds``."""
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        connection.settings_dict = _lasting(connection.settings_dict, self._options)
        try:
            while (job := self._jobs.get()) is not None:
                try:
                    _close_if_ended()
                    job()
                    connection.close_if_unusable_or_obsolete()
                except Exception as error:  # noqa: BLE001 - the thread must live on
                    logger.error("a request failed: %s", status.place(error))
                    connection.close()
        finally:
            connection.close()


def _lasting(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The database's settings for a thread: its connection lasts, also with SQLite; ``_close_if_ended`` replaces the
    health check, which would ask the server once more for each request."""
    given = settings["OPTIONS"]
    both = {**given, **options}
    if "options" in given and "options" in options:
        both["options"] = f"{given['options']} {options['options']}"
    return {**settings, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False, "OPTIONS": both}


def _close_if_ended() -> None:
    """A PostgreSQL session that nobody uses has nothing to say: if something can be read, the server ended it."""
    if connection.vendor == "postgresql" and connection.connection is not None:
        poll = select.poll()
        poll.register(connection.connection.fileno(), select.POLLIN)
        if poll.poll(0):
            connection.close()


#: PostgreSQL: a query, or the connection it needs, that takes longer is answered with A700H; see Limits.query_seconds.
QUERY_OPTIONS = {"connect_timeout": 2, "tcp_user_timeout": 2_500, "options": "-c statement_timeout=2000"}


def query_options() -> Mapping[str, Any]:
    """What bounds a query by the database that is used. SQLite's reads wait for nobody."""
    return QUERY_OPTIONS if connection.vendor == "postgresql" else {}
