"""The DICOM upper layer's state machine of an acceptor (PS3.8 9.2, Table 9-10), as a table.

Left out are the states that we are never in: Sta4 and Sta5 belong to the requestor; Sta7 and with it the release
collisions Sta9 to Sta12 begin with an A-RELEASE request of our own (Evt11), and we send none: a peer that overstays
is aborted. So Evt1, Evt2 and Evt11, requests of a local user that there is not, are left out too.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class State(IntEnum):
    """PS3.8 9.2.1."""

    STA1 = 1  #: Idle
    STA2 = 2  #: Transport connection open, awaiting A-ASSOCIATE-RQ
    STA3 = 3  #: Awaiting local A-ASSOCIATE response primitive
    STA6 = 6  #: Association established, ready for data transfer
    STA8 = 8  #: Awaiting local A-RELEASE response primitive
    STA13 = 13  #: Awaiting transport connection close


class Event(IntEnum):
    """PS3.8 9.2.2."""

    EVT3 = 3  #: A-ASSOCIATE-AC PDU received
    EVT4 = 4  #: A-ASSOCIATE-RJ PDU received
    EVT5 = 5  #: Transport connection indication
    EVT6 = 6  #: A-ASSOCIATE-RQ PDU received
    EVT7 = 7  #: A-ASSOCIATE response primitive, accept
    EVT8 = 8  #: A-ASSOCIATE response primitive, reject
    EVT9 = 9  #: P-DATA request primitive
    EVT10 = 10  #: P-DATA-TF PDU received
    EVT12 = 12  #: A-RELEASE-RQ PDU received
    EVT13 = 13  #: A-RELEASE-RP PDU received
    EVT14 = 14  #: A-RELEASE response primitive
    EVT15 = 15  #: A-ABORT request primitive
    EVT16 = 16  #: A-ABORT PDU received
    EVT17 = 17  #: Transport connection closed
    EVT18 = 18  #: ARTIM timer expired
    EVT19 = 19  #: Unrecognized or invalid PDU received


class Action(StrEnum):
    """PS3.8 9.2.3, Tables 9-6 to 9-9."""

    AE_5 = "AE-5"  #: Issue transport response, start ARTIM
    AE_6 = "AE-6"  #: Stop ARTIM; acceptable: A-ASSOCIATE indication, else A-ASSOCIATE-RJ (to Sta13) and start ARTIM
    AE_7 = "AE-7"  #: Send A-ASSOCIATE-AC
    AE_8 = "AE-8"  #: Send A-ASSOCIATE-RJ, start ARTIM
    DT_1 = "DT-1"  #: Send P-DATA-TF
    DT_2 = "DT-2"  #: P-DATA indication
    AR_2 = "AR-2"  #: A-RELEASE indication
    AR_4 = "AR-4"  #: Send A-RELEASE-RP, start ARTIM
    AR_5 = "AR-5"  #: Stop ARTIM
    AR_7 = "AR-7"  #: Send P-DATA-TF (while the peer waits for our A-RELEASE-RP)
    AA_1 = "AA-1"  #: Send A-ABORT (service-user), start ARTIM
    AA_2 = "AA-2"  #: Stop ARTIM, close transport
    AA_3 = "AA-3"  #: A-ABORT indication, close transport
    AA_4 = "AA-4"  #: A-P-ABORT indication
    AA_5 = "AA-5"  #: Stop ARTIM
    AA_6 = "AA-6"  #: Ignore PDU
    AA_7 = "AA-7"  #: Send A-ABORT
    AA_8 = "AA-8"  #: Send A-ABORT (service-provider), A-P-ABORT indication, start ARTIM


class Transition(NamedTuple):
    action: Action
    to: State


class Impossible(Exception):
    """A cell that Table 9-10 leaves empty: an event that cannot happen in this state."""


#: Table 9-10, rows and columns as in the standard: action and next state.
_TABLE_9_10 = """
          Sta1      Sta2      Sta3      Sta6      Sta8      Sta13
    Evt3  -         AA-1/13   AA-8/13   AA-8/13   AA-8/13   AA-6/13
    Evt4  -         AA-1/13   AA-8/13   AA-8/13   AA-8/13   AA-6/13
    Evt5  AE-5/2    -         -         -         -         -
    Evt6  -         AE-6/3    AA-8/13   AA-8/13   AA-8/13   AA-7/13
    Evt7  -         -         AE-7/6    -         -         -
    Evt8  -         -         AE-8/13   -         -         -
    Evt9  -         -         -         DT-1/6    AR-7/8    -
    Evt10 -         AA-1/13   AA-8/13   DT-2/6    AA-8/13   AA-6/13
    Evt12 -         AA-1/13   AA-8/13   AR-2/8    AA-8/13   AA-6/13
    Evt13 -         AA-1/13   AA-8/13   AA-8/13   AA-8/13   AA-6/13
    Evt14 -         -         -         -         AR-4/13   -
    Evt15 -         -         AA-1/13   AA-1/13   AA-1/13   -
    Evt16 -         AA-2/1    AA-3/1    AA-3/1    AA-3/1    AA-2/1
    Evt17 -         AA-5/1    AA-4/1    AA-4/1    AA-4/1    AR-5/1
    Evt18 -         AA-2/1    -         -         -         AA-2/1
    Evt19 -         AA-1/13   AA-8/13   AA-8/13   AA-8/13   AA-7/13
"""


def _read() -> dict[tuple[State, Event], Transition]:
    head, *rows = (line.split() for line in _TABLE_9_10.strip().splitlines())
    states = [State(int(name.removeprefix("Sta"))) for name in head]
    table = {}
    for event, *cells in rows:
        for state, cell in zip(states, cells, strict=True):
            if cell != "-":
                action, to = cell.split("/")
                table[state, Event(int(event.removeprefix("Evt")))] = Transition(Action(action), State(int(to)))
    return table


TABLE = _read()


def transition(state: State, event: Event) -> Transition:
    """What happens in ``state`` on ``event``. Impossible if the standard leaves that cell empty."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise Impossible(f"{event.name} in {state.name}") from None
