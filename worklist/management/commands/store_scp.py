"""The store process: C-ECHO and C-STORE."""

from django.conf import settings

from ris.processes import ServerCommand
from worklist.door import probe
from worklist.scp import store_door
from worklist.serving import serve


class Command(ServerCommand):
    help = "Receive images: C-ECHO, C-STORE (SUNVIEW_STORE, with TLS SUNVIEW_STORE_TLS)."
    process = "store"

    def serve(self) -> None:
        doors = [store_door(settings.STORE_ADDRESS)]
        if settings.STORE_TLS_ADDRESS:
            doors.append(store_door(settings.STORE_TLS_ADDRESS, tls=settings.TLS_CONTEXT))
        serve(doors, self.stop)

    def is_well(self) -> bool:
        return probe(settings.STORE_ADDRESS)
