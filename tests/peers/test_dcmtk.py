"""DCMTK plays the scanner: echoscu, findscu -W and storescu against our doors. It has no MPPS SCU; ours stands in."""

import re
from dataclasses import replace

import pytest

from ris.models import Instance, RequestedProcedure, Station
from tests import making
from tests.peers.conftest import SCANNER, images, run

pytestmark = pytest.mark.django_db(transaction=True)


def dcmtk(program: str, port: int, *arguments: str, calling: str = SCANNER) -> str:
    return run(program, "-aet", calling, "-aec", "SUNVIEW", "127.0.0.1", str(port), *arguments)


def findscu(port: int, *keys: str, calling: str = SCANNER, options: tuple[str, ...] = ()) -> str:
    asked = [part for key in keys for part in ("-k", key)]
    return dcmtk("findscu", port, "-W", "-v", *options, *asked, calling=calling)


def values(output: str, tag: str) -> list[str]:
    """The values of a tag in the answers that findscu printed; the request is printed first and left out."""
    answers = output.split("Find Response:", 1)[-1] if "Find Response:" in output else ""
    return re.findall(rf"\({tag}\) \w\w \[(.*?)\s*\]", answers)


STEP = "(0040,0100)[0]."
RETURN = ("PatientName", "AccessionNumber", STEP + "ScheduledProcedureStepStartDate", STEP + "Modality")


def test_echoscu(ports):
    """Both doors answer C-ECHO; an unknown AE title is rejected by both."""
    for port in ports:
        assert "Received Echo Response (Success)" in dcmtk("echoscu", port, "-v")
        with pytest.raises(AssertionError, match="Calling AE Title Not Recognized"):
            dcmtk("echoscu", port, "-v", calling="NOBODY")


def test_findscu_finds_what_the_keys_say(ports):
    """Station, date range, wildcard and accession number, each alone."""
    making.placed("A", accession_number="ACC1")
    other = replace(making.GRACE, identifier=making.Identifier("P2", "SUNVIEW"), patient_name="Lovelace^Ada")
    making.placed("B", making.step_request(modality="MR"), patient=other, accession_number="ACC2")
    queries = {
        (*RETURN,): ["ACC1", "ACC2"],
        (*RETURN, STEP + "ScheduledStationAETitle=MR1"): ["ACC2"],
        (*RETURN, STEP + "ScheduledProcedureStepStartDate=20261122-20261124"): ["ACC1", "ACC2"],
        (*RETURN, STEP + "ScheduledProcedureStepStartDate=20261124-"): [],
        (*RETURN, "PatientName=love*"): ["ACC2"],
        (*RETURN, "AccessionNumber=ACC1"): ["ACC1"],
        (*RETURN, STEP + "Modality=CT", "PatientID=P100"): ["ACC1"],
    }
    for keys, expected in queries.items():
        assert sorted(values(findscu(ports[0], *keys), "0008,0050")) == expected, keys


def test_findscu_reads_names_in_utf8(ports):
    """The answer says ISO_IR 192 and carries the name; the query may be in UTF-8 too."""
    making.placed("A", patient=replace(making.GRACE, patient_name="Müller^Jürgen"))
    output = findscu(ports[0], *RETURN, "SpecificCharacterSet=ISO_IR 192", "PatientName=MÜLLER*")
    assert values(output, "0010,0010") == ["Müller^Jürgen"]
    assert values(output, "0008,0005") == ["ISO_IR 192"]


def test_findscu_reads_names_in_latin_1(ports, tmp_path):
    """A station set to ISO_IR 100 gets Latin-1."""
    Station.objects.filter(ae_title="CT1").update(character_set="ISO_IR 100")
    making.placed("A", patient=replace(making.GRACE, patient_name="Müller^Jürgen"))
    findscu(ports[0], *RETURN, options=("-X", "-od", str(tmp_path)))
    (answer,) = tmp_path.glob("rsp*.dcm")
    assert "Müller^Jürgen".encode("latin-1") in answer.read_bytes()
    assert b"ISO_IR 100" in answer.read_bytes()


def test_findscu_is_told_what_is_wrong(ports):
    """A date that is none is refused with A900H."""
    with pytest.raises(AssertionError, match="DataSetDoesNotMatchSOPClass"):
        output = findscu(ports[0], *RETURN, STEP + "ScheduledProcedureStepStartDate=20251301")
        raise AssertionError(output)


def test_storescu_and_our_mpps_complete_an_exam(ports, scanner, exam, tmp_path):
    """DCMTK sends the images of an exam that our modality reports: the exam is IMAGES COMPLETE."""
    files = images(exam, 3, tmp_path)
    assert dcmtk("storescu", ports[1], "-v", *files).count("Received Store Response (Success)") == 3
    scanner.complete(exam)
    assert RequestedProcedure.objects.get().status == "IMAGES COMPLETE"
    assert Instance.objects.count() == 3
    dcmtk("storescu", ports[1], "-v", *files)
    assert Instance.objects.count() == 3
