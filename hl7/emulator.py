"""A HIS for tests, the demo and a site's own acceptance: sends messages, takes what it is told, numbers new orders."""

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
class Told:
    """A message that the HIS took. ``event`` is MSH-9.1 and 9.2, ``order_control`` ORC-1, ``order_status`` ORC-5."""

    control_id: str
    event: str
    order_control: str
    order_status: str
    accession_number: str
    placer_order_number: str
    filler_order_number: str
    text: str

    @property
    def summary(self) -> str:
        """The message in a line, without patient data."""
        if self.order_control == "SC":
            return f"{self.event}, ORC-5 {self.order_status} of {self.accession_number}"
        about = f" of {self.accession_number or self.filler_order_number}" if self.filler_order_number else ""
        return f"{self.event}{f', ORC-1 {self.order_control}' if self.order_control else ''}{about}"


@dataclass(frozen=True)
class Acknowledgment:
    """What a message was answered: MSA-1, MSA-2, the sentence, and the whole text."""

    code: str
    control_id: str
    sentence: str
    text: str


class His:
    """Sends to ``address``, and while ``listening`` answers what it is sent as ``verdict`` says.

    An order that is new to it (ORC-1 SN) gets the placer order number that ``assign`` gives, or UA if it gives none.
    """

    def __init__(self, address: tuple[str, int], timeout: float = 10.0) -> None:
        self.address, self.timeout = address, timeout
        self.received: list[Told] = []
        self.arrived = threading.Condition()
        self.verdict: Callable[[Told], ack.Verdict] = lambda told: ack.accepted()
        self.assign: Callable[[Told], str] = lambda told: f"H{told.filler_order_number}"
        self.on_told: Callable[[Told], None] = lambda told: None

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
        """Take messages while the block runs; the server's ``address`` has the port."""
        with Server(address, self._take).in_thread() as server:
            yield server

    def wait_for(self, predicate: Callable[[Told], bool], seconds: float = 10.0) -> Told | None:
        """The first message that came, or comes within ``seconds``, for which ``predicate`` holds."""
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
        told = _told(message)
        verdict = self.verdict(told)
        answer = ack.build(header, verdict, message.codec)
        if verdict.code == "AA":
            with self.arrived:
                self.received.append(told)
                self.arrived.notify_all()
            self.on_told(told)
            if told.order_control == "SN":
                return _numbered(answer.decode("latin-1"), told, self.assign(told)).encode("latin-1")
        return answer


def _told(message: Message) -> Told:
    return Told(
        control_id=message.value("MSH-10") or "",
        event="^".join(message.value(f"MSH-9.{component}") or "" for component in (1, 2)),
        order_control=message.value("ORC-1") or "",
        order_status=message.value("ORC-5.1") or "",
        accession_number=message.value("OBR-18.1") or "",
        placer_order_number=message.value("ORC-2.1") or message.value("SCH-26.1") or "",
        filler_order_number=message.value("ORC-3.1") or message.value("SCH-27.1") or "",
        text=str(message),
    )


def _numbered(answer: str, told: Told, number: str) -> str:
    """The acknowledgment as ORR^O02 or ORG^O20: ORC-1 NA with the number, or UA."""
    msh, *rest = answer.split("\r")
    fields = msh.split("|")
    fields[8] = "ORG^O20^ORG_O20" if told.event == "OMG^O19" else "ORR^O02^ORR_O02"
    orc = f"ORC|NA|{number}|{told.filler_order_number}" if number else f"ORC|UA||{told.filler_order_number}"
    return "\r".join(["|".join(fields), *rest[:-1], orc, ""])
