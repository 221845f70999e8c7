"""The store process: C-ECHO and C-STORE."""

from django.conf import settings

from ris.processes import ServerCommand
from worklist import activity
from worklist.door import probe
from worklist.scp import store_door


class Command(ServerCommand):
    help = "Receive images: C-ECHO, C-STORE (SUNVIEW_STORE)."
    process = "store"

    def serve(self) -> None:
        door = store_door(settings.STORE_ADDRESS).start()
        activity.start()
        self.stop.wait()
        door.stop()
        activity.stop()

    def is_well(self) -> bool:
        return probe(settings.STORE_ADDRESS)
