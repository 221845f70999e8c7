"""How much a peer may ask of a door before it is cut off (reliability.md, "Therefore the broker must guard itself")."""

from dataclasses import dataclass

#: Longest A-ASSOCIATE-RQ, and the longest P-DATA-TF that we announce to take, in bytes behind the PDU's head.
LONGEST_REQUEST, LONGEST_PDU = 64 * 1024, 128 * 1024
#: Longest command set in bytes: the largest that the standard knows, an N-GET that names attributes, is far shorter.
LONGEST_COMMAND = 16 * 1024
#: A data set of a query or an MPPS is rarely longer, in bytes; what is has to find room, see ``Limits.room``.
USUAL_DATA_SET = 64 * 1024
#: PS3.8 D.1: a peer that takes shorter PDUs than this cannot be served sensibly.
SHORTEST_PDU = 1024


@dataclass(frozen=True)
class Limits:
    """Connections are counted from accept on, those in a TLS handshake and those that say nothing among them.

    ``request_seconds``: from connection to the whole A-ASSOCIATE-RQ. ``pdu_seconds``: from a PDU's first byte to its
    last. ``data_set_seconds``: from a command to the end of the data set that it announced, for an object to store from
    one fragment to the next. ``write_seconds``: how long a peer may take nothing of what waits for it.
    ``query_seconds``: until the first answer to a query, else A700H; a C-ECHO as long, else 0110H.
    ``room``: bytes of long data sets in memory, of all peers together; who finds none is aborted.
    """

    connections: int = 3_000
    connections_per_address: int = 1_000
    handshake_seconds: float = 5.0
    request_seconds: float = 5.0
    pdu_seconds: float = 20.0
    data_set_seconds: float = 30.0
    idle_seconds: float = 60.0
    write_seconds: float = 15.0
    closing_seconds: float = 2.0
    query_seconds: float = 2.5
    longest_message: int = 8 * 1024**2
    room: int = 16 * 1024**2
    longest_object: int = 2 * 1024**3
    requests_waiting: int = 8


#: What a door allows unless it is told otherwise.
USUAL = Limits()
