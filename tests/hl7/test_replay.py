"""Replaying kept messages. Covered: what comes of it, never twice, races, the answer to a repeat, the command."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.utils import timezone

from hl7 import receive, replay, retention
from hl7.models import Feed, InboundMessage, Mention
from hl7.replay import NotReplayed
from ris.models import Order, WorkflowEvent
from tests.hl7.conftest import answer_to, message, order, verdict

Outcome = InboundMessage.Outcome


def close_feed() -> None:
    Feed.objects.update(sending_application="SOMEBODY ELSE")


def open_feed() -> None:
    Feed.objects.update(sending_application="")


@pytest.fixture
def refused(feed) -> InboundMessage:
    """An order that no feed took; the feed takes it now."""
    close_feed()
    answer_to(order(control_id="R1"))
    open_feed()
    return InboundMessage.objects.get()


def test_replay_carries_out(refused):
    """After mending, the exam is there; the new row names the first one and who did it; events name the replay."""
    kept = replay.replay(refused, "ada", seen=0)
    assert (kept.outcome, kept.replay_of, kept.replayed_by) == (Outcome.ACCEPTED, refused, "ada")
    assert kept.orders.get() == Order.objects.get()
    event = WorkflowEvent.objects.filter(order__isnull=False).first()
    assert (event.actor_kind, event.actor_name) == ("USER", "ada")
    assert event.source_message == f"HL7 MSH-10 R1, replay {kept.pk}"


def test_first_row_is_not_changed_but_settled(refused):
    """What came and what it was answered stays; it no longer waits for anybody."""
    replay.replay(refused, "ada", seen=0)
    first = InboundMessage.objects.get(pk=refused.pk)
    assert (first.outcome, first.reason, bytes(first.answer)) == (
        refused.outcome,
        refused.reason,
        bytes(refused.answer),
    )
    assert first.settled_by == "ada" and "accepted" in first.settled_reason


def test_replay_that_is_refused_again_stays_open(refused):
    """Nothing was mended: the attempt is kept, and the message waits on."""
    close_feed()
    kept = replay.replay(refused, "ada", seen=0)
    assert (kept.outcome, kept.replay_of) == (Outcome.REFUSED, refused)
    assert InboundMessage.objects.get(pk=refused.pk).settled_at is None
    open_feed()
    assert replay.replay(refused, "ada", seen=kept.pk).outcome == Outcome.ACCEPTED


def test_repeat_is_given_the_new_answer(feed):
    """A message refused for its content is repeated by its sender after the replay: it gets the replay's AA."""
    Feed.objects.update(default_assigning_authority="")
    raw = order(placer="", control_id="R2")
    assert answer_to(raw).value("MSA-1") == "AE"
    first = InboundMessage.objects.get()
    assert first.is_original
    monkey = pytest.MonkeyPatch()
    monkey.setitem(receive.HANDLERS, ("ORM", "O01"), lambda *_: receive.Effect())
    kept = replay.replay(first, "ada", seen=0)
    monkey.undo()
    assert kept.outcome == Outcome.ACCEPTED and kept.is_original
    assert not InboundMessage.objects.get(pk=first.pk).is_original
    assert answer_to(raw).value("MSA-1") == "AA"
    assert InboundMessage.objects.count() == 2


def test_sender_repeats_after_a_replay(refused):
    """The order was carried out by the replay; the sender's own repeat does not carry it out again."""
    replay.replay(refused, "ada", seen=0)
    events = WorkflowEvent.objects.count()
    assert answer_to(bytes(refused.raw)).value("MSA-1") == "AA"
    assert WorkflowEvent.objects.count() == events
    assert InboundMessage.objects.count() == 2


def test_accepted_is_replayed_only_when_asked_for(feed):
    """An accepted message is not replayed by accident; asked for, it is."""
    answer_to(order())
    accepted = InboundMessage.objects.get()
    with pytest.raises(NotReplayed, match=f"accepted before, as message {accepted.pk}"):
        replay.replay(accepted, "ada", seen=0)
    kept = replay.replay(accepted, "ada", seen=0, accepted_too=True)
    assert kept.outcome == Outcome.ACCEPTED
    assert Order.objects.count() == 1


def test_second_click(refused):
    """Whoever did not see the last replay does not replay again, even where that was refused."""
    close_feed()
    kept = replay.replay(refused, "ada", seen=0)
    with pytest.raises(NotReplayed, match=f"meanwhile, as message {kept.pk}"):
        replay.replay(refused, "bea", seen=0)


def test_repeats_of_one_message_are_one_candidate(feed):
    """A sender that repeated a refused message ten times makes one candidate; one replay settles all ten."""
    close_feed()
    raw = order(control_id="R3")
    for _ in range(10):
        answer_to(raw)
    open_feed()
    (candidate,) = replay.candidates(InboundMessage.objects.all())
    assert candidate.message == InboundMessage.objects.order_by("id").first()
    replay.replay(candidate.message, "ada", seen=candidate.seen)
    assert InboundMessage.objects.filter(replay_of=None, settled_at=None).count() == 0


def test_came_again_and_was_accepted(refused):
    """What its sender repeated with success is not offered again, and is settled by the sweep."""
    answer_to(bytes(refused.raw))
    with pytest.raises(NotReplayed, match="accepted before"):
        replay.replay(refused, "ada", seen=0)
    assert retention.settle_repeated() == 1
    assert InboundMessage.objects.get(pk=refused.pk).settled_reason == "came again and was accepted"


def test_conflict_can_be_replayed(feed):
    """A message whose control ID was used before is carried out when a person says so; a repeat stays a conflict."""
    answer_to(order(placer="P1", control_id="SAME"))
    raw = order(placer="P2", control_id="SAME")
    answer_to(raw)
    conflict = InboundMessage.objects.get(outcome=Outcome.CONFLICT)
    kept = replay.replay(conflict, "ada", seen=0)
    assert kept.outcome == Outcome.ACCEPTED and not kept.is_original
    assert Order.objects.count() == 2
    assert verdict(answer_to(raw))[:2] == ("AR", "205")


def test_fault_of_ours(refused, monkeypatch):
    """A fault while replaying keeps the attempt, changes nothing else, and leaves the message open."""
    handle = receive.HANDLERS["ORM", "O01"]
    monkeypatch.setitem(receive.HANDLERS, ("ORM", "O01"), lambda *said: handle(*said) and 1 / 0)
    kept = replay.replay(refused, "ada", seen=0)
    assert kept.outcome == Outcome.ERROR and "ZeroDivisionError" in kept.reason
    assert not Order.objects.exists()
    assert InboundMessage.objects.get(pk=refused.pk).settled_at is None


@pytest.mark.parametrize("facts", [{"is_whole": False}, {"outcome": Outcome.UNREADABLE}, {"outcome": Outcome.RECEIVED}])
def test_what_is_not_whole_is_not_replayed(refused, facts):
    """The kept beginning of a large message, or what is none, is never carried out."""
    InboundMessage.objects.update(**facts)
    with pytest.raises(NotReplayed):
        replay.replay(InboundMessage.objects.get(), "ada", seen=0)


def test_preview_keeps_nothing(refused):
    """The difference says what would be, and nothing is kept."""
    (candidate,) = replay.candidates([refused])
    found = candidate.preview()
    assert found.outcome == Outcome.ACCEPTED and any(touched.is_new for touched in found.touched)
    assert not Order.objects.exists() and InboundMessage.objects.count() == 1


def test_in_order_of_arrival(feed):
    """A new order and its cancellation end canceled, in whatever order they were picked."""
    close_feed()
    answer_to(order("NW", "P9"))
    answer_to(order("CA", "P9"))
    open_feed()
    first, second = InboundMessage.objects.order_by("id")
    results = replay.replay_all([(second.pk, 0), (first.pk, 0)], "ada")
    assert [result.message for result in results] == [first, second]
    assert Order.objects.get().procedures.get().status == "CANCELED"


def test_mentions_of_the_refused(refused):
    """A refused message that could not be read keeps nothing; one that was read keeps its numbers."""
    assert not Mention.objects.exists()
    answer_to(message("PID|||G77^^^ADT^MR", "ORC|KN|P55", kind="ORM^O01"))
    assert set(Mention.objects.values_list("kind", "value")) == {("ORDER", "P55"), ("PATIENT", "G77")}


@pytest.mark.django_db(transaction=True)
def test_many_at_once_replay_once(refused):
    """Eight people press the button in the same instant: one replay, seven are told."""
    barrier = threading.Barrier(8)

    def press(number: int) -> str:
        barrier.wait()
        try:
            return replay.replay(InboundMessage.objects.get(pk=refused.pk), f"user {number}", seen=0).outcome
        except NotReplayed as error:
            return str(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        told = sorted(pool.map(press, range(8)))
    assert told[0] == Outcome.ACCEPTED
    assert all("meanwhile" in sentence for sentence in told[1:])
    assert InboundMessage.objects.filter(replay_of=refused).count() == 1
    assert WorkflowEvent.objects.filter(verb="schedule").count() == 1


def send_until_answered(raw: bytes) -> None:
    """As a sender does: without an answer it repeats."""
    for _ in range(5):
        try:
            answer_to(raw)
            return
        except OperationalError:
            continue
    raise AssertionError("never answered")


@pytest.mark.django_db(transaction=True)
def test_replay_while_its_sender_repeats_it(refused):
    """Replay and repeat in the same instant, several times: the order is scheduled once."""
    raw = bytes(refused.raw)
    barrier = threading.Barrier(4)

    def do(number: int) -> None:
        barrier.wait()
        try:
            if number % 2:
                send_until_answered(raw)
            else:
                replay.replay(InboundMessage.objects.get(pk=refused.pk), "ada", seen=0)
        except NotReplayed:
            pass
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(do, range(4)))
    assert Order.objects.count() == 1
    assert WorkflowEvent.objects.filter(verb="schedule").count() == 1
    assert InboundMessage.objects.filter(outcome=Outcome.ACCEPTED).count() == 1


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("hl7_replay", *arguments, stdout=out)
    return out.getvalue()


def test_command_foretells(refused):
    """--dry-run says what would happen, without a name, and keeps nothing."""
    told = run("--outcome", "REFUSED", "--dry-run")
    assert "would be ACCEPTED" in told and "order" in told and "Grace" not in told
    assert not Order.objects.exists()


def test_command_replays(refused):
    """By outcome, feed and time; a second call finds nothing more to do."""
    assert "REFUSED -> ACCEPTED" in run("--outcome", "REFUSED", "--since", "2020-01-01")
    assert run("--outcome", "REFUSED") == ""
    later = (timezone.now() + timedelta(days=1)).isoformat()
    assert run("--since", later) == ""
    assert run("--feed", "HIS") == ""


def test_command_by_key(feed):
    """An accepted message only with --accepted-too."""
    answer_to(order())
    key = str(InboundMessage.objects.get().pk)
    assert "not replayed, it was accepted before" in run("--id", key)
    assert "ACCEPTED as message" in run("--id", key, "--accepted-too")


def test_command_wants_to_know_which(feed):
    """Without any choice it does nothing; a time that is none is refused."""
    for arguments in ([], ["--since", "yesterday"]):
        with pytest.raises(CommandError):
            run(*arguments)
