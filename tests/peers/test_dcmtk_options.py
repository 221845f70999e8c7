"""DCMTK with its options of the upper layer: transfer syntaxes, PDU sizes, extended negotiation, C-CANCEL."""

import re
from pathlib import Path

import pytest

from ris.models import Instance
from tests import making
from tests.peers.conftest import images, run
from tests.peers.test_dcmtk import RETURN, STEP, dcmtk, findscu, values

pytestmark = pytest.mark.django_db(transaction=True)

FIND_OPTIONS = {
    "implicit only": ("-xi",),
    "explicit little endian first": ("-xe",),
    "big endian first": ("-xb",),
    "deflated first": ("-xd",),
    "all uncompressed": ("-x=",),
    "smallest PDU": ("-pdu", "4096"),
    "largest PDU": ("-pdu", "131072"),
    "repeated on one association": ("--repeat", "3"),
}


@pytest.mark.parametrize("options", FIND_OPTIONS.values(), ids=FIND_OPTIONS)
def test_findscu(ports, options):
    """The same answers whatever is negotiated."""
    for number in range(12):
        making.placed(f"N{number}", accession_number=f"ACC{number:02}")
    found = values(findscu(ports[0], *RETURN, STEP + "ScheduledStationAETitle=CT1", options=options), "0008,0050")
    assert sorted(set(found)) == [f"ACC{number:02}" for number in range(12)]


def test_findscu_cancels(ports):
    """C-CANCEL after the first of many answers: the query ends with FE00H, or with success if all were on their way."""
    for number in range(60):
        making.placed(f"N{number}", accession_number=f"ACC{number:02}")
    output = findscu(ports[0], *RETURN, options=("--cancel", "1", "-pdu", "4096"))
    (final,) = re.findall(r"Received Final Find Response \((.*?)\)", output)
    if final != "Success":
        assert "MatchingTerminatedDueToCancelRequest" in final
    assert (len(values(output, "0008,0050")) == 60) == (final == "Success")


STORE_OPTIONS = {
    "implicit only": ("-xi",),
    "all uncompressed": ("-x=",),
    "with JPEG lossless": ("-xs",),
    "with JPEG 2000": ("-xv",),
    "with RLE": ("-xr",),
    "syntaxes in one context": ("-xs", "+C"),
    "smallest PDU": ("-pdu", "4096"),
    "largest PDU": ("-pdu", "131072"),
    "only what is needed": ("-R",),
}


@pytest.mark.parametrize("options", STORE_OPTIONS.values(), ids=STORE_OPTIONS)
def test_storescu(ports, exam, tmp_path, options):
    """Two images, whatever is negotiated."""
    files = images(exam, 2, tmp_path)
    output = dcmtk("storescu", ports[1], "-v", *options, *files)
    assert output.count("Received Store Response (Success)") == 2
    assert Instance.objects.count() == 2


ENCODERS = {
    "RLE": ("dcmcrle", "-xr", "1.2.840.10008.1.2.5"),
    "JPEG lossless": ("dcmcjpeg", "-xs", "1.2.840.10008.1.2.4.70"),
    "JPEG-LS": ("dcmcjpls", "-xt", "1.2.840.10008.1.2.4.80"),
}


@pytest.mark.parametrize(("encoder", "option", "syntax"), ENCODERS.values(), ids=ENCODERS)
def test_storescu_of_compressed(ports, exam, tmp_path, encoder, option, syntax):
    """A compressed image is kept as it comes."""
    (plain,) = images(exam, 1, tmp_path)
    run(encoder, plain, str(tmp_path / "compressed.dcm"))
    dcmtk("storescu", ports[1], "-v", option, "-R", str(tmp_path / "compressed.dcm"))
    kept = Instance.objects.get()
    assert kept.transfer_syntax_uid == syntax
    assert syntax.encode() in Path(tmp_path / "data" / kept.path).read_bytes()[:1024]
