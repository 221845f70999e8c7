"""Both doors in this process for the peers, an exam to perform, and how a peer's program is run."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from tests import making
from worklist import synthetic
from worklist.emulator import Modality, PerformedExam
from worklist.scp import store_door, worklist_door

SCANNER = "CT1"


@pytest.fixture
def ports(transactional_db, site, settings, tmp_path) -> Iterator[tuple[int, int]]:
    """Of the worklist and of the store."""
    settings.DATA_DIR = tmp_path / "data"
    doors = [worklist_door(("127.0.0.1", 0)).start(), store_door(("127.0.0.1", 0)).start()]
    yield doors[0].port, doors[1].port
    for door in doors:
        door.stop(seconds=1)


@pytest.fixture
def scanner(ports) -> Modality:
    """Our own, for what a peer cannot do."""
    return Modality(SCANNER, ("127.0.0.1", ports[0]), ("127.0.0.1", ports[1]))


@pytest.fixture
def exam(scanner) -> PerformedExam:
    """An exam of CT1 that is in progress, without images yet."""
    making.placed("A", accession_number="ACC1")
    return scanner.start(scanner.find(ScheduledStationAETitle=SCANNER)[0])


def images(exam: PerformedExam, count: int, folder: Path) -> list[str]:
    """Files of so many new images of the exam."""
    made = [synthetic.image(exam, len(exam.images) + number) for number in range(1, count + 1)]
    exam.images += made
    return [str(_written(image, folder)) for image in made]


def _written(image: Dataset, folder: Path) -> Path:
    path = folder / f"{image.SOPInstanceUID}.dcm"
    dcmwrite(path, image, enforce_file_format=True)
    return path


def run(program: str, *arguments: str, seconds: float = 60) -> str:
    """All that the program says; AssertionError unless it is there and ends with success."""
    path = shutil.which(program)
    assert path, f"{program} is needed: tests/programs installs it"
    done = subprocess.run([path, *arguments], capture_output=True, timeout=seconds, check=False)
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, output
    return output
