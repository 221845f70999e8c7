"""A HIS for tests, the demo and a site's own acceptance: sends messages, takes and checks status messages."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hl7 import ack
from hl7.er7 import Message
from hl7.framing import Abandoned, Frame, Oversized
from hl7.header import Er7Error, Header
from hl7.mllp import Client, Server


@dataclass(frozen=True)
class Status:
    """A status message that the HIS took. ``order_status`` is ORC-5."""

    control_id: str
    order_status: str
    accession_number: str
    placer_order_number: str
    text: str


@dataclass(frozen=True)
class Acknowledgment:
    """What a message was answered: MSA-1, MSA-2, the sentence, and the whole text."""

    code: str
    control_id: str
    sentence: str
    text: str


class His:
    """Sends to ``address``, and while ``listening`` answers what it is sent as ``verdict`` says."""

    def __init__(self, address: tuple[str, int], timeout: float = 10.0) -> None:
        self.address, self.timeout = address, timeout
        self.received: list[Status] = []
        self.arrived = threading.Condition()
        self.verdict: Callable[[Status], ack.Verdict] = lambda status: ack.accepted()
        self.on_status: Callable[[Status], None] = lambda status: None

    def send(self, text: str | bytes) -> Acknowledgment:
        """Send one message on a connection of its own and wait for its answer; OSError if there is none.

        Line ends of a text file become segment ends.
        """
        payload = text if isinstance(text, bytes) else "\r".join(text.splitlines()).encode() + b"\r"
        client = Client(self.address, self.timeout)
        try:
            answer = Message.parse(client.exchange(payload))
        finally:
            client.close()
        sentence = answer.value("ERR-8") or answer.value("MSA-3") or ""
        return Acknowledgment(answer.value("MSA-1") or "", answer.value("MSA-2") or "", sentence, str(answer))

    @contextlib.contextmanager
    def listening(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Server]:
        """Take status messages while the block runs; the server's ``address`` has the port."""
        with Server(address, self._take).in_thread() as server:
            yield server

    def wait_for(self, predicate: Callable[[Status], bool], seconds: float = 10.0) -> Status | None:
        """The first status message that came, or comes within ``seconds``, for which ``predicate`` holds."""
        with self.arrived:
            self.arrived.wait_for(lambda: any(map(predicate, self.received)), seconds)
            return next(filter(predicate, self.received), None)

    def _take(self, event: Frame | Abandoned | Oversized, peer: str) -> bytes | None:
        if not isinstance(event, Frame):
            return None
        header = Header.find(event.payload)
        if header is None:
            return None
        try:
            message = Message.parse(event.payload)
        except Er7Error as error:
            return ack.build(header, ack.Verdict("AR", str(error), "207"), "utf-8")
        status = _status(message)
        verdict = self.verdict(status)
        if verdict.code == "AA":
            with self.arrived:
                self.received.append(status)
                self.arrived.notify_all()
            self.on_status(status)
        return ack.build(header, verdict, message.codec)


def _status(message: Message) -> Status:
    return Status(
        control_id=message.value("MSH-10") or "",
        order_status=message.value("ORC-5.1") or "",
        accession_number=message.value("OBR-18.1") or "",
        placer_order_number=message.value("ORC-2.1") or "",
        text=str(message),
    )
