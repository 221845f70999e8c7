"""Whatever a peer asks has its answer: reliability.md, table B, rows 38 to 60, over raw sockets.

Rows 44 to 51 are judged by the worklist's and MPPS' handlers and 56 to 58 by C-STORE's: here that nothing of it passes,
in detail in test_encoding.py, test_mpps.py and test_store.py.
"""

import contextlib
import select
import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from django.conf import settings

from ris.models import Instance
from tests.waiting import wait_until
from tests.worklist import peer
from tests.worklist.conftest import Known
from tests.worklist.peer import RawPeer, command, message, p_data, pdv
from worklist.dimse import Answer, Request
from worklist.door import Door
from worklist.limits import USUAL, Limits

ECHO = command("C-ECHO", peer.VERIFICATION)
FIND = command("C-FIND", peer.WORKLIST, message_id=7, data_set=True)


@pytest.fixture
def limits() -> Limits:
    """Deadlines in tenths of a second, short messages."""
    seconds = {"data_set_seconds": 0.6, "write_seconds": 0.5, "closing_seconds": 0.5}
    return replace(USUAL, longest_message=200_000, room=400_000, **seconds)


@pytest.fixture
def scanner_peer(constant_door) -> RawPeer:
    return RawPeer(constant_door.port).associated()


def count(number: int) -> bytes:
    """The identifier to which the constant door gives so many answers; 0: for ever."""
    return struct.pack("<L", number)


ANSWERED = {
    "38 unknown command": (1, command(0x7777, peer.VERIFICATION), None, 0x0211),
    "38 unknown command with a data set": (1, command(0x7777, peer.VERIFICATION, data_set=True), b"abcd", 0x0211),
    "38 C-MOVE": (3, command("C-MOVE", peer.WORKLIST), None, 0x0211),
    "N-CREATE of a worklist": (3, command("N-CREATE", peer.WORKLIST), None, 0x0211),
    "N-GET of MPPS": (5, command("N-GET", peer.MPPS), None, 0x0211),
    "40 no Affected SOP Class UID": (1, command("C-ECHO"), None, 0x0118),
    "55 a class that is not the context's": (1, command("C-ECHO", peer.MPPS), None, 0x0122),
    "C-FIND without identifier": (3, command("C-FIND", peer.WORKLIST), None, 0xA900),
    "C-ECHO with a data set": (1, command("C-ECHO", peer.VERIFICATION, data_set=True), b"abcd", 0x0000),
    "retired elements": (1, command("C-ECHO", peer.VERIFICATION, e0001=b"abcd"), None, 0x0000),
}


@pytest.mark.parametrize(("context", "asked", "data", "expected"), ANSWERED.values(), ids=ANSWERED)
def test_answered(context, asked, data, expected, scanner_peer):
    """A status for each request that can be answered, and the association goes on."""
    answer = scanner_peer.send(message(context, asked, data)).response()
    assert (answer.status, answer.responded) == (expected, 1)
    assert answer.field & 0x8000
    assert scanner_peer.send(message(1, ECHO)).response().status == 0x0000


ABORTED = {
    "39 no Message ID": command("C-ECHO", peer.VERIFICATION, message_id=None),
    "39 Message ID of 4 bytes": command("C-ECHO", peer.VERIFICATION, e0110=b"\1\0\0\0"),
    "41 garbage": b"\xff" * 64,
    "41 an element over the end": ECHO[:-2],
    "41 elements out of order": ECHO + ECHO,
    "41 another group": struct.pack("<HHL", 8, 5, 0) + ECHO,
    "41 nothing": b"",
    "no Command Field": command("C-ECHO", peer.VERIFICATION, e0100=None),
    "no Data Set Type": command("C-ECHO", peer.VERIFICATION, e0800=None),
    "a response": command(0x8030, peer.VERIFICATION),
    "a command set without end": b"\0" * 17_000,
}


@pytest.mark.parametrize("asked", ABORTED.values(), ids=ABORTED)
def test_aborted(asked, scanner_peer):
    """A command set that cannot be answered ends the association, and not in silence."""
    assert scanner_peer.send(message(1, asked)).ends() == "ABORT"


OUT_OF_TURN = {
    "data set first": p_data(pdv(3, 2, b"abcd")),
    "command amid a data set": p_data(pdv(3, 3, FIND)) + p_data(pdv(3, 3, FIND)),
    "another context amid a message": p_data(pdv(3, 3, FIND)) + p_data(pdv(1, 2, b"abcd")),
    "42 data set announced, never sent": p_data(pdv(3, 3, FIND)),
    "42 data set begun, never ended": p_data(pdv(3, 3, FIND)) + p_data(pdv(3, 0, b"abcd")),
    "43 endless fragments of nothing": p_data(pdv(3, 1, b"")) * 1_000,
    "43 endless fragments of a byte": p_data(pdv(3, 3, FIND)) + p_data(pdv(3, 0, b"a")) * 1_000,
    "43 endless fragments": p_data(pdv(3, 3, FIND)) + p_data(pdv(3, 0, bytes(60_000))) * 4,
}


@pytest.mark.parametrize("sent", OUT_OF_TURN.values(), ids=OUT_OF_TURN)
def test_messages_that_are_none(sent, scanner_peer, constant_door):
    """A-ABORT at once or at the deadline, and nothing stays."""
    assert scanner_peer.send(sent).ends() == "ABORT"
    wait_until(lambda: constant_door.connections == 0)


def test_a_message_in_many_and_in_one(scanner_peer):
    """A byte in each PDV, and command set and data set in one PDU, are the same message (PS3.8 annex E)."""
    parts = [pdv(3, 3 if at == len(FIND) - 1 else 1, FIND[at : at + 1]) for at in range(len(FIND))]
    scanner_peer.send(*(p_data(part) for part in parts), p_data(pdv(3, 0, b"\2\0"), pdv(3, 2, b"\0\0")))
    assert [answer.status for answer in scanner_peer.responses()] == [0xFF00, 0xFF00, 0x0000]
    scanner_peer.send(p_data(pdv(3, 3, FIND), pdv(3, 2, count(1))))
    first, last = scanner_peer.responses()
    assert (first.status, first.responded, first.field) == (0xFF00, 7, 0x8020)
    assert first.elements[0x0002] == peer.even(peer.WORKLIST)
    assert first.data == bytes.fromhex("08005000040000004143434e")
    assert (last.status, last.data) == (0x0000, None)


def test_52_c_cancel_of_nothing_is_ignored(scanner_peer):
    """No answer, and the association goes on."""
    cancel = message(3, command("C-CANCEL", message_id=99))
    answer = scanner_peer.send(cancel, message(1, ECHO), cancel).response()
    assert (answer.status, answer.field) == (0x0000, 0x8030)
    scanner_peer.send(message(3, FIND, count(3)), cancel)
    assert [answer.status for answer in scanner_peer.responses()] == [0xFF00] * 3 + [0x0000]


def test_53_c_cancel_ends_a_query(scanner_peer):
    """An endless query ends in FE00H, as the last word on it."""
    scanner_peer.send(message(3, FIND, count(0)))
    answers = scanner_peer.responses()
    next(answers)
    scanner_peer.send(message(3, command("C-CANCEL", message_id=7)))
    *pending, last = answers
    assert {answer.status for answer in pending} == {0xFF00}
    assert (last.status, last.responded) == (0xFE00, 7)
    assert scanner_peer.send(message(1, ECHO)).response().status == 0x0000


def test_54_requests_are_answered_in_their_order(scanner_peer):
    """A peer that asks on before it is answered gets each answer whole, under its own Message ID."""
    asked = range(1, 31)
    for number in asked:
        find = command("C-FIND", peer.WORKLIST, message_id=number, data_set=True)
        scanner_peer.send(message(3, find, count(number)))
    for number in asked:
        answers = list(scanner_peer.responses())
        assert len(answers) == number + 1
        assert {answer.responded for answer in answers} == {number}


def test_a_peer_that_reads_nothing_is_cut_off(scanner_peer, constant_door):
    """Its answers are not piled up for it."""
    scanner_peer.send(message(3, FIND, count(0)))
    wait_until(lambda: constant_door.connections == 0)


def test_long_data_sets_of_many_peers_find_no_room(constant_door, limits):
    """One that is longer than usual has to find room; who finds none is aborted, and the others go on."""
    with contextlib.ExitStack() as held:
        peers = [held.enter_context(RawPeer(constant_door.port)).associated() for _ in range(4)]
        begun = [p_data(pdv(3, 3, FIND)), *[p_data(pdv(3, 0, bytes(60_000)))] * 3]
        for one in peers:
            one.send(*begun)
        readable = wait_until(lambda: select.select([one.socket for one in peers], [], [], 0)[0])
        assert len(readable) < 4
        assert [one for one in peers if one.socket in readable][0].ends() == "ABORT"
        assert RawPeer(constant_door.port).associated().send(message(1, ECHO)).response().status == 0x0000
    wait_until(lambda: constant_door.connections == 0)
    for _ in range(3):  # the room was given back
        whole = RawPeer(constant_door.port).associated()
        whole.send(begun[0], p_data(pdv(3, 0, count(2) + bytes(60_000))), *begun[2:], p_data(pdv(3, 2, b"")))
        assert [answer.status for answer in whole.responses()] == [0xFF00, 0xFF00, 0x0000]


def test_a_slow_reader_gets_its_answers(scanner_peer):
    """Back-pressure, not a cut: all of many answers arrive."""
    scanner_peer.send(message(3, FIND, count(20_000)))
    assert sum(1 for _answer in scanner_peer.responses()) == 20_001


DATA_SETS = {
    "44 a length beyond the end": bytes.fromhex("10001000ff000000") + b"DOE",
    "45 cut off": bytes.fromhex("1000100004"),
    "46 depth 9": bytes.fromhex("40000001ffffffff" + "feff00e0ffffffff") * 9,
    "49 bytes that are no UTF-8": bytes.fromhex("080005000a000000")
    + b"ISO_IR 192"
    + bytes.fromhex("1000100002000000c328"),
    "50 unknown character set": bytes.fromhex("0800050006000000") + b"KLINGO" + bytes.fromhex("1000100002000000412a"),
}


@pytest.mark.django_db(transaction=True)
def test_data_sets_that_are_none(worklist_port):
    """Rows 44 to 50: C-FIND A900H, N-CREATE one of the failures of PS3.7 annex C, never 0000H."""
    asking = RawPeer(worklist_port).associated(
        contexts=b"".join(
            peer.context_item(number, uid, [peer.IMPLICIT]) for number, uid in ((3, peer.WORKLIST), (5, peer.MPPS))
        )
    )
    create = command("N-CREATE", peer.MPPS, data_set=True, e1000=b"1.2.3.4\0")
    for name, data in DATA_SETS.items():
        assert [answer.status for answer in asking.send(message(3, FIND, data)).responses()] == [0xA900], name
        refused = 0x0110 if name.startswith("46") else 0x0106
        assert asking.send(message(5, create, data)).response().status == refused, name
    for uid in (b"1.2.abc\0", b"../../etc\0", b"1" * 66):
        bad = command("N-CREATE", peer.MPPS, data_set=True, e1000=uid)
        assert asking.send(message(5, bad, DATA_SETS["45 cut off"])).response().status == 0x0117, uid


@pytest.mark.django_db(transaction=True)
def test_a_key_at_fault_is_the_offending_element(worklist_port):
    """C-FIND names it in (0000,0901) (PS3.4 table K.4-1), not in the Attribute Identifier List of a DIMSE-N service."""
    asking = RawPeer(worklist_port).associated()
    item = bytes.fromhex("40000200 08000000".replace(" ", "")) + b"20251301"
    data = struct.pack("<HHL", 0x40, 0x100, len(item) + 8) + struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item
    [refused] = asking.send(message(3, FIND, data)).responses()
    assert refused.status == 0xA900
    assert refused.elements[0x0901] == struct.pack("<HHHH", 0x40, 2, 0x40, 3)
    assert 0x1005 not in refused.elements and list(refused.elements) == sorted(refused.elements)


def elements(*pairs: tuple[int, bytes, bytes]) -> bytes:
    """Explicit VR little endian."""
    return b"".join(struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value for tag, vr, value in pairs)


def ct(uid: bytes = b"1.2.3.4\0", sop_class: str = peer.CT) -> bytes:
    return elements(
        (0x00080016, b"UI", peer.even(sop_class)),
        (0x00080018, b"UI", uid),
        (0x0020000D, b"UI", b"1.2.3.5\0"),
        (0x0020000E, b"UI", b"1.2.3.6\0"),
    )


def store_command(uid: bytes = b"1.2.3.4\0", sop_class: str = peer.CT) -> bytes:
    return command("C-STORE", sop_class, data_set=True, e1000=uid)


STORED = {
    "55 a class that is not the context's": (store_command(sop_class="1.2.840.10008.5.1.4.1.1.4"), ct(), 0x0122),
    "56 other instance in the data set": (store_command(), ct(b"1.2.3.99"), 0xA900),
    "58 a path as UID": (store_command(b"../../etc\0"), ct(b"../../etc\0"), 0x0117),
    "a UID that is not ASCII": (store_command(b"1.2.\xe9"), ct(b"1.2.\xe9"), 0x0117),
    "no data set": (command("C-STORE", peer.CT, e1000=b"1.2.3.4\0"), None, 0xC000),
    "59 a preamble in front": (store_command(), b"MZ" + bytes(126) + b"DICM" + ct(), 0xC000),
    "cut off": (store_command(), ct()[:-1], 0xC000),
}


@pytest.mark.django_db(transaction=True)
def test_objects_that_are_not_stored(store_port):
    """Rows 55 to 59: the status, no row, and no file."""
    sending = RawPeer(store_port).associated()
    for name, (asked, data, expected) in STORED.items():
        assert sending.send(message(7, asked, data)).response().status == expected, name
        assert not [path for path in Path(settings.DATA_DIR).rglob("*") if path.is_file()], name
    assert not Instance.objects.exists()
    assert sending.send(message(7, store_command(), ct())).response().status == 0x0000
    assert sending.send(message(7, store_command(), ct())).response().status == 0x0000
    assert Instance.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_object_that_breaks_off_leaves_nothing(store_port):
    """The file that it was written to goes with the association."""

    def partial() -> list[Path]:
        return list(Path(settings.DATA_DIR).rglob("*.part"))

    sending = RawPeer(store_port).associated()
    sending.send(p_data(pdv(7, 3, store_command())), p_data(pdv(7, 0, ct())))
    wait_until(partial)
    sending.reset()
    wait_until(lambda: not partial())


@pytest.mark.parametrize("size", [100, 200_000], ids=["when it is closed", "while it comes"])
def test_57_a_full_disk_while_an_object_comes(size, tmp_path, limits):
    """A700H, no file; the association goes on."""

    def incoming(_request: Request) -> BinaryIO:
        path = tmp_path / "object.part"
        path.symlink_to("/dev/full")
        return path.open("wb")

    done = {"C-STORE": lambda request: Answer(status=0), "C-ECHO": lambda request: Answer(status=0)}
    contexts = {peer.CT: [peer.EXPLICIT], peer.VERIFICATION: [peer.IMPLICIT]}
    door = Door(("127.0.0.1", 0), contexts, done, incoming=incoming, stations=Known(), limits=limits).start()
    with RawPeer(door.port).associated() as sending:
        pieces = [p_data(pdv(7, 0, bytes(50_000))) for _ in range(size // 50_000)]
        sending.send(p_data(pdv(7, 3, store_command())), *pieces, p_data(pdv(7, 2, bytes(size % 50_000))))
        assert sending.response().status == 0xA700
        assert not list(tmp_path.iterdir())
        assert sending.send(message(1, ECHO)).response().status == 0x0000
    door.stop(seconds=1)


def test_a_store_is_never_whole_in_memory(tmp_path, limits):
    """An object far longer than a message may be goes to its file; longer than an object may be, it is aborted."""
    seen: list[tuple[int, int]] = []

    def incoming(_request: Request) -> BinaryIO:
        file = (tmp_path / "object.part").open("wb")
        file.write(b"head")
        return file

    def stored(request: Request) -> Answer:
        assert request.file is not None
        seen.append((request.file_offset, request.file.stat().st_size))
        return Answer(status=0)

    short = replace(limits, longest_object=1_000_000)
    contexts = {peer.CT: [peer.EXPLICIT]}
    door = Door(("127.0.0.1", 0), contexts, {"C-STORE": stored}, incoming=incoming, stations=Known(), limits=short)
    door.start()
    with RawPeer(door.port).associated() as sending:
        piece = p_data(pdv(7, 0, bytes(100_000)))
        sending.send(p_data(pdv(7, 3, store_command())), piece * 9, p_data(pdv(7, 2, b"end.")))
        assert sending.response().status == 0x0000
        assert seen == [(4, 900_008)]
        assert not list(tmp_path.iterdir())
        assert sending.send(p_data(pdv(7, 3, store_command())), piece * 11).ends() == "ABORT"
    wait_until(lambda: not list(tmp_path.iterdir()))
    door.stop(seconds=1)
