"""Accepted connections with limits: what pynetdicom's acceptor leaves open, closed through its subclass seams.

The library's acceptor is shut out by a dozen connections that send one byte each and reads a PDU of any length a peer
claims (reliability.md, facts 1 and 3). ``Connection`` gives each PDU a size and a deadline; ``Server`` bounds how many
connections there are. pynetdicom is pinned, and tests/worklist/test_door.py proves that these seams hold.
"""

import contextlib
import select
import socket
import time
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

#: Most connections at once, counting those that have not said anything yet.
MOST_CONNECTIONS = 250
#: Seconds from connection to the whole A-ASSOCIATE-RQ, and for one PDU after that.
REQUEST_SECONDS, PDU_SECONDS = 5.0, 20.0
#: Longest A-ASSOCIATE-RQ and longest P-DATA-TF that we announce to take, in bytes.
LONGEST_REQUEST, LONGEST_PDU = 64 * 1024, 128 * 1024
#: Longest query or MPPS, and longest image (it is held in memory until it is written), in bytes.
LONGEST_MESSAGE, LONGEST_IMAGE = 8 * 1024**2, 2 * 1024**3


class Connection(AssociationSocket):
    """An accepted connection that bounds the size of each PDU and the time it may take."""

    def __init__(self, association: Association, client: socket.socket) -> None:
        super().__init__(association, client_socket=client)
        self._established_by = time.monotonic() + REQUEST_SECONDS
        self._poll = select.poll()
        self._poll.register(client, select.POLLIN)

    @property
    def _waits_for_request(self) -> bool:
        return bool(self.assoc.dul.state_machine.current_state in ("Sta1", "Sta2"))

    @property
    def ready(self) -> bool:
        """Whether there is something to read. poll, not select: that fails beyond 1,024 descriptors.

        Before the request nothing is ever to be sent, so the wait can be here and not in a busy loop.
        """
        if self.socket is None or not self._is_connected:
            return False
        if self.assoc.dul.state_machine.current_state == "Sta13":
            # We ended it: what the peer still sends is thrown away, and the library closes when nothing is ready.
            self._throw_away()
            return False
        if self.event_queue.qsize():
            return False  # first what was read, then more: the library would wait for the rest of what it will refuse
        return bool(self._poll.poll(50 if self._waits_for_request else 0))

    def _throw_away(self) -> None:
        assert self.socket is not None
        self.socket.settimeout(0)
        with contextlib.suppress(OSError):
            for _ in range(100):
                if not self.socket.recv(LONGEST_PDU):
                    return

    def close(self) -> None:
        """Close as the library does."""
        super().close()
        self._free_association()

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly ``nr_bytes``, or OSError and a closed connection: too long, too slow, or broken off."""
        waits = self._waits_for_request
        longest = LONGEST_REQUEST if waits else LONGEST_PDU + 6
        deadline = self._established_by if waits else time.monotonic() + PDU_SECONDS
        try:
            if nr_bytes > longest:
                raise ConnectionAbortedError(f"PDU of {nr_bytes} bytes")
            return self._read(nr_bytes, deadline)
        except OSError:
            self._give_up()
            raise

    def _read(self, nr_bytes: int, deadline: float) -> bytearray:
        assert self.socket is not None
        received = bytearray()
        while len(received) < nr_bytes:
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError("too slow")
            self.socket.settimeout(left)
            chunk = self.socket.recv(min(nr_bytes - len(received), 65536))
            if not chunk:
                raise ConnectionResetError("closed by the peer")
            received += chunk
        return received

    def send(self, bytestream: bytes) -> None:
        """Send all, or end the connection with a peer that takes nothing for PDU_SECONDS."""
        if self.socket is not None:
            with contextlib.suppress(OSError):  # closed meanwhile: the library notices in its own send
                self.socket.settimeout(PDU_SECONDS)
        super().send(bytestream)

    def _give_up(self) -> None:
        self._shutdown_socket()
        self._is_connected = False  # the library says "closed" to the state machine once, when it sees the OSError
        self._free_association()

    def _free_association(self) -> None:
        """Wake the association's thread if it waits for a request that cannot come any more."""
        if self.assoc.requestor.primitive is None:
            waiting: Any = self.assoc.dul.to_user_queue
            waiting.put(None)


class Messages(DIMSEServiceProvider):
    """Puts messages together from their fragments, up to a length: a peer that never ends one is aborted."""

    def __init__(self, association: Association, longest: int) -> None:
        super().__init__(association)
        self._longest, self._received = longest, 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        self._received += sum(len(fragment) for _context, fragment in primitive.presentation_data_value_list)
        if self._received > self._longest:
            self.dul.event_queue.put("Evt19")  # invalid PDU: the state machine sends an A-ABORT
            return
        super().receive_primitive(primitive)
        if self.message is None:  # it was the last fragment
            self._received = 0


class Receiver(RequestHandler):
    """Makes an association with our ``Connection`` and ``Messages`` in place of the library's."""

    server: "Server"

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dimse = Messages(association, self.server.longest_message)
        association.dul.event_queue.get_nowait()  # "connected", which the new socket says again
        association.dul.socket = Connection(association, self.request)
        return association


class Server(ThreadedAssociationServer):
    """Listens, and closes what is over the limit before a thread is made for it."""

    request_queue_size = 128
    #: Longest DIMSE message in bytes.
    longest_message = LONGEST_MESSAGE

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return len(self.active_associations) < MOST_CONNECTIONS

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = super().get_request()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return client, address


class Contexts(list[PresentationContext]):
    """Supported contexts, only read in negotiation: the library's deep copy of them cost 12 ms an association."""

    def __deepcopy__(self, _memo: Any) -> "Contexts":
        return self
