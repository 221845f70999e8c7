"""How fast orders become durable: `make bench-hl7`. One run on this machine, beside a floor and hl7apy.

A throw-away PostgreSQL that really writes (fsync), the real listener process, and eight senders, each on one
connection with several messages in flight. Every order is another order of another patient.
"""

import contextlib
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import django
import psycopg
from hl7apy.parser import parse_message

from hl7 import ack
from hl7.framing import Deframer, Frame, frame
from hl7.header import Header
from hl7.mllp import Server
from tests import postgres
from tests.waiting import wait_until

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
SENDERS, IN_FLIGHT = 8, 8
ORDERS, PACED_ORDERS, PACE = 3200, 400, 50
DOCUMENTS, DOCUMENT_BYTES = 5, 5_000_000
PARSE_SECONDS = 4.0


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def now() -> str:
    return time.strftime("%Y%m%d%H%M%S+0000", time.gmtime())


def order(number: str) -> bytes:
    """An ORM^O01 of 1.5 KB such as a hospital sends: patient with two identifiers and address, visit, insurance,
    allergy, order with notes, time, procedure of the catalogue, diagnosis, weight and height, Study UID.
    """
    doctor = "13478^Orderer^Olga^^^Prof.^MD^^^IMC"
    return "".join(
        segment + "\r"
        for segment in (
            f"MSH|^~\\&|HIS|GENERAL|SUNVIEW|RAD|{now()}||ORM^O01^ORM_O01|{number}|P|2.5.1|||AL|NE||UNICODE UTF-8",
            f"PID|1||P{number}^^^GENERAL^MR~84{number}TA^^^PPS^PPSN||Sample^Grace^B^^Ms.||19800229|F||2106-3"
            "|1 High Street^Phibsborough^Dublin 7^^D07W4R6^IRL^H||^PRN^PH^^353^1^2345678|^WPN^PH^^353^1^8765432"
            "|EN|M|CAT",
            "NTE|1|P|Needs an interpreter for Irish Sign Language",
            "PV1|1|O|MED^WARD4A^BED06^GENERAL||||22190^Referrer^Rita^^^Dr.^MD^^^IMC|23871^Referrer^Ray^^^Dr.^MD^^^IMC"
            f"||RAD||||3||A0|||V{number}^^^GENERAL^VN|||||||||||||||||||||||||20261122080000",
            "IN1|1|VHI^Plan D^HIC|4711|Insurance of Ireland|1 Lower Abbey Street^^Dublin 1^^D01X2K1^IRL"
            "||^WPN^PH^^353^1^5557788|GRP-0815||||20260101|20261231||HMO|Sample^Grace^B|SEL|19800229",
            "AL1|1|DA|IODINE^Iodinated contrast media^L|MO|Hives",
            f"ORC|NW|{number}^HIS||G{number}^HIS|SC||1^once^^20261123090000^^R||20261122080000|55^Clerk^Clara"
            f"||{doctor}|MED4A",
            "TQ1|1||||||20261123090000||R",
            f"OBR|1|{number}^HIS||CTHEAD^CT head without contrast^SUNVIEW|||||||||Renal function normal, no metformin"
            f"|||{doctor}||{number}||||||CT|||1^once^^20261123090000^^R||||R51^Headache for three weeks^I10",
            "NTE|1|P|Please report to the ward before noon. Patient comes from the day hospital and walks with help.",
            "DG1|1||R51^Headache^I10||20261122|W",
            "OBX|1|NM|29463-7^Body weight^LN||68.5|kg|||||F",
            "OBX|2|NM|8302-2^Body height^LN||171|cm|||||F",
            f"ZDS|1.2.826.0.1.3680043.9.7777.1.{int.from_bytes(number.encode(), 'big')}^^Application^DICOM",
        )
    ).encode()


def names(message: bytes) -> str:
    """The segments of a message."""
    return " ".join(segment[:3].decode() for segment in message.split(b"\r") if segment)


def document(number: str) -> bytes:
    """An ORU^R01 with a PDF of 5 MB in one OBX, the report of the order of that number."""
    head = f"MSH|^~\\&|HIS|GENERAL|SUNVIEW|RAD|{now()}||ORU^R01^ORU_R01|R{number}|P|2.5.1\r"
    body = f"PID|1||P{number}^^^GENERAL^MR\r"
    body += f"ORC|RE|{number}^HIS\rOBR|1|{number}^HIS||CTHEAD^CT head^SUNVIEW|||||||||||||||||||||F\r"
    return (
        (head + body + "OBX|1|ED|PDF||^application^pdf^Base64^").encode()
        + b"JVBERi0x" * (DOCUMENT_BYTES // 8)
        + b"||||||F\r"
    )


@dataclass
class Sender:
    """One connection. ``waits`` are the seconds from a message to its answer, by when it was sent."""

    address: tuple[str, int]
    waits: list[tuple[float, float]] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    def run(self, messages: list[bytes], in_flight: int = IN_FLIGHT, due: Callable[[int], float] | None = None) -> None:
        """Send all, at most ``in_flight`` unanswered; with ``due`` each at its time on time.monotonic."""
        deframer, sent = Deframer(), []
        with socket.create_connection(self.address, 30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while len(self.waits) < len(messages):
                while len(sent) < len(messages) and len(sent) - len(self.waits) < in_flight:
                    if due:
                        time.sleep(max(0.0, due(len(sent)) - time.monotonic()))
                    sent.append(time.monotonic())
                    connection.sendall(frame(messages[len(sent) - 1]))
                data = connection.recv(65536)
                if not data:
                    raise ConnectionError("The listener closed the connection")
                for event in deframer.feed(data):
                    self._answered(event, sent)

    def _answered(self, event: object, sent: list[float]) -> None:
        assert isinstance(event, Frame)
        began = sent[len(self.waits)]
        self.waits.append((began, time.monotonic() - began))
        code = event.payload.split(b"\rMSA|", 1)[1][:2].decode()
        self.codes[code] = self.codes.get(code, 0) + 1


def at_once(jobs: list[Callable[[], None]]) -> float:
    """Run all in threads; the seconds it took."""
    threads = [threading.Thread(target=job) for job in jobs]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def pipelined(address: tuple[str, int], tag: str, count: int) -> tuple[float, list[Sender]]:
    """Messages a second from eight pipelining senders."""
    senders = [Sender(address) for _ in range(SENDERS)]
    share = count // SENDERS

    def job(index: int) -> Callable[[], None]:
        messages = [order(f"{tag}{index}{number:05d}") for number in range(share)]
        return lambda: senders[index].run(messages)

    return share * SENDERS / at_once([job(index) for index in range(SENDERS)]), senders


def paced(address: tuple[str, int], tag: str, *beside: Callable[[], None]) -> list[Sender]:
    """PACE messages a second from eight senders taking turns, while ``beside`` runs."""
    senders, begin = [Sender(address) for _ in range(SENDERS)], time.monotonic() + 0.2

    def job(index: int) -> Callable[[], None]:
        messages = [order(f"{tag}{index}{number:05d}") for number in range(PACED_ORDERS // SENDERS)]
        return lambda: senders[index].run(messages, 1, lambda number: begin + (number * SENDERS + index) / PACE)

    at_once([*(job(index) for index in range(SENDERS)), *beside])
    return senders


def percentile(waits: list[float], percent: float) -> float:
    """In milliseconds."""
    ordered = sorted(waits)
    return 1000 * ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


def all_waits(senders: list[Sender]) -> list[float]:
    return [wait for sender in senders for _at, wait in sender.waits]


@contextlib.contextmanager
def process(*command: str, env: dict[str, str], port: int) -> Iterator[tuple[str, int]]:
    """A listener as a process of its own, once it answers."""
    address = ("127.0.0.1", port)
    running = subprocess.Popen([sys.executable, *command], env=env, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(address), seconds=60)
        yield address
    finally:
        running.terminate()
        running.wait(30)


def answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def sunview(url: str) -> Iterator[tuple[str, int]]:
    """A fresh database and the real listener on it."""
    with tempfile.TemporaryDirectory() as folder:
        port = postgres.free_port()
        env = {**os.environ, "DATABASE_URL": url, "SUNVIEW_DATA_DIR": folder, "SUNVIEW_MLLP": f"127.0.0.1:{port}"}
        for command in (("migrate", "-v0"), ("loaddata", "-v0", "sunview")):
            subprocess.run([sys.executable, str(MANAGE), *command], env=env, check=True)
        with process(str(MANAGE), "hl7_listener", env=env, port=port) as address:
            yield address


def orders_kept(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM ris_order").fetchone()
    return row[0] if row else 0


def floor(port: int) -> None:
    """Our framing and a constant acknowledgment, no database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ris.settings")
    django.setup()
    header = Header.find(order("1"))
    assert header is not None
    constant = ack.build(header, ack.accepted(), "utf-8")
    with Server(("127.0.0.1", port), lambda event, peer: constant).in_thread():
        threading.Event().wait()


def parse_only() -> float:
    """Messages a second that hl7apy parses in one process."""
    text, count, began = order("1").decode(), 0, time.monotonic()
    while time.monotonic() < began + PARSE_SECONDS:
        parse_message(text)
        count += 1
    return count / (time.monotonic() - began)


def measure(url: str) -> float:
    """Print what the listener does; its orders a second."""
    with sunview(url) as address:
        pipelined(address, "W", 400)
        rate, senders = pipelined(address, "A", ORDERS)
        waits, codes = all_waits(senders), {code for sender in senders for code in sender.codes}
        tell(
            f"orders durable to PostgreSQL    {rate:8.0f}/s   ACK p50 {percentile(waits, 50):.0f} ms, "
            f"p99 {percentile(waits, 99):.0f} ms with {SENDERS * IN_FLIGHT} in flight; answers {codes}"
        )
        waits = all_waits(paced(address, "P"))
        tell(
            f"paced at {PACE}/s                               ACK p50 {percentile(waits, 50):.1f} ms, "
            f"p99 {percentile(waits, 99):.1f} ms (target < 150)"
        )
        large = Sender(address)
        messages = [document(f"A0{number:05d}") for number in range(DOCUMENTS)]
        others = paced(address, "B", lambda: large.run(messages, 1))
        during = [
            wait
            for sender in others
            for at, wait in sender.waits
            if any(begin <= at <= begin + took for begin, took in large.waits)
        ]
        tell(
            f"beside {DOCUMENTS} ORU of 5 MB with a PDF            ACK p99 {percentile(during, 99):.1f} ms of the "
            f"{len(during)} others meanwhile; the ORU "
            f"themselves {percentile(all_waits([large]), 50):.0f} ms, answers {large.codes}"
        )
    sent, kept = 400 + ORDERS + 2 * (PACED_ORDERS // SENDERS * SENDERS), orders_kept(url)
    tell(f"orders sent {sent}, kept {kept}{'' if sent == kept else '  WRONG'}")
    return rate


def main() -> None:
    tell(f"{os.cpu_count()} cores, shared by senders, listener and PostgreSQL")
    tell(f"an order is an ORM^O01 of {len(order('A000000'))} bytes: {names(order('A000000'))}")
    with postgres.server(fsync=True) as url:
        rate = measure(url)
    port = postgres.free_port()
    with process("-m", "benchmarks.hl7", "floor", str(port), env=dict(os.environ), port=port) as address:
        least, _senders = pipelined(address, "F", 4 * ORDERS)
    tell(f"floor: framing, constant ACK    {least:8.0f}/s   we are at {rate / least:.1%} of it")
    parsed = parse_only()
    tell(f"hl7apy, parsing only            {parsed:8.0f}/s   we are at {rate / parsed:.1f} times (target 5)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["floor"]:
        floor(int(sys.argv[2]))
    else:
        main()
