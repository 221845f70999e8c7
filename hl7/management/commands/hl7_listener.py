"""The HL7 listener: takes orders and admissions over MLLP."""

import asyncio
import socket

from django.conf import settings

from hl7.mllp import Server
from hl7.receive import receive
from ris.processes import ServerCommand


class Command(ServerCommand):
    help = "Take HL7 v2 messages over MLLP at SUNVIEW_MLLP."
    process = "hl7-in"

    def serve(self) -> None:
        asyncio.run(Server(settings.MLLP_ADDRESS, receive).run(self.stop))

    def is_well(self) -> bool:
        socket.create_connection(settings.MLLP_ADDRESS, 2).close()
        return True
