"""The pages of scanners. Covered: access, signs of life, silence, a station's page, refused callers, explanations."""

from datetime import datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from ris.models import Department, Room, Station
from tests import making
from worklist import activity, activity_rows, overview, query_log, stations
from worklist.models import MppsDefect, StationActivity, TextLoss, UnknownCaller, WorklistQuery

#: Every page that needs no key.
PAGES = ("/stations/", "/stations/explain/")


@pytest.fixture
def ada(site) -> Client:
    """A browser in which Ada, who is staff, is logged in."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


@pytest.fixture
def ct1(site) -> Station:
    return Station.objects.get(ae_title="CT1")


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return answer.content.decode()


def asked(
    station: Station, *keys: tuple[str, str], times: int = 1, last: datetime | None = None, **parts
) -> WorklistQuery:
    """A question that the station asked once a minute until ``last``."""
    last = last or timezone.now()
    shown = [[keyword, query_log.hidden(keyword, value)] for keyword, value in keys]
    facts = {"status": 0, "answers": 3, "asked": ["PatientName"], "milliseconds": 1.25} | parts
    StationActivity.objects.update_or_create(station=station, defaults={"query_at": last, "query_answers": 3})
    return WorklistQuery.objects.create(
        station=station,
        digest=query_log.digest(shown, []),
        keys=shown,
        times=times,
        first_at=last - timedelta(minutes=times),
        last_at=last,
        **facts,
    )


def refused(ae_title: str = "MR9", *proposed: str, **parts) -> UnknownCaller:
    now = timezone.now()
    facts = {"address": "10.0.0.9", "reason": "calling AE title not recognized", "called_ae_title": "SUNVIEW"} | parts
    return UnknownCaller.objects.create(
        ae_title=ae_title, asked=list(proposed), times=4, first_at=now, last_at=now, **facts
    )


@pytest.mark.parametrize("address", PAGES)
def test_only_staff(molly, client, address):
    """The front desk gets 403, and whoever is not logged in the login page."""
    assert molly.get(address).status_code == 403
    assert client.get(address).status_code == 302


def test_who_is_not_staff_is_told_so(molly):
    """To log in anew alone would not help her."""
    assert "ask an administrator" in molly.get("/stations/").content.decode()


def test_pages_with_a_key_are_for_staff(molly, client, ct1):
    """Likewise a station's and a caller's page, and what can be done there."""
    key = refused().pk
    for address in (f"/stations/{ct1.pk}/", f"/stations/callers/{key}/"):
        assert molly.get(address).status_code == 403
        assert client.get(address).status_code == 302
    for address in (f"/stations/callers/{key}/", f"/stations/callers/{key}/dismiss/", "/stations/explain/"):
        assert molly.post(address, {"accession": "1"}).status_code == 403
    assert UnknownCaller.objects.filter(pk=key).exists()


def test_link_in_the_header(ada, molly):
    """Staff find the scanners from every page, others do not see the link."""
    assert 'href="/stations/"' in ada.get("/").content.decode()
    assert 'href="/stations/"' not in molly.get("/").content.decode()


def test_signs_of_life(ada, ct1):
    """Echo, query with its answers, MPPS and image with their age; who never called is said to."""
    StationActivity.objects.create(
        station=ct1,
        echo_at=timezone.now(),
        query_at=timezone.now() - timedelta(minutes=5),
        query_answers=12,
        mpps_at=timezone.now() - timedelta(hours=3),
        image_at=timezone.now() - timedelta(days=2),
    )
    Station.objects.filter(ae_title="MR1").update(is_active=False)
    shown = page(ada, "/stations/").replace("\xa0", " ")
    for words in ("just now", "5 minutes ago", ">12<", "3 hours ago", "2 days ago", "NEVER CALLED", "NOT ACTIVE"):
        assert words in shown
    assert "sends none" in shown  # MG1


def test_live(ada, ct1):
    """The page asks again with its version: 204 while nothing happened, else the live part alone."""
    version = ada.get("/stations/").context["version"]
    answer = ada.get("/stations/", {"version": version})
    assert answer.status_code == 204 or overview.version() != version  # a minute may just have ended
    StationActivity.objects.create(station=ct1, echo_at=timezone.now())
    answer = ada.get("/stations/", {"version": version})
    assert answer.status_code == 200
    assert "<html" not in answer.content.decode()


def test_losses_and_defects(ada, ct1):
    """Counted in the list; on the station's page with the exam, never the text."""
    step = making.only_step(making.placed())
    TextLoss.objects.create(
        station=ct1, step=step, keyword="PatientName", character_set="ISO_IR 100", at=timezone.now()
    )
    now = timezone.now()
    MppsDefect.objects.create(station=ct1, defect="N-CREATE: Modality empty", times=41, first_at=now, last_at=now)
    assert ">41<" in page(ada, "/stations/")
    shown = page(ada, f"/stations/{ct1.pk}/")
    for words in ("PatientName", "ISO_IR 100", f"/exams/{step.requested_procedure_id}/", "Modality empty", ">41<"):
        assert words in shown
    assert "Hopper" not in shown


def test_a_stations_page(ada, ct1):
    """Profile in words, questions with counts and no names, the worklist's size."""
    Station.objects.filter(pk=ct1.pk).update(
        only_arrived=True, days_before=1, days_after=3, default_keys={"Modality": "CT"}, character_set="ISO_IR 100"
    )
    asked(ct1, ("Modality", "CT"), ("PatientName", "Hopper^Grace"), ("PatientID", "P*"), times=7, status=0xA700)
    shown = page(ada, f"/stations/{ct1.pk}/")
    for words in (
        "only those who have been checked in",
        "1 day back and 3 days ahead from today",
        "Modality = CT",
        "ISO_IR 100",
        "one value (hidden)",
        "a pattern (hidden)",
        "A700H",
        ">7<",
        "1.3&nbsp;ms",
        "1 attribute asked for",
    ):
        assert words in shown, words
    assert "Hopper" not in shown
    assert "hash:" not in shown


def test_its_worklist_now(ct1, desk):
    """Entries by the station's own rules: its own, and with them its department's."""
    now = timezone.now()
    making.placed("1", making.step_request(station_ae_titles=("CT1",), start=now))
    making.placed("2", making.step_request(station_ae_titles=("CT1",), start=now + timedelta(days=9)))
    making.placed("3", making.step_request(station_ae_titles=("CT2",), start=now))
    making.placed("4", making.step_request(station_ae_titles=("MR1",), modality="MR", start=now))
    Station.objects.filter(ae_title="MR1").update(department=Department.objects.create(name="Cardiology"))
    assert overview.shown_entries(ct1) == (2, 3)
    ct1.days_after = 2
    assert overview.shown_entries(ct1) == (1, 2)
    ct1.only_arrived = True
    assert overview.shown_entries(ct1) == (0, 0)
    assert overview.shown_entries(Station.objects.get(ae_title="MR1")) == (1, 1)


def due(station: str, **parts) -> None:
    making.placed(making.NINE.isoformat(), making.step_request(station_ae_titles=(station,), start=timezone.now()))


def test_silence(ada, ct1):
    """A station that asks each minute and has stopped for two hours is named while an exam waits for it."""
    since = timezone.now() - timedelta(hours=2)
    asked(ct1, ("Modality", "CT"), times=60, last=since)
    assert overview.silences() == []  # nothing waits
    due("CT1")
    [silence] = overview.silences()
    assert (silence.station, silence.since, silence.waiting) == (ct1, since, 1)
    words = f"{timezone.localtime(since):%H:%M}</time>; 1 exam waits for it."
    for address in ("/stations/", f"/stations/{ct1.pk}/"):
        shown = page(ada, address)
        assert words in shown
        assert "has not asked since" in shown
    assert "SILENT" in page(ada, "/stations/")


@pytest.mark.parametrize(
    ("times", "hours", "active"),
    [(60, 0.9, True), (2, 2, True), (60, 24 * 15, True), (60, 2, False)],
    ids=["asked lately", "has hardly ever asked", "was given up long ago", "not active"],
)
def test_no_silence(ct1, times, hours, active):
    """Not of whom nobody expects that it asks."""
    asked(ct1, times=times, last=timezone.now() - timedelta(hours=hours))
    Station.objects.filter(pk=ct1.pk).update(is_active=active)
    due("CT1")
    assert overview.silences() == []


def test_no_silence_of_a_rare_caller(ct1):
    """A station that asks every two hours is not silent after three."""
    query = asked(ct1, times=4, last=timezone.now() - timedelta(hours=3))
    WorklistQuery.objects.filter(pk=query.pk).update(first_at=query.last_at - timedelta(hours=6))
    due("CT1")
    assert overview.silences() == []


def test_refused_callers_are_listed(ada):
    """With address, reason, what they proposed and how often."""
    refused("MR9", "Modality Worklist Information Model - FIND", "Verification SOP Class")
    refused("CT1", called_ae_title="SUNVEIW", reason="called AE title not recognized")
    shown = page(ada, "/stations/")
    for words in ("MR9", "10.0.0.9", "calling AE title not recognized", "Modality Worklist", "SUNVEIW", ">4<", "Add…"):
        assert words in shown
    key = UnknownCaller.objects.get(ae_title="CT1").pk
    assert "set our AE title right on the scanner" in page(ada, f"/stations/callers/{key}/")


@pytest.mark.parametrize(
    ("ae_title", "proposed", "modality"),
    [
        ("ROOM7", ("CT Image Storage",), "CT"),
        ("ROOM7", ("Digital Mammography X-Ray Image Storage - For Presentation",), "MG"),
        ("MR9", ("Modality Worklist Information Model - FIND",), "MR"),
        ("AE_CT_2", (), "CT"),
        ("DOCTOR", (), ""),
    ],
)
def test_the_form_is_filled_by_what_is_known(ada, ae_title, proposed, modality):
    """Modality by what it stores, else by its title; the department if there is only one."""
    initial = ada.get(f"/stations/callers/{refused(ae_title, *proposed).pk}/").context["form"].initial
    assert initial["modality"] == modality
    assert initial["department"] == Department.objects.get()


def test_a_station_that_is_bound(ada, ct1):
    """Whoever calls as a station without its proof is not said to be let in; the station's page says what is asked."""
    caller = refused("CT1", reason="not from a network of this station")
    shown = page(ada, f"/stations/callers/{caller.pk}/")
    assert "was refused: <strong>not from a network of this station</strong>" in shown
    assert "may call by now" not in shown
    assert "its AE title is enough" in page(ada, f"/stations/{ct1.pk}/")
    Station.objects.filter(pk=ct1.pk).update(
        allowed_networks="192.0.2.0/24", certificate_name="ct1.example", passcode_digest="0" * 64
    )
    shown = page(ada, f"/stations/{ct1.pk}/")
    assert "192.0.2.0/24; certificate of ct1.example; its passcode" in shown
    assert "000000" not in shown


def test_a_neighbour_is_named(ada, ct1):
    """Who calls from a station's address may be that station under another title: its room is taken, and it is said."""
    StationActivity.objects.create(station=ct1, address="10.0.0.9")
    answer = ada.get(f"/stations/callers/{refused('ROOM7').pk}/")
    assert answer.context["form"].initial == {
        "ae_title": "ROOM7",
        "modality": "CT",
        "room": ct1.room,
        "department": ct1.department,
    }
    assert "calls from the same address" in answer.content.decode()


def test_a_neighbour_of_the_same_modality(ada, ct1):
    """Behind one gateway there are many devices: a CT is not offered the room of an MR."""
    StationActivity.objects.create(station=Station.objects.get(ae_title="MR1"), address="10.0.0.9")
    caller = refused("NEW", "CT Image Storage")
    assert "calls from the same address" not in page(ada, f"/stations/callers/{caller.pk}/")
    StationActivity.objects.create(station=ct1, address="10.0.0.9")
    assert ada.get(f"/stations/callers/{caller.pk}/").context["form"].initial["room"] == ct1.room


def added(client: Client, caller: UnknownCaller, **parts):
    room, department = Room.objects.first(), Department.objects.first()
    data = {"modality": "MR", "room": room.pk, "department": department.pk, "character_set": "ISO_IR 100"}
    return client.post(f"/stations/callers/{caller.pk}/", data | {"sends_mpps": "on"} | parts)


def test_added_by_one_click(ada):
    """The caller is a station, is off the list under each address, and the admin log says who added it."""
    refused(address="10.0.0.8")
    answer = added(ada, refused())
    station = Station.objects.get(ae_title="MR9")
    assert answer["Location"] == f"/stations/{station.pk}/"
    assert (station.modality, station.character_set, station.is_active) == ("MR", "ISO_IR 100", True)
    assert not UnknownCaller.objects.exists()
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_repr, entry.is_addition()) == ("admin", "MR9", True)
    assert stations.profiles()["MR9"].modality == "MR"


def test_what_cannot_be_added(ada):
    """The title is the caller's whatever is posted; a fault is shown at its field; nothing is saved."""
    caller = refused()
    assert "This field is required" in added(ada, caller, modality="").content.decode()
    assert not Station.objects.filter(ae_title="MR9").exists()
    added(ada, caller, ae_title="EVIL")
    assert not Station.objects.filter(ae_title="EVIL").exists()
    assert "may call by now" in ada.get(f"/stations/callers/{refused().pk}/").content.decode()
    assert added(ada, UnknownCaller.objects.get()).status_code == 200
    assert Station.objects.filter(ae_title="MR9").count() == 1


def test_staff_without_the_permission_add_nothing(ada, django_user_model):
    """A member of staff sees the callers; to add or dismiss one takes the permission to add stations."""
    caller = refused()
    clerk = django_user_model.objects.create_user("clerk", is_staff=True)
    client = Client()
    client.force_login(clerk)
    assert "You may not add stations" in client.get(f"/stations/callers/{caller.pk}/").content.decode()
    assert added(client, caller).status_code == 403
    assert client.post(f"/stations/callers/{caller.pk}/dismiss/").status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="add_station"))
    assert added(client, caller).status_code == 302


def test_dismissed(ada):
    """Off the list; there again when it calls again."""
    caller = refused()
    ada.get(f"/stations/callers/{caller.pk}/dismiss/")
    assert UnknownCaller.objects.count() == 1
    ada.post(f"/stations/callers/{caller.pk}/dismiss/")
    assert not UnknownCaller.objects.exists()
    activity.recorder.facts = activity_rows.Facts()
    activity.refused("MR9", "SUNVIEW", "10.0.0.9", "calling AE title not recognized", [])
    activity.recorder.write()
    assert UnknownCaller.objects.count() == 1


def explained(client: Client, **data):
    answer = client.post("/stations/explain/", data)
    assert answer.status_code == 200
    return answer


def states(answer) -> dict[str, str]:
    [each] = answer.context["explained"]
    return {station.ae_title: verdict.state for station, verdict in each.stations}


def test_explain_station_by_station(ada, step):
    """Every station with its reasons; the patient is not named, and the number is not in an address."""
    number = step.requested_procedure.order.accession_number
    answer = explained(ada, accession=number)
    assert {station for station, state in states(answer).items() if state == "ON"} == {"CT1"}
    shown = answer.content.decode()
    assert "The step is assigned to CT1." in shown
    assert "Hopper" not in shown
    assert f"explain/?{number}" not in shown
    assert "last asked" not in shown
    assert shown.count("has never asked") == 7


def test_explain_a_logged_question(ada, step, ct1):
    """The question's keys decide, the hidden ones by their hash."""
    number = step.requested_procedure.order.accession_number
    same = asked(ct1, ("AccessionNumber", number))
    other = asked(ct1, ("AccessionNumber", "A9999"))
    page(ada, f"/stations/explain/?query={same.pk}")
    found = states(explained(ada, accession=number, query=same.pk))
    assert (next(iter(found)), found["CT1"], len(found)) == ("CT1", "ON", 7)  # who asked it comes first
    answer = explained(ada, accession=number, query=other.pk, station=ct1.pk)
    assert states(answer) == {"CT1": "OFF"}
    assert "AccessionNumber: the query asked for another one." in answer.content.decode()
    assert "A9999" not in answer.content.decode()


def test_explain_all_that_a_station_asked(ada, step, ct1):
    """With a station chosen, each of its logged questions is replayed."""
    asked(ct1, ("Modality", "CT"))
    asked(ct1, ("Modality", "MR"))
    answer = explained(ada, accession=step.requested_procedure.order.accession_number, station=ct1.pk)
    [each] = answer.context["explained"]
    assert [(question.words, verdict.state) for question, verdict in each.questions] == [
        ("Modality = MR", "OFF"),
        ("Modality = CT", "ON"),
    ]
    assert "Modality: the query asked for MR, the step has CT." in answer.content.decode()


def test_explain_what_its_own_station_asked(ada, step, ct1):
    """Without a station chosen, the last questions of the one it is assigned to: asked in vain by the wrong title."""
    asked(ct1, ("ScheduledStationAETitle", "CT9"))
    asked(Station.objects.get(ae_title="MR1"), ("Modality", "MR"))
    answer = explained(ada, accession=step.requested_procedure.order.accession_number)
    [each] = answer.context["explained"]
    assert next(iter(states(answer))) == "CT1"
    [(question, verdict)] = each.questions
    assert (question.words, verdict.state) == ("ScheduledStationAETitle = CT9", "OFF")
    assert "No station has the AE title CT9." in answer.content.decode()


def test_explain_a_question_it_would_ask(ada, step, ct1):
    """Keys as lines; a line that is no key is named; a question that is gone too."""
    number = step.requested_procedure.order.accession_number
    answer = explained(ada, accession=number, keys="Modality=CT\n\nPatientName=Hop*\n")
    assert states(answer)["CT1"] == "ON"
    assert "Foo is no DICOM keyword." in explained(ada, accession=number, keys="Foo=1").content.decode()
    assert "not kept any more" in explained(ada, accession=number, query=999).content.decode()
    for query in ("?query=x", "?query=999", "?station=x", f"?station={ct1.pk}"):
        page(ada, f"/stations/explain/{query}")


def test_the_exams_page_leads_there(ada, molly, step):
    """A button for staff posts the accession number."""
    address = f"/exams/{step.requested_procedure_id}/"
    assert 'action="/stations/explain/"' in ada.get(address).content.decode()
    assert 'action="/stations/explain/"' not in molly.get(address).content.decode()


def test_explain_when_a_scanner_last_asked(ada, step, ct1):
    """An exam that nothing keeps off is missed by a scanner that has not asked."""
    asked(ct1, ("Modality", "CT"), last=timezone.now() - timedelta(hours=3))
    answer = explained(ada, accession=step.requested_procedure.order.accession_number)
    assert "last asked 3\xa0hours ago" in answer.content.decode()


def test_explain_is_ready_to_be_typed_into(ada, step):
    """The number is typed at once; what was answered is read first."""
    assert "autofocus" in page(ada, "/stations/explain/")
    number = step.requested_procedure.order.accession_number
    assert "autofocus" not in explained(ada, accession=number).content.decode()


def test_explain_an_order_that_is_not_here(ada):
    """The way on leads to the messages that name it, without the number in the address of the button."""
    shown = explained(ada, accession="NONE4711").content.decode()
    assert "No order has this accession number" in shown
    assert '<form method="post" action="/hl7/">' in shown
    assert 'name="number" value="NONE4711"' in shown


def test_explain_names_who_was_refused(ada):
    """The scanner that misses the exam may be one that is not let in."""
    assert "Is the scanner among them?" not in page(ada, "/stations/explain/")
    refused("CT_TWO", address="10.0.0.7")
    refused("LONGAGO")
    UnknownCaller.objects.filter(ae_title="LONGAGO").update(last_at=timezone.now() - timedelta(days=2))
    shown = page(ada, "/stations/explain/")
    assert "CT_TWO</a> from 10.0.0.7" in shown
    assert "LONGAGO" not in shown
