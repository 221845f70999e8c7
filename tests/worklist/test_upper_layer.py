"""The acceptor's state machine, cell by cell: the table against PS3.8, and each cell carried out on a wire."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pynetdicom.fsm import TRANSITION_TABLE

from tests.worklist import peer
from worklist import framing
from worklist.association import Association
from worklist.limits import USUAL
from worklist.negotiation import Asked, Negotiation
from worklist.stations import Profile
from worklist.upper_layer import TABLE, Action, Event, Impossible, State, transition

#: PS3.8 Tables 9-6 to 9-9: the state in which each action ends. AE-6 ends in Sta13 if the request is not acceptable.
NEXT = {
    "AE-5": 2, "AE-6": 3, "AE-7": 6, "AE-8": 13, "DT-1": 6, "DT-2": 6, "AR-2": 8, "AR-4": 13, "AR-5": 1, "AR-7": 8,
    "AA-1": 13, "AA-2": 1, "AA-3": 1, "AA-4": 1, "AA-5": 1, "AA-6": 13, "AA-7": 13, "AA-8": 13,
}  # fmt: skip
CELLS = [(state, event) for state in State for event in Event]


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda value: value.name)
def test_every_cell_is_the_standards(state, event):
    """Action and next state of each cell of Table 9-10; another implementation of it is the witness."""
    expected = TRANSITION_TABLE.get((f"Evt{event.value}", f"Sta{state.value}"))
    if expected is None:
        with pytest.raises(Impossible):
            transition(state, event)
    else:
        assert transition(state, event) == (expected, NEXT[expected])


def test_every_action_is_used():
    """No action is left over."""
    assert {cell.action for cell in TABLE.values()} == set(Action)


class Wire(asyncio.Transport):
    """The far end: notes what is written and whether the connection was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.is_cut, self.is_half_closed = b"", False, False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_cut = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_half_closed = True

    def get_write_buffer_size(self) -> int:
        return 0


class Conversation:
    """A dialogue that only notes what happens to it."""

    is_full, message_by = False, None

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.is_ended, self.is_idle = False, True

    def receive(self, body: bytes) -> None:
        self.received.append(body)

    def end(self) -> None:
        self.is_ended = True


class House:
    """A door that decides nothing by itself."""

    limits = replace(USUAL, request_seconds=1000, closing_seconds=1000)

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.conversation = Conversation()
        self.has_left = False
        self._negotiation = Negotiation({peer.VERIFICATION: [peer.IMPLICIT]})

    def asked(self, body: bytes) -> Asked:
        return self._negotiation.of(body)

    def admit(self, asked: Asked, acceptor: Association) -> None:
        """Sta3 lasts."""

    def dialogue(self, _peer: object, _line: object) -> Conversation:
        return self.conversation

    def entered(self, _acceptor: Association) -> None: ...

    def left(self, _acceptor: Association) -> None:
        self.has_left = True


@pytest.fixture
def house() -> Iterator[House]:
    found = House()
    yield found
    found.loop.close()


def brought_to(state: State, house: House) -> tuple[Association, Wire]:
    """An association in ``state``, and a wire on which nothing was written since."""
    line, wire = Association(house, "127.0.0.1"), Wire()
    if state is State.STA1:
        return line, wire
    line.connection_made(wire)
    if state in (State.STA3, State.STA6, State.STA8, State.STA13):
        line.data_received(peer.request())
    if state in (State.STA6, State.STA8):
        line.accept(Profile())
    if state is State.STA8:
        house.conversation.is_idle = False
        line.data_received(peer.RELEASE_RQ)
    if state is State.STA13:
        line.reject((1, 1, 3), "test")
    assert line.state is state
    wire.written = b""
    return line, wire


PDUS = {
    Event.EVT3: peer.pdu(0x02, b"whatever"),
    Event.EVT4: framing.reject(1, 1, 1),
    Event.EVT6: peer.request(),
    Event.EVT10: peer.message(1, peer.command("C-ECHO", peer.VERIFICATION)),
    Event.EVT12: peer.RELEASE_RQ,
    Event.EVT13: peer.RELEASE_RP,
    Event.EVT16: peer.ABORT,
    Event.EVT19: b"\x08\x00\x00\x00\x00\x04abcd",
}


def happen(event: Event, line: Association, wire: Wire) -> None:
    happenings = {
        Event.EVT5: lambda: line.connection_made(wire),
        Event.EVT7: lambda: line.accept(Profile()),
        Event.EVT8: lambda: line.reject((1, 1, 3), "test"),
        Event.EVT9: lambda: line.send(peer.p_data(peer.pdv(1, 3, b""))),
        Event.EVT15: lambda: line.abort("test"),
        Event.EVT17: lambda: line.connection_lost(None),
        Event.EVT18: line._overdue,
    }
    if event is Event.EVT12:
        line._house.conversation.is_idle = False  # something is being answered, so the release waits
    if event in PDUS:
        line.data_received(PDUS[event])
    elif event is Event.EVT14:
        line._house.conversation.is_idle = True  # what was asked before the release is answered
        line.settle()
    else:
        happenings[event]()


#: What each action does on the wire: the type of PDU that is written, and whether the connection is cut.
WRITTEN = {"AE-7": 2, "AE-8": 3, "DT-1": 4, "AR-4": 6, "AR-7": 4, "AA-1": 7, "AA-7": 7, "AA-8": 7}
CUT = {"AA-2", "AA-3"}
ENDS_DIALOGUE = {"AR-4", "AA-1", "AA-3", "AA-4", "AA-8"}
REAL = [pytest.param(state, event, id=f"{state.name}-{event.name}") for state, event in TABLE]


@pytest.mark.parametrize(("state", "event"), REAL)
def test_every_cell_is_carried_out(state, event, house):
    """The PDU that the action sends, the connection that it cuts, the state that it ends in."""
    line, wire = brought_to(state, house)
    happen(event, line, wire)
    action, to = transition(state, event)
    assert line.state is to
    assert wire.written[:1] == bytes(filter(None, [WRITTEN.get(action)]))
    assert wire.is_cut == (action in CUT)
    assert house.conversation.is_ended == (action in ENDS_DIALOGUE and state in (State.STA6, State.STA8))
    assert bool(house.conversation.received) == (action == "DT-2")
    assert house.has_left == (event is Event.EVT17)


def test_an_unacceptable_request_ends_in_sta13(house):
    """AE-6's other half: another protocol version is rejected by the service provider."""
    line, wire = brought_to(State.STA2, house)
    line.data_received(peer.request(version=2))
    assert (line.state, wire.written) == (State.STA13, framing.reject(1, 2, 2))


def test_an_abort_is_the_last_word(house):
    """One A-ABORT with source and reason, and our side of the connection is closed behind it."""
    line, wire = brought_to(State.STA6, house)
    line.data_received(PDUS[Event.EVT19] * 3)
    assert wire.written == framing.abort(framing.BY_PROVIDER, framing.UNRECOGNIZED_PDU)
    assert wire.is_half_closed


def test_what_comes_after_an_abort_is_thrown_away_up_to_a_length(house):
    """A peer that goes on sending is cut off."""
    line, wire = brought_to(State.STA6, house)
    line.abort("test")
    for _ in range(8):
        line.data_received(bytes(128 * 1024))
    assert not wire.is_cut
    line.data_received(b"more")
    assert wire.is_cut
