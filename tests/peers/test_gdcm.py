"""gdcmscu plays the scanner: C-ECHO and C-STORE.

Debian 12's 3.0.21 throws an exception after the release that it asked for, whoever the peer is, DCMTK's too; and its
--worklist asks the Study Root model. So its exit status says nothing, and what it says it received does.
"""

import re
import subprocess

import pytest

from ris.models import Instance
from tests.peers.conftest import SCANNER, images

pytestmark = pytest.mark.django_db(transaction=True)


def gdcmscu(port: int, *arguments: str, calling: str = SCANNER) -> list[int]:
    """The types of the PDUs that it received (PS3.8 9.3)."""
    command = ["gdcmscu", *arguments, "--aetitle", calling, "--call", "SUNVIEW", "127.0.0.1", str(port), "--debug"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return [int(kind) for kind in re.findall(rb"PDU code: (\d)", done.stdout + done.stderr)]


def test_echo(ports):
    """Both doors accept, answer and release; who is unknown is rejected."""
    for port in ports:
        assert gdcmscu(port, "--echo") == [2, 4, 6]
        assert gdcmscu(port, "--echo", calling="NOBODY")[0] == 3


def test_store(ports, tmp_path, exam):
    """Its images arrive as they were made."""
    for file in images(exam, 2, tmp_path):
        assert gdcmscu(ports[1], "--store", "-i", file)[:2] == [2, 4]
    assert {instance.sop_instance_uid for instance in Instance.objects.all()} == {
        image.SOPInstanceUID for image in exam.images
    }
