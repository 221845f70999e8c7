"""From refused to served: a scanner nobody knows calls, is listed, is added by one click, and calls again."""

import subprocess

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from ris.models import Department, Station
from tests import making
from tests.waiting import wait_until
from worklist import activity, activity_rows, overview
from worklist.emulator import Modality, Refused
from worklist.models import StationActivity, UnknownCaller

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def recording(monkeypatch):
    """The thread that writes what scanners did, in a hurry."""
    monkeypatch.setattr(activity, "WRITE_SECONDS", 0.02)
    monkeypatch.setattr(activity.recorder, "facts", activity_rows.Facts())


@pytest.fixture
def started(front_door):
    activity.start()
    yield
    activity.stop()


def echo(port: int, ae_title: str, called: str = "SUNVIEW") -> bool:
    """Whether DCMTK's echoscu is answered."""
    command = ["echoscu", "-aet", ae_title, "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def test_refused_listed_added_served(started, worklist_port):
    """echoscu as MR9 is refused; the page lists it; Add; echoscu is answered and its worklist has its exams."""
    assert not echo(worklist_port, "MR9")
    caller = wait_until(UnknownCaller.objects.first)
    assert (caller.ae_title, caller.called_ae_title, caller.address) == ("MR9", "SUNVIEW", "127.0.0.1")
    assert (caller.reason, caller.asked) == ("calling AE title not recognized", ["Verification SOP Class"])
    ada = Client()
    ada.force_login(get_user_model().objects.get(username="admin"))
    assert "MR9" in ada.get("/stations/").content.decode()
    form = ada.get(f"/stations/callers/{caller.pk}/").context["form"]
    data = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    data = {name: value.pk if isinstance(value, Department) else value for name, value in data.items()}
    assert ada.post(f"/stations/callers/{caller.pk}/", data).status_code == 302
    station = Station.objects.get(ae_title="MR9")
    assert (station.modality, station.department.name) == ("MR", "Radiology")
    making.placed("1", making.step_request(station_ae_titles=("MR9",), modality="MR"))
    wait_until(lambda: echo(worklist_port, "MR9"))
    scanner = Modality("MR9", ("127.0.0.1", worklist_port), ("127.0.0.1", 0), timeout=15)
    assert len(scanner.find(ScheduledStationAETitle="MR9")) == 1
    seen = wait_until(lambda: StationActivity.objects.filter(station=station, echo_at__isnull=False).first())
    assert seen.address == "127.0.0.1"
    assert not ada.get("/stations/").context["callers"]


def test_a_station_that_calls_another_name(started, worklist_port):
    """It is listed with what it called, and the page says what to set right."""
    assert not echo(worklist_port, "CT1", called="SUNVEIW")
    caller = wait_until(UnknownCaller.objects.first)
    assert (caller.ae_title, caller.called_ae_title) == ("CT1", "SUNVEIW")
    assert list(overview.unknown_callers()) == [caller]


def test_the_probe_is_nobodys_activity(started, front_door, worklist_port):
    """What our own probe does is neither a station's nor an unknown caller's."""
    with pytest.raises(Refused):
        Modality("NOBODY", ("127.0.0.1", worklist_port), ("127.0.0.1", worklist_port), timeout=15).echo()
    assert echo(worklist_port, "SUNVIEW")
    wait_until(UnknownCaller.objects.exists)
    activity.stop()
    assert [caller.ae_title for caller in UnknownCaller.objects.all()] == ["NOBODY"]
    assert not StationActivity.objects.exists()
