"""The commands: two processes that end cleanly, a scanner to play with, an explanation."""

import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ris.models import Department, RequestedProcedure, ScheduledProcedureStep, Station, StationAlias
from ris.services import scheduling
from tests import making
from tests.postgres import free_port
from tests.waiting import wait_until
from worklist import activity, activity_rows, door, stations
from worklist.models import WorklistQuery

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
pytestmark = pytest.mark.django_db(transaction=True)


def told(*arguments: str, **options) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def started(variable: str, *command: str) -> tuple[subprocess.Popen, int]:
    """The command as a process of its own on the tests' database, and the port at which it listens."""
    port = free_port()
    name = connection.settings_dict["NAME"]
    server = os.environ.get("DATABASE_URL", "").rpartition("/")[0]
    url = f"sqlite:///{name}" if connection.vendor == "sqlite" else f"{server}/{name}"
    env = {**os.environ, variable: f"127.0.0.1:{port}", "DATABASE_URL": url}
    return subprocess.Popen([sys.executable, str(MANAGE), *command], env=env, stderr=subprocess.PIPE, text=True), port


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_several_processes_share_the_port(site):
    """One that is killed is started again, the others serve meanwhile; all end with their parent, cleanly or not."""
    process, port = started("SUNVIEW_DICOM", "worklist_scp", "--processes=2")
    try:
        wait_until(lambda: door.probe(("127.0.0.1", port)), seconds=30)
        first, second = wait_until(lambda: len(found := children(process.pid)) == 2 and found)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: is_gone(first))
        wait_until(lambda: door.probe(("127.0.0.1", port)), seconds=30)
        third = wait_until(lambda: next((pid for pid in children(process.pid) if pid not in (first, second)), None))
        process.send_signal(signal.SIGTERM)
        _out, log = process.communicate(timeout=15)
        assert process.returncode == 0, log
        assert "Traceback" not in log
        assert is_gone(second) and is_gone(third)
    finally:
        process.kill()


def test_no_worker_outlives_its_parent(site):
    """Not even one that was killed: no port stays taken."""
    process, port = started("SUNVIEW_DICOM", "worklist_scp", "--processes=2")
    try:
        wait_until(lambda: door.probe(("127.0.0.1", port)), seconds=30)
        workers = children(process.pid)
    finally:
        process.kill()
    process.communicate(timeout=15)
    wait_until(lambda: all(is_gone(worker) for worker in workers))


@pytest.mark.parametrize(("command", "variable"), [("worklist_scp", "SUNVIEW_DICOM"), ("store_scp", "SUNVIEW_STORE")])
def test_a_process_serves_and_ends_on_sigterm(site, command, variable):
    """The real command answers C-ECHO and ends with exit status 0 within seconds of SIGTERM."""
    process, port = started(variable, command)
    try:
        wait_until(lambda: door.probe(("127.0.0.1", port)), seconds=30)
        process.send_signal(signal.SIGTERM)
        _out, log = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert "Traceback" not in log


def test_the_emulator_performs_an_exam(scanner):
    """``emulate_modality perform`` goes from worklist to images complete and says each step."""
    order = making.placed()
    ports = {"port": scanner.worklist_address[1], "store_port": scanner.store_address[1]}
    assert told("emulate_modality", "echo", "--ae-title=CT1", **ports).count("0000H") == 2
    assert f"{order.accession_number} CT 20261123" in told("emulate_modality", "find", "--ae-title=CT1", **ports)
    perform = ("emulate_modality", "perform", "--ae-title=CT1", "--accession", order.accession_number)
    assert "DISCONTINUED -> 0000H" in told(*perform, "--discontinue", **ports)
    output = told(*perform, "--images=3", **ports)
    for said in ("1 entries", "N-CREATE IN PROGRESS -> 0000H", "3 images -> 0000H", "N-SET COMPLETED -> 0000H"):
        assert said in output
    assert "Hopper" not in output
    assert RequestedProcedure.objects.get().status == "IMAGES COMPLETE"
    with pytest.raises(CommandError, match="0 entries"):
        told(*perform, **ports)
    with pytest.raises(CommandError, match="accepts no association"):
        told("emulate_modality", "echo", "--ae-title=NOBODY", **ports)


def test_explain_says_what_keeps_an_exam_off(site, desk):
    """On it, held, assigned elsewhere, station off, started: a sentence each."""
    order = making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    explain = ("explain_worklist", "--accession", order.accession_number)
    assert "CT1: on its worklist" in told(*explain)
    assert "CT2: the step is assigned to CT1" in told(*explain, "--station=CT2")
    step = ScheduledProcedureStep.objects.get()
    scheduling.hold(step.pk, desk)
    assert "CT1: the step is on hold" in told(*explain, "--station=CT1")
    scheduling.release(step.pk, desk)
    Station.objects.filter(ae_title="CT1").update(is_active=False)
    assert "not active" in told(*explain, "--station=CT1")
    with pytest.raises(CommandError, match="No order"):
        told("explain_worklist", "--accession=NONE")
    with pytest.raises(CommandError, match="No station"):
        told(*explain, "--station=NONE")


def test_explain_says_departments_and_rules(site, desk):
    """A station of the same department is told apart from another's, and each rule that hides is said."""
    order = making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    explain = ("explain_worklist", "--accession", order.accession_number)
    assert "CT2: the step is assigned to CT1 (same department" in told(*explain)
    cardiology = Department.objects.create(name="Cardiology")
    Station.objects.filter(ae_title__in=("MR1", "US1")).update(department=cardiology)
    assert "MR1: the step is assigned to CT1, in another department\n" in told(*explain)
    Station.objects.filter(ae_title="CT1").update(only_arrived=True)
    StationAlias.objects.create(station=Station.objects.get(ae_title="CT1"), ae_title="OLDCT")
    assert "CT1: the patient has not been checked in" in told(*explain, "--station=OLDCT")


def test_explain_replays_a_question(site):
    """A logged one by its number, or a would-be one by its keys."""
    order = making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    explain = ("explain_worklist", "--accession", order.accession_number)
    activity.recorder.facts = activity_rows.Facts()
    activity.query(stations.profiles()["CT1"], "10.0.0.5", [("Modality", "MR"), ("PatientID", "P9")], [], 0, 4, 1.0)
    activity.recorder.write()
    logged = WorklistQuery.objects.get()
    output = told(*explain, "--query", str(logged.pk))
    assert f"Question {logged.pk} of CT1 by Modality = MR, PatientID = hash:" in output
    assert "asked once, the last time " in output
    assert "CT1: Modality: the query asked for MR, the step has CT; PatientID: the query asked for another" in output
    assert "P9" not in output
    output = told(*explain, "--key=Modality=CT", "--key", "PatientName=Hopper*", "--station=CT2")
    assert "CT2: answered with it" in output
    for arguments, words in (
        (("--key=Foo=1",), "Foo is no DICOM keyword"),
        (("--query=999",), "No question has the number 999"),
    ):
        with pytest.raises(CommandError, match=words):
            told(*explain, *arguments)
