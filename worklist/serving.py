"""The life of a DICOM process: its doors open until it is told to end; and several processes at one address."""

import gc
import resource
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ris import supervisor
from worklist import activity
from worklist.door import Door


def serve(doors: Sequence[Door], stop: threading.Event) -> None:
    """Open the doors until ``stop``; then let running associations end."""
    _allow_connections(sum(door.limits.connections for door in doors))
    activity.start()
    gc.freeze()  # what was imported stays: it need not be looked through again and again
    for door in doors:
        door.start()
    stop.wait()
    with ThreadPoolExecutor(len(doors)) as pool:
        list(pool.map(Door.stop, doors))
    activity.stop()


def serve_in_processes(command: str, count: int, stop: threading.Event) -> None:
    """Keep ``count`` processes of ``manage.py COMMAND --worker`` alive until ``stop``, and then end them."""
    words = [sys.executable, str(supervisor.MANAGE), command, "--worker"]
    names = [f"{command} {number}" for number in range(1, count + 1)]
    parent = supervisor.Supervisor(dict.fromkeys(names, words), lambda: {}, dict.fromkeys(names, float("inf")))
    parent.stop = stop
    parent.run({}, lambda: None)


def _allow_connections(count: int) -> None:
    """Raise the limit of open files towards one for each connection, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 256  # each may have a file that it is sending
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
