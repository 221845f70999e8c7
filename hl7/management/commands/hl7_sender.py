"""The HL7 sender: tells every destination how far its exams are."""

from hl7.send import Outbox
from ris.processes import ServerCommand


class Command(ServerCommand):
    help = "Send the state of exams to the configured destinations."
    process = "hl7-out"

    def serve(self) -> None:
        self.outbox = Outbox(self.stop)
        self.outbox.run()

    def is_well(self) -> bool:
        return not hasattr(self, "outbox") or self.outbox.is_well()
