"""odil plays the scanner: C-ECHO, worklist and MPPS by a stack in C++."""

import json
from pathlib import Path
from typing import Any

import pytest

from ris.models import PerformedProcedureStep
from tests import making
from tests.peers.conftest import SCANNER, run
from worklist.emulator import PerformedExam, begun, ended

pytestmark = pytest.mark.django_db(transaction=True)
#: The system's: a Debian package of a compiled module belongs to it.
PYTHON = "/usr/bin/python3"
EMPTY = {"00080050": {"vr": "SH"}, "00100010": {"vr": "PN"}, "0020000D": {"vr": "UI"}}


def scan(action: str, port: int, facts: dict[str, Any] | None = None) -> Any:
    output = run(PYTHON, str(Path(__file__).parent / "odil_scanner.py"), action, str(port), json.dumps(facts or {}))
    return json.loads(output)


def test_echo(ports):
    """C-ECHO to both ports."""
    for port in ports:
        assert scan("echo", port) == []


def test_find(ports):
    """The worklist by station."""
    making.placed("A", accession_number="ACC1")
    step = {"00400001": {"vr": "AE", "Value": [SCANNER]}, "00400002": {"vr": "DA"}, "00080060": {"vr": "CS"}}
    (answer,) = scan("find", ports[0], EMPTY | {"00400100": {"vr": "SQ", "Value": [step]}})
    assert answer["00080050"]["Value"] == ["ACC1"]
    assert answer["00100010"]["Value"][0]["Alphabetic"] == "Hopper^Grace"
    assert answer["00400100"]["Value"][0]["00080060"]["Value"] == ["CT"]


def test_mpps(ports, scanner):
    """N-CREATE and N-SET: the exam is in progress, then discontinued; the same UID again is refused with 0111H."""
    making.placed("A", accession_number="ACC1")
    entry = scanner.find(ScheduledStationAETitle=SCANNER)[0]
    created = {"uid": "2.25.77", "attributes": begun(SCANNER, "CT", entry).to_json_dict()}
    assert [scan("create", ports[0], created) for _ in range(2)] == [0, 0x0111]
    exam = PerformedExam("2.25.77", entry, "CT")
    ended_early = {"uid": exam.uid, "attributes": ended(exam, "DISCONTINUED").to_json_dict()}
    assert scan("set", ports[0], ended_early) == 0
    assert PerformedProcedureStep.objects.get().status == "DISCONTINUED"
