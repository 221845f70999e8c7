"""Scanners that ask for their worklist, as many at once as one likes, as cheaply as Python can play them.

Each association is connect, A-ASSOCIATE, one C-FIND, release. All that is sent is encoded before the clock starts.
"""

import asyncio
import math
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

from tests import wire

#: Status (0000,0900), US of two bytes: what stands before its value in a response.
_STATUS = struct.pack("<HHL", 0, 0x0900, 2)
_HEAD = struct.Struct(">BBL").unpack_from
_FRAGMENT = struct.Struct(">LBB").unpack_from
_PENDING = (0xFF00, 0xFF01)


@dataclass
class Result:
    """Seconds of each association that went well; answers each got -> how often; what went wrong.

    ``cpu`` are the seconds that the server worked for it: unlike the rate it does not change with who works beside.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    waits: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def associations(self) -> float:
        """A second."""
        return len(self.waits) / self.seconds

    @property
    def milliseconds(self) -> float:
        """The server's work for one association."""
        return 1000 * self.cpu / max(1, len(self.waits))

    @property
    def answered(self) -> float:
        """Answers a second."""
        return sum(count * times for count, times in self.answers.items()) / self.seconds

    def percentile(self, percent: float) -> float:
        """Of an association, in milliseconds."""
        ordered = sorted(self.waits) or [math.nan]
        return 1000 * ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


class Scanner(asyncio.Protocol):
    """One association; ``done`` becomes the number of its answers, or an exception."""

    def __init__(self, request: bytes, find: bytes, done: asyncio.Future[int]) -> None:
        self._request, self._find, self._done = request, find, done
        self._buffer, self._answers = bytearray(), 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("connection lost")

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(why))
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer, 0
        buffer += data
        while len(buffer) - at >= 6:
            kind, _reserved, length = _HEAD(buffer, at)
            if len(buffer) - at < 6 + length:
                break
            self._received(kind, at + 6, at + 6 + length)
            at += 6 + length
        del buffer[:at]

    def _received(self, kind: int, begin: int, end: int) -> None:
        if kind == wire.DATA:
            self._fragments(begin, end)
        elif kind == wire.ACCEPTED:
            self._transport.write(self._find)
        elif kind == wire.RELEASED:
            if not self._done.done():
                self._done.set_result(self._answers)
            self._transport.close()
        else:
            self._fail(f"PDU type {kind}")

    def _fragments(self, begin: int, end: int) -> None:
        while begin < end:
            length, _context, flags = _FRAGMENT(self._buffer, begin)
            if flags & 1:
                self._response(begin + 6, begin + 4 + length)
            begin += 4 + length

    def _response(self, begin: int, end: int) -> None:
        at = self._buffer.find(_STATUS, begin, end)
        status = self._buffer[at + 8] | self._buffer[at + 9] << 8 if at >= 0 else None
        if status in _PENDING:
            self._answers += 1
        elif status == 0:
            self._transport.write(wire.RELEASE)
        else:
            self._fail(f"status {status}")


@dataclass
class Load:
    """So many associations at once, one after the other, for so many seconds; the last ones are waited for."""

    port: int
    find: bytes
    called: str = "SUNVIEW"
    calling: str = "CT01"
    at_once: int = 16
    seconds: float = 4.0
    longest: float = 120.0

    def run(self) -> Result:
        return asyncio.run(self._run())

    async def _run(self) -> Result:
        request = wire.associate_request(
            (wire.WORKLIST, [wire.IMPLICIT]), calling=self.calling, called=self.called, longest_pdu=131072
        )
        result, began = Result(), time.perf_counter()
        self._until = began + self.seconds
        await asyncio.gather(*(self._scanner(request, result) for _ in range(self.at_once)))
        result.seconds = time.perf_counter() - began
        return result

    async def _scanner(self, request: bytes, result: Result) -> None:
        while (began := time.perf_counter()) < self._until:
            try:
                result.answers[await asyncio.wait_for(self._association(request), self.longest)] += 1
                result.waits.append(time.perf_counter() - began)
            except OSError as error:
                result.failures[str(error) or type(error).__name__] += 1

    async def _association(self, request: bytes) -> int:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        await loop.create_connection(lambda: Scanner(request, self.find, done), "127.0.0.1", self.port)
        return await done
