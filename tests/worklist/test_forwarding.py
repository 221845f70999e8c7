"""MPPS passed on to other systems, on real sockets: in order, never lost, one that is refused holds up only its own.

Covered: what is written with what, order, refusals, back-off, a receiver that is away, killed senders, two senders,
what a person does. The pages are in tests/web.
"""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pydicom.dataset import Dataset

from ris.models import PerformedProcedureStep, Station
from tests import making
from tests.postgres import free_port
from tests.waiting import wait_until
from tests.worklist.receiving import QUICK, Receiver, State, count, destination, forwarding
from worklist import forwarding as outbox
from worklist import mpps_send, mpps_tasks
from worklist.destinations import MppsDestination, MppsForward
from worklist.emulator import Modality, Refused
from worklist.mpps_send import Sender
from worklist.stations import profiles

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def entry(scanner: Modality) -> Dataset:
    making.placed()
    return scanner.find()[0]


@pytest.fixture
def pacs() -> Receiver:
    return Receiver()


def attributes(status: str) -> Dataset:
    dataset = Dataset()
    dataset.PerformedProcedureStepStatus = status
    return dataset


def put(uid: str, *ends: str) -> None:
    """An MPPS as the outbox gets it, without a scanner."""
    begun = attributes("IN PROGRESS")
    with transaction.atomic():
        outbox.put_create(profiles()["CT1"], uid, begun, begun.to_json_dict())
        for status in ends:
            outbox.put_set(uid, attributes(status), attributes(status).to_json_dict())


def states(**criteria: object) -> list[str]:
    return list(MppsForward.objects.filter(**criteria).order_by("id").values_list("state", flat=True))


def test_what_a_scanner_reports_is_passed_on(scanner, entry, pacs):
    """N-CREATE, intermediate N-SET and the end, as they were accepted, with their data sets, in order."""
    with pacs.listening() as port, forwarding():
        destination(port)
        exam = scanner.start(entry)
        between = Dataset()
        between.PerformedProcedureStepDescription, between.PatientID = "CT head, again", "P999"
        scanner.set(exam.uid, between)
        scanner.store(exam)
        scanner.complete(exam)
        wait_until(lambda: count(State.SENT) == 3)
    assert pacs.told == [
        ("N-CREATE", exam.uid, "IN PROGRESS"),
        ("N-SET", exam.uid, ""),
        ("N-SET", exam.uid, "COMPLETED"),
    ]
    first, second, last = pacs.datasets
    assert (first.PatientName, first.ScheduledStepAttributesSequence[0].AccessionNumber) == (
        "Hopper^Grace",
        entry.AccessionNumber,
    )
    assert second.PerformedProcedureStepDescription == "CT head, again" and "PatientID" not in second
    assert len(last.PerformedSeriesSequence[0].ReferencedImageSequence) == 2
    assert states() == ["SENT"] * 3 and MppsForward.objects.first().shown_status == "0000H"


def test_what_is_refused_is_not_passed_on(scanner, entry):
    """A duplicate, an unknown instance, a wrong status: one transaction, so no row without an MPPS."""
    destination(1)
    exam = scanner.start(entry)
    rows = MppsForward.objects.count()
    for act in (
        lambda: scanner.create(exam.uid, attributes("IN PROGRESS")),
        lambda: scanner.set("1.2.9", attributes("COMPLETED")),
        lambda: scanner.set(exam.uid, attributes("COMPLETED")),
    ):
        with pytest.raises(Refused):
            act()
    assert (rows, MppsForward.objects.count(), PerformedProcedureStep.objects.count()) == (1, 1, 1)


def test_without_the_row_there_is_no_mpps(scanner, entry, monkeypatch):
    """If the outbox cannot be written the scanner is told 0110H and nothing has happened."""
    destination(1)
    monkeypatch.setattr(outbox.MppsForward.objects, "bulk_create", lambda _rows: 1 / 0)
    with pytest.raises(Refused) as info:
        scanner.start(entry)
    assert info.value.status == 0x0110
    assert not PerformedProcedureStep.objects.exists()


def test_whom_it_concerns(site):
    """All stations, or those that a destination names; not one that is not active; an N-SET follows its N-CREATE."""
    everything, ct, mr = destination(1, "ALL"), destination(1, "CT"), destination(1, "MR")
    destination(1, "OFF", is_active=False)
    ct.stations.set(Station.objects.filter(modality="CT"))
    mr.stations.set(Station.objects.filter(modality="MR"))
    put("1.1")
    destination(1, "LATER")
    with transaction.atomic():
        outbox.put_set("1.1", attributes("COMPLETED"), {})
    told = MppsForward.objects.order_by("id").values_list("destination", "verb")
    assert list(told) == [(everything.pk, "N-CREATE"), (ct.pk, "N-CREATE"), (everything.pk, "N-SET"), (ct.pk, "N-SET")]


def test_a_name_in_its_character_set(scanner, entry, pacs):
    """What came in Latin 1 goes on in Latin 1; what came without says nothing."""
    with pacs.listening() as port, forwarding():
        destination(port)
        scanner.start(entry)
        for name, terms in (("Müller^Jürgen", "ISO_IR 100"), ("Yamada^Tarou=山田^太郎", ["", "ISO 2022 IR 87"])):
            entry.PatientName, entry.SpecificCharacterSet = name, terms
            scanner.start(entry)
        wait_until(lambda: count(State.SENT) == 3)
    told = [(dataset.get("SpecificCharacterSet"), str(dataset.PatientName)) for dataset in pacs.datasets]
    assert told[1:] == [("ISO_IR 100", "Müller^Jürgen"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")]


def test_a_receiver_that_is_away_and_comes_back(site, pacs):
    """Nothing is lost, nothing overtakes; another destination is not held up."""
    port = free_port()
    other = Receiver()
    with other.listening() as another:
        destination(port, "AWAY")
        destination(another, "HERE")
        with forwarding() as forwarder:
            put("1.1", "IN PROGRESS")
            with pacs.listening(port):
                wait_until(lambda: states(destination__name="AWAY") == ["SENT"] * 2)
            put("1.2")
            with transaction.atomic():
                outbox.put_set("1.1", attributes("COMPLETED"), attributes("COMPLETED").to_json_dict())
            wait_until(lambda: states(destination__name="HERE") == ["SENT"] * 4)
            wait_until(lambda: MppsForward.objects.filter(last_error__contains="cannot be reached").exists())
            with pacs.listening(port):
                wait_until(lambda: count(State.SENT) == 8)
            assert forwarder.is_well()
    assert pacs.told == other.told
    assert [uid for _verb, uid, _status in pacs.told] == ["1.1", "1.1", "1.2", "1.1"]


@pytest.mark.parametrize("status", [0x0106, 0x0112, 0x0122, 0x0124])
def test_a_refusal_for_good_parks_only_its_own_mpps(site, pacs, status):
    """Others go on; what follows of the same MPPS waits until a person sends it again."""
    pacs.verdict = lambda _verb, uid, _dataset: status if uid == "1.1" else None
    with pacs.listening() as port, forwarding():
        destination(port)
        put("1.1", "COMPLETED")
        put("1.2", "COMPLETED")
        wait_until(lambda: count(State.SENT) == 2 and count(State.PARKED) == 1)
        assert states(sop_instance_uid="1.1") == ["PARKED", "WAITING"]
        parked = MppsForward.objects.get(state=State.PARKED)
        assert (parked.last_status, parked.refusals) == (status, 1)
        pacs.verdict = lambda _verb, _uid, _dataset: None
        assert outbox.resend(parked.pk, "ada").handled_by == "ada"
        wait_until(lambda: count(State.SENT) == 4)
    assert pacs.told[-2:] == [("N-CREATE", "1.1", "IN PROGRESS"), ("N-SET", "1.1", "COMPLETED")]


def test_what_it_could_not_process_is_tried_again(site, pacs):
    """0213H some times, then parked; meanwhile others go on."""
    pacs.verdict = lambda _verb, uid, _dataset: 0x0213 if uid == "1.1" else None
    with pacs.listening() as port, forwarding():
        destination(port, tries=3)
        put("1.1")
        put("1.2")
        wait_until(lambda: count(State.SENT) == 1 and count(State.PARKED) == 1)
    assert MppsForward.objects.get(state=State.PARKED).refusals == 3
    assert [uid for _verb, uid, _status in pacs.told].count("1.1") == 3


def test_what_it_has_already_counts_as_sent(site, pacs):
    """0111H to an N-CREATE; an ended MPPS only if its end was sent before, else somebody else ended it."""
    pacs.states = {"1.1": "IN PROGRESS", "1.2": "COMPLETED"}
    with pacs.listening() as port, forwarding():
        destination(port, tries=2)
        put("1.1", "COMPLETED")
        put("1.2", "COMPLETED")
        wait_until(lambda: count(State.WAITING) == 0)
        assert states(sop_instance_uid="1.1") == ["SENT", "SENT"]
        assert states(sop_instance_uid="1.2") == ["SENT", "PARKED"]
        MppsForward.objects.filter(state=State.PARKED).update(state=State.WAITING, was_offered=True)
        wait_until(lambda: states(sop_instance_uid="1.2") == ["SENT", "SENT"])


def test_a_warning_is_taken(site, pacs):
    """0116H, attribute value out of range: the object was created."""
    pacs.verdict = lambda verb, _uid, _dataset: 0x0116 if verb == "N-CREATE" else None
    with pacs.listening() as port, forwarding():
        destination(port)
        put("1.1")
        wait_until(lambda: count(State.SENT) == 1)


def test_a_receiver_of_another_kind(site):
    """Rejected, or no MPPS: waited for, and said on its next message."""
    with Receiver().listening(ae_title="ELSE") as port, forwarding():
        destination(port)
        put("1.1")
        wait_until(lambda: MppsForward.objects.filter(last_error="It accepts no association").exists())
    assert count(State.WAITING) == 1


def test_given_up_by_a_person(site, pacs):
    """The rest of the MPPS goes on; what was taken since forbids to send the first again."""
    pacs.verdict = lambda verb, _uid, _dataset: 0x0106 if verb == "N-CREATE" else 0x0000
    with pacs.listening() as port, forwarding():
        destination(port)
        put("1.1", "COMPLETED")
        wait_until(lambda: count(State.PARKED) == 1)
        parked = MppsForward.objects.get(state=State.PARKED)
        assert list(outbox.later(parked).values_list("state", flat=True)) == ["WAITING"]
        outbox.give_up(parked.pk, "ada")
        wait_until(lambda: count(State.SENT) == 1)
    for act, words in ((outbox.resend, "later"), (outbox.give_up, "parked")):
        with pytest.raises(outbox.CannotForward, match=words):
            act(parked.pk, "ada")
    with pytest.raises(outbox.CannotForward, match="not here"):
        outbox.resend(0, "ada")
    waiting = MppsForward.objects.get(state=State.SENT)
    outbox.resend(waiting.pk, "ada")
    with pytest.raises(outbox.CannotForward, match="already"):
        outbox.resend(waiting.pk, "ada")


def test_of_two_senders_one_has_the_lease(site, pacs):
    """The other stands by, and takes over when the lease ran out."""
    with pacs.listening() as port:
        to = destination(port)
        put("1.1")
        first, second = Sender(to.pk, QUICK), Sender(to.pk, QUICK)
        assert first.send_due()
        put("1.2")
        assert not second.send_due()
        MppsDestination.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
        assert second.send_due()
    assert [uid for _verb, uid, _status in pacs.told] == ["1.1", "1.2"]


def test_purged_by_age(site, settings):
    """What was sent; never what waits or is parked."""
    destination(1)
    put("1.1", "IN PROGRESS", "IN PROGRESS", "COMPLETED")
    rows = list(MppsForward.objects.all())
    for row, state in zip(rows, State.values, strict=True):
        MppsForward.objects.filter(pk=row.pk).update(state=state, created_at=timezone.now() - timedelta(days=9))
    settings.MESSAGE_DAYS = 10
    mpps_tasks.purge_forwards()
    assert MppsForward.objects.count() == 4
    settings.MESSAGE_DAYS = 8
    mpps_tasks.purge_forwards()
    assert states() == ["WAITING", "PARKED"]


def process() -> "subprocess.Popen[bytes]":
    place = connection.settings_dict
    url = f"sqlite:///{place['NAME']}"
    if connection.vendor != "sqlite":
        url = f"postgres://{place['USER']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
    environment = {**os.environ, "DATABASE_URL": url}
    command = [sys.executable, "manage.py", "mpps_sender"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("dies_at", ["N-CREATE", "N-SET"])
def test_killed_between_sending_and_marking(site, pacs, dies_at):
    """kill -9 when the receiver has it and the sender does not know: sent again, known for what it is, no doubles."""
    killed = []

    def kill(verb: str, _uid: str, _dataset: Dataset) -> None:
        if verb == dies_at and not killed:
            killed.append(verb)
            sender.send_signal(signal.SIGKILL)
            sender.wait(20)

    pacs.verdict = kill
    with pacs.listening() as port:
        destination(port)
        put("1.1", "COMPLETED")
        sender = process()
        wait_until(lambda: killed, 60)
        assert MppsForward.objects.filter(verb=dies_at, state=State.WAITING, was_offered=True).exists()
        MppsDestination.objects.update(leased_until=None)  # as if its lease had run out
        with forwarding():
            wait_until(lambda: count(State.SENT) == 2)
    assert pacs.states == {"1.1": "COMPLETED"}
    assert len(pacs.told) == 3 and [verb for verb, _uid, _status in pacs.told].count(dies_at) == 2


def test_two_processes_one_is_killed(site, pacs):
    """Real ones: each message arrives, each MPPS in its order."""
    with pacs.listening() as port:
        destination(port)
        processes = [process(), process()]
        try:
            for number in range(8):
                put(f"1.{number}", "IN PROGRESS")
            wait_until(lambda: len(pacs.told) > 3, 60)
            processes[0].send_signal(signal.SIGKILL)
            for number in range(8):
                with transaction.atomic():
                    outbox.put_set(f"1.{number}", attributes("COMPLETED"), attributes("COMPLETED").to_json_dict())
            wait_until(lambda: count(State.SENT) == 24, 90)
        finally:
            for one in processes:
                one.terminate()
                one.wait(20)
    for number in range(8):
        line = [(verb, status) for verb, uid, status in pacs.told if uid == f"1.{number}"]
        assert list(dict.fromkeys(line)) == [
            ("N-CREATE", "IN PROGRESS"),
            ("N-SET", "IN PROGRESS"),
            ("N-SET", "COMPLETED"),
        ]
    assert len(pacs.told) <= 25 and set(pacs.states.values()) == {"COMPLETED"}


def test_due_is_the_first_of_each_mpps(site):
    """Not what waits behind it, nor what is to be tried later."""
    to = destination(1)
    put("1.1", "COMPLETED")
    put("1.2", "COMPLETED")
    first = MppsForward.objects.filter(sop_instance_uid="1.1").earliest("id")
    assert [row.sop_instance_uid for row in mpps_send.due(to.pk)] == ["1.1", "1.2"]
    MppsForward.objects.filter(pk=first.pk).update(next_attempt_at=timezone.now() + timedelta(minutes=1))
    assert [row.sop_instance_uid for row in mpps_send.due(to.pk)] == ["1.2"]
    MppsForward.objects.filter(pk=first.pk).update(state=State.PARKED)
    assert [row.sop_instance_uid for row in mpps_send.due(to.pk)] == ["1.2"]
