"""The django-q2 cluster for sweeps."""

import signal

from django.db import connection
from django_q.cluster import Cluster
from django_q.tasks import async_task

from ris import tasks
from ris.processes import ServerCommand

#: Seconds between two heartbeat tasks sent through the queue.
PROOF_SECONDS = 15.0


class Command(ServerCommand):
    help = "Run the sweeps (django-q2 cluster)"
    process = "worker"

    def is_well(self) -> bool:
        """Never by itself: only a heartbeat that came through the queue proves that the cluster works."""
        return False

    def serve(self) -> None:
        tasks.ensure_schedules()
        connection.close()  # the cluster forks; a connection must not be shared
        ours = signal.getsignal(signal.SIGTERM)
        cluster = Cluster()  # takes the signals
        cluster.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ours)
        while not self.stop.is_set():
            async_task("ris.tasks.prove_life")
            connection.close()
            self.stop.wait(PROOF_SECONDS)
        cluster.stop()
