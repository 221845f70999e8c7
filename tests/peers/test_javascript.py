"""dcmjs-dimse plays the scanner: a stack in JavaScript that shares nothing with ours."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from ris.models import Instance, PerformedProcedureStep
from tests import making
from tests.peers.conftest import SCANNER, images, run

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(__file__).parent / "javascript"
STEP = "ScheduledProcedureStepSequence"
EMPTY_AT_CREATE = (
    "PerformedStationName",
    "PerformedLocation",
    "StudyID",
    "PerformedProcedureStepDescription",
    "PerformedProcedureTypeDescription",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
)


def scan(port: int, *requests: dict[str, Any], calling: str = SCANNER) -> list[dict[str, Any]]:
    """What came of each request, in their order."""
    asked = json.dumps({"port": port, "calling": calling, "requests": requests})
    return [json.loads(line) for line in run("node", str(FOLDER / "scanner.js"), asked).splitlines()]


def test_echo(ports):
    """C-ECHO to both ports; an AE title that is not ours to serve is rejected."""
    for port in ports:
        assert scan(port, {"echo": {}})[0]["statuses"] == [0]
        with pytest.raises(AssertionError, match="associationRejected"):
            scan(port, {"echo": {}}, calling="NOBODY")


def test_find(ports):
    """The worklist by station, with a nested sequence; nothing for a number that nobody has.

    dcmjs asks unasked for Study Date and others that no worklist has, hence FF01H; and for Pregnancy Status 0, as it
    cannot write an empty US.
    """
    making.placed("A", accession_number="ACC1")
    keys = {"AccessionNumber": "", "PatientName": "", STEP: [{"ScheduledStationAETitle": SCANNER, "Modality": ""}]}
    found, nothing = scan(ports[0], {"find": keys}, {"find": keys | {"AccessionNumber": "NOSUCH"}})
    assert found["statuses"] == [0xFF01, 0]
    assert found["datasets"][0]["AccessionNumber"] == "ACC1"
    assert found["datasets"][0][STEP][0]["Modality"] == "CT"
    assert nothing == {"statuses": [0], "datasets": []}


def test_an_exam_from_worklist_to_images(ports, tmp_path, exam):
    """N-CREATE, N-SET and C-STORE: the exam is complete; the same UID again is refused with 0111H."""
    uid, step = generate_uid(prefix=None), exam.entry[STEP].value[0]
    scheduled = {
        "StudyInstanceUID": exam.entry.StudyInstanceUID,
        "AccessionNumber": "ACC1",
        "RequestedProcedureID": exam.entry.RequestedProcedureID,
        "RequestedProcedureDescription": "",
        "ScheduledProcedureStepID": step.ScheduledProcedureStepID,
        "ScheduledProcedureStepDescription": "",
    }
    begun = dict.fromkeys(EMPTY_AT_CREATE, "") | {
        "ScheduledStepAttributesSequence": [scheduled],
        "PatientName": "Hopper^Grace",
        "PatientID": "P100",
        "PatientBirthDate": "19561209",
        "PatientSex": "F",
        "PerformedProcedureStepID": "PPS1",
        "PerformedStationAETitle": SCANNER,
        "Modality": "CT",
        "PerformedProcedureStepStartDate": "20261123",
        "PerformedProcedureStepStartTime": "090000",
        "PerformedProcedureStepStatus": "IN PROGRESS",
    }
    first, again = scan(ports[0], *[{"create": {"uid": uid, "attributes": begun}}] * 2)
    assert (first["statuses"], again["statuses"]) == ([0], [0x0111])
    files = images(exam, 2, tmp_path)
    assert [answer["statuses"] for answer in scan(ports[1], *({"store": {"path": file}} for file in files))] == [
        [0]
    ] * 2
    series = {
        "ProtocolName": "CT standard",
        "SeriesInstanceUID": exam.series_instance_uid,
        "ReferencedImageSequence": [
            {"ReferencedSOPClassUID": image.SOPClassUID, "ReferencedSOPInstanceUID": image.SOPInstanceUID}
            for image in exam.images
        ],
    }
    ended = {
        "PerformedProcedureStepStatus": "COMPLETED",
        "PerformedProcedureStepEndDate": "20261123",
        "PerformedProcedureStepEndTime": "091000",
        "PerformedSeriesSequence": [series],
    }
    assert scan(ports[0], {"set": {"uid": uid, "attributes": ended}})[0]["statuses"] == [0]
    assert PerformedProcedureStep.objects.get(sop_instance_uid=uid).status == "COMPLETED"
    assert Instance.objects.count() == 2
