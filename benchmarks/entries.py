"""The worklist of the benchmark: the same entries for every server, always the same for a day and a number.

Forty stations, six modalities, fourteen days from today; the probe's station has a dozen entries today however many
there are in all, so that only the store grows and not the answer.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice

from tests.wire import Element

ROOT = "1.2.826.0.1.3680043.10.9999"
MODALITIES = ("CT", "MR", "US", "DX", "MG", "XA")
STATIONS = [(f"{MODALITIES[number % 6]}{number // 6 + 1:02d}", MODALITIES[number % 6]) for number in range(40)]
PROBE, DOZEN, DAYS = STATIONS[0][0], 12, 14
EXAMS = ("Abdomen w contrast", "Head wo contrast", "Chest high resolution", "Angio coronary")
FAMILIES = ("SMITH", "JOHNSON", "WILLIAMS", "BROWN", "JONES", "GARCIA", "MILLER", "DAVIS", "LOPEZ", "WILSON", "MOORE")
GIVEN = ("JAMES", "MARY", "ROBERT", "PATRICIA", "JOHN", "JENNIFER", "MICHAEL", "LINDA", "DAVID", "ELIZABETH", "RICHARD")
NAMES_BEYOND_ASCII = ("Müller^Jürgen", "Ångström^Åsa", "Peña^José", "Παπαδόπουλος^Γιώργος", "Yamada^Tarou=山田^太郎")


@dataclass(frozen=True)
class Entry:
    number: int
    station: str
    modality: str
    day: date
    hour: int
    minute: int
    patient_name: str
    birth_date: date
    sex: str
    weight: int
    exam: str
    referring: str
    requesting: str
    performing: str
    priority: str

    @property
    def accession(self) -> str:
        return f"A{self.number:09d}"

    @property
    def description(self) -> str:
        return f"{self.modality} {self.exam}"

    @property
    def code(self) -> str:
        return f"{self.modality}{EXAMS.index(self.exam):03d}"

    @property
    def study(self) -> str:
        return f"{ROOT}.1.{self.number}"


def entries(count: int, today: date) -> Iterator[Entry]:
    """The first ``count``; more of them begin with the same."""
    return islice(_all(today), count)


def _all(today: date) -> Iterator[Entry]:
    chance, number = random.Random(1), 0
    while True:
        station, modality = STATIONS[0] if number < DOZEN else chance.choice(STATIONS)
        day = today + timedelta(days=0 if number < DOZEN else chance.randrange(DAYS))
        if number >= DOZEN and (station, day) == (PROBE, today):
            station = STATIONS[6 * chance.randrange(1, 6)][0]  # another CT
        yield _entry(number, station, modality, day, chance)
        number += 1


def _entry(number: int, station: str, modality: str, day: date, chance: random.Random) -> Entry:
    def name() -> str:
        return f"{chance.choice(FAMILIES)}^{chance.choice(GIVEN)}"

    beyond = chance.random() < 0.02
    return Entry(
        number=number,
        station=station,
        modality=modality,
        day=day,
        hour=chance.randrange(7, 20),
        minute=chance.choice((0, 10, 15, 20, 30, 40, 45, 50)),
        patient_name=chance.choice(NAMES_BEYOND_ASCII) if beyond else f"{name()}^{chr(65 + number % 26)}",
        birth_date=date(chance.randrange(1930, 2022), chance.randrange(1, 13), chance.randrange(1, 29)),
        sex=chance.choice("MFO"),
        weight=chance.randrange(40, 120),
        exam=chance.choice(EXAMS),
        referring=name(),
        requesting=name(),
        performing=name(),
        priority=chance.choice(("ROUTINE", "ROUTINE", "ROUTINE", "HIGH", "STAT")),
    )


def answer(entry: Entry) -> list[Element]:
    """The entry as the peers hand it out, in the order of its tags."""
    code: list[list[Element]] = [
        [(0x00080100, "SH", entry.code), (0x00080102, "SH", "99LOCAL"), (0x00080104, "LO", entry.description)]
    ]
    step: list[Element] = [
        (0x00080060, "CS", entry.modality),
        (0x00400001, "AE", entry.station),
        (0x00400002, "DA", f"{entry.day:%Y%m%d}"),
        (0x00400003, "TM", f"{entry.hour:02d}{entry.minute:02d}00"),
        (0x00400006, "PN", entry.performing),
        (0x00400007, "LO", entry.description),
        (0x00400008, "SQ", code),
        (0x00400009, "SH", f"SPS{entry.number:07d}"),
        (0x00400010, "SH", f"{entry.station}_ROOM"),
        (0x00400011, "SH", f"ROOM {entry.station}"),
        (0x00400020, "CS", "SCHEDULED"),
    ]
    return [
        (0x00080005, "CS", "ISO_IR 192"),
        (0x00080050, "SH", entry.accession),
        (0x00080090, "PN", entry.referring),
        (0x00100010, "PN", entry.patient_name),
        (0x00100020, "LO", f"PID{entry.number:07d}"),
        (0x00100021, "LO", "HOSP1"),
        (0x00100030, "DA", f"{entry.birth_date:%Y%m%d}"),
        (0x00100040, "CS", entry.sex),
        (0x00101030, "DS", str(entry.weight)),
        (0x00102000, "LO", ""),
        (0x00102110, "LO", ""),
        (0x001021C0, "US", 4),
        (0x0020000D, "UI", entry.study),
        (0x00321032, "PN", entry.requesting),
        (0x00321060, "LO", entry.description),
        (0x00321064, "SQ", code),
        (0x00380010, "LO", f"ADM{entry.number:08d}"),
        (0x00380300, "LO", f"WARD {entry.number % 30}"),
        (0x00400100, "SQ", [step]),
        (0x00401001, "SH", f"RP{entry.number:07d}"),
        (0x00401003, "SH", entry.priority),
    ]


def question(**keys: str) -> list[Element]:
    """An identifier that asks for all that ``answer`` has; ``keys`` by the tag's eight digits: ``_00400001="CT01"``."""
    wanted = {0x00080005: "ISO_IR 192"} | {int(tag[1:], 16): value for tag, value in keys.items()}

    def asked(elements: list[Element]) -> list[Element]:
        return [
            (tag, vr, [asked(item) for item in value] if isinstance(value, list) else wanted.get(tag, ""))
            for tag, vr, value in elements
        ]

    return asked(answer(next(entries(1, date(2026, 1, 1)))))


def questions(count: int, today: date) -> dict[str, tuple[list[Element], int]]:
    """The three questions with the number of answers each must get at ``count`` entries."""
    listed = list(entries(count, today))
    day = f"{today:%Y%m%d}"
    middle = listed[count // 2]
    return {
        "q1": (question(_00400001=PROBE, _00400002=day, _00080060="CT"), DOZEN),
        "q2": (question(_00080050=middle.accession), 1),
        "q3": (question(_00400002=day), sum(entry.day == today for entry in listed)),
    }
