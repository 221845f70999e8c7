"""How fast worklists are answered: `make bench-mwl`. One run on this machine, beside the peers and the floor.

A throw-away PostgreSQL that really writes (fsync) with a million past exams, the real worklist process, and sixteen
scanners at once. q1: a station's day, a dozen answers; q2: one accession number; q3: everybody's day.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

import django
import psycopg

from benchmarks import worklists
from benchmarks.entries import entries, questions
from benchmarks.load import Load, Result
from benchmarks.worklists import Running
from tests import postgres, wire

#: Issue 4, item 7.
ASSOCIATIONS, P99_MS, ANSWERS, SPREAD = 1_000, 60, 100_000, 0.2
#: Seconds each server is asked each question.
SECONDS, SLOW = 4.0, ("DCMTK wlmscpfs", "Orthanc")
OURS = "Sunview"


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@dataclass
class Bench:
    """The run: what is asked for, where things are, and what was measured: (size, server, question) -> result."""

    sizes: list[int]
    past: int
    seconds: float
    peers_up_to: int
    options: list[str]
    folder: Path
    env: dict[str, str]
    today: date
    results: dict[tuple[int, str, str], Result] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def fill(self) -> Iterator[int]:
        """Past exams, then each size on top of the one before; yields it once it is there."""
        from benchmarks import filling

        stations, filled = filling.stations(), 0
        with psycopg.connect(self.env["DATABASE_URL"]) as database:
            began = time.monotonic()
            filling.past(database, self.past, list(stations.values()))
            tell(f"{self.past:,} past exams in {time.monotonic() - began:.0f} s")
            for size in self.sizes:
                new = list(islice(entries(size, self.today), filled, None))
                filling.scheduled(database, new, stations)
                if size <= self.peers_up_to:
                    worklists.write_files(self.folder, new)
                filled = size
                yield size

    def servers(self, size: int) -> Iterator[tuple[str, "contextlib.AbstractContextManager[Running]", tuple[str, ...]]]:
        """Name, the running server's port, and what it is asked."""
        every = ("q1", "q2", "q3")
        yield OURS, worklists.sunview(self.env, *self.options), every
        for key in every:
            yield "floor", worklists.floor(size, self.today, key), (key,)
        if size <= self.peers_up_to:
            yield "plain pynetdicom", worklists.pynetdicom(size, self.today), every
            yield SLOW[0], worklists.dcmtk(self.folder), every
            yield SLOW[1], worklists.orthanc(self.folder), every

    def run(self) -> None:
        for size in self.fill():
            asked = questions(size, self.today)
            for name, running, keys in self.servers(size):
                with running as server:
                    for key in keys:
                        identifier, expected = asked[key]
                        self.measure((size, name, key), server, wire.find_request(wire.data_set(identifier)), expected)

    def measure(self, what: tuple[int, str, str], server: Running, find: bytes, expected: int) -> None:
        """One short run that is not counted, to warm up, and the one that is."""
        if what[1] not in SLOW:
            Load(server.port, find, seconds=min(1.0, self.seconds / 4)).run()
        worked = server.cpu()
        result = self.results[what] = Load(server.port, find, seconds=self.seconds).run()
        result.cpu = server.cpu() - worked
        if result.failures or set(result.answers) != {expected}:
            self.wrong.append(f"{what}: expected {expected}, got {dict(result.answers)}, {dict(result.failures)}")
        tell(
            f"{what[0]:>6} {what[1]:<18}{what[2]} {result.associations:9.1f} associations/s {result.answered:11.0f} "
            f"answers/s   p50 {result.percentile(50):8.1f} ms   p99 {result.percentile(99):8.1f} ms   "
            f"{result.milliseconds:8.2f} ms of CPU each"
        )

    def report(self) -> None:
        names = list(dict.fromkeys(name for _size, name, _key in self.results))
        heads = [f"{size:,} {key}" for size in self.sizes for key in ("q1", "q2", "q3")]
        tell("\n| associations/s (q3: answers/s); times ours | " + " | ".join(heads) + " |")
        tell("|---" * (len(heads) + 1) + "|")
        for name in names:
            tell(f"| {name} | " + " | ".join(self._cell(name, *head.split(" ")) for head in heads) + " |")
        tell("")
        for line in self._targets():
            tell(line)
        for line in self.wrong:
            tell(f"WRONG {line}")

    def _cell(self, name: str, size: str, key: str) -> str:
        number = int(size.replace(",", ""))
        result = self.results.get((number, name, key))
        if not result:
            return ""
        rate, ours = (_rate(found, key) for found in (result, self.results[number, OURS, key]))
        return f"{rate:,.0f}" if name == OURS else f"{rate:,.1f} ({ours / rate if rate else 0:,.1f}x)"

    def _targets(self) -> Iterator[str]:
        for size in self.sizes:
            first, third = self.results[size, OURS, "q1"], self.results[size, OURS, "q3"]
            yield (
                f"{size:>6}: q1 {first.associations:,.0f}/s (target {ASSOCIATIONS:,}), "
                f"p99 {first.percentile(99):.0f} ms (target {P99_MS}), "
                f"q3 {third.answered:,.0f} answers/s (target {ANSWERS:,})"
            )
        least, most = self.sizes[0], self.sizes[-1]
        for key in ("q1", "q2"):
            change = self.results[most, OURS, key].associations / self.results[least, OURS, key].associations - 1
            yield f"{key} from {least:,} to {most:,} entries: {change:+.0%} (target within {SPREAD:.0%})"


def _rate(result: Result, key: str) -> float:
    return result.answered if key == "q3" else result.associations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 entries, 20,000 past exams, 2 s each")
    parser.add_argument("--ours", action="store_true", help="without the peers, only the floor")
    parser.add_argument("--peers-up-to", type=int, default=10_000, help="no peers beyond so many entries")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--options", default="", help="of worklist_scp, such as '--processes 2'")
    asked = parser.parse_args()
    tell(f"{os.cpu_count()} cores, shared by scanners, server and PostgreSQL")
    with tempfile.TemporaryDirectory() as folder, postgres.server(fsync=True) as url:
        os.environ |= {"DATABASE_URL": url, "SUNVIEW_DATA_DIR": folder, "SUNVIEW_TIME_ZONE": "UTC"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ris.settings")
        for command in (("migrate", "-v0"), ("loaddata", "-v0", "sunview")):
            subprocess.run([sys.executable, str(worklists.MANAGE), *command], check=True)
        django.setup()
        files = Path(folder) / "files"
        files.mkdir()
        bench = Bench(
            sizes=[1_000, 10_000] if asked.quick else [1_000, 10_000, 50_000],
            past=20_000 if asked.quick else 1_000_000,
            seconds=min(asked.seconds, 2.0) if asked.quick else asked.seconds,
            peers_up_to=0 if asked.ours else asked.peers_up_to,
            options=asked.options.split(),
            folder=files,
            env=dict(os.environ),
            today=datetime.now(UTC).date(),
        )
        bench.run()
        bench.report()
    sys.exit(bool(bench.wrong))


if __name__ == "__main__":
    main()
