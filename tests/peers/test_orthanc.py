"""Orthanc plays the scanner by its REST API: C-ECHO, worklist C-FIND and C-STORE, as Debian 12's 1.10.1 has them."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ris.models import Instance
from tests import making
from tests.peers.conftest import SCANNER, images
from tests.postgres import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Orthanc:
    """A server in a folder of its own that knows our two ports as ``worklist`` and ``store``."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self._url = f"http://127.0.0.1:{(http := free_port())}"
        peers = {name: ["SUNVIEW", "127.0.0.1", port] for name, port in zip(("worklist", "store"), ports, strict=True)}
        settings = {
            "DicomAet": SCANNER,
            "DicomModalities": peers,
            "DicomServerEnabled": False,
            "HttpPort": http,
            "AuthenticationEnabled": False,
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
        assert Path(program).exists(), "Orthanc is needed: tests/programs installs it"
        self._process = subprocess.Popen(
            [program, str(folder / "settings.json")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_until(self._answers, seconds=60)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("/system"))
        except urllib.error.URLError:
            return False

    def ask(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self._url + path, body), timeout=30) as answer:
            return json.load(answer)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def orthanc(ports, tmp_path) -> Iterator[Orthanc]:
    folder = tmp_path / "orthanc"
    folder.mkdir()
    running = Orthanc(folder, ports)
    yield running
    running.end()


def test_orthanc(orthanc, tmp_path, exam):
    """C-ECHO to both, a worklist query with its answer, and images that arrive."""
    making.placed("B", accession_number="ACC2")
    for name in ("worklist", "store"):
        assert orthanc.ask(f"/modalities/{name}/echo", b"{}") == {}
    step = {"ScheduledStationAETitle": SCANNER, "Modality": ""}
    keys = {"PatientName": "", "AccessionNumber": "", "ScheduledProcedureStepSequence": [step]}
    (entry,) = orthanc.ask("/modalities/worklist/find-worklist", json.dumps(keys).encode())
    assert entry["AccessionNumber"] == "ACC2"
    assert entry["ScheduledProcedureStepSequence"][0]["Modality"] == "CT"
    kept = [orthanc.ask("/instances", Path(file).read_bytes())["ID"] for file in images(exam, 2, tmp_path)]
    assert orthanc.ask("/modalities/store/store", json.dumps(kept).encode())["FailedInstancesCount"] == 0
    assert Instance.objects.count() == 2
