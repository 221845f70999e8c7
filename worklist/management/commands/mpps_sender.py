"""The MPPS sender: passes what scanners report on to other systems."""

from ris.processes import ServerCommand
from worklist.mpps_send import Forwarder


class Command(ServerCommand):
    help = "Pass MPPS on to the configured destinations."
    process = "mpps-out"

    def serve(self) -> None:
        self.forwarder = Forwarder(self.stop)
        self.forwarder.run()

    def is_well(self) -> bool:
        return not hasattr(self, "forwarder") or self.forwarder.is_well()
