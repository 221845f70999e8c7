"""Settling and purging. Covered: what age deletes, what it never deletes, the command, the sweep."""

from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from django_q.models import Schedule

from hl7 import replay, retention, tasks
from hl7.models import Destination, Feed, InboundMessage, Mention, OutboundMessage
from ris.models import Order, WorkflowEvent
from ris.tasks import ensure_schedules
from tests.hl7.conftest import answer_to, message, order

Outcome = InboundMessage.Outcome
OLD = timedelta(days=100)


def age(**facts) -> None:
    InboundMessage.objects.filter(**facts).update(received_at=timezone.now() - OLD)


def test_accepted_goes_by_age(feed):
    """Old accepted messages go, younger ones and what they did stay."""
    answer_to(order(placer="P1"))
    age()
    answer_to(order(placer="P2"))
    assert retention.purge(99) == (1, 0)
    assert InboundMessage.objects.get().order_numbers.startswith("P2")
    assert Order.objects.count() == 2


def test_not_carried_out_stays_until_settled(feed):
    """A refused message stays however old; settled by a person, with reason and name, it goes with its mentions."""
    answer_to(message("PID|||G1", "ORC|KN|P5"))
    age()
    assert retention.purge(1) == (0, 0)
    assert retention.settle(InboundMessage.objects.all(), "ada", "sent by mistake") == 1
    settled = InboundMessage.objects.get()
    assert (settled.settled_by, settled.settled_reason) == ("ada", "sent by mistake")
    assert Mention.objects.exists()
    assert retention.purge(1) == (1, 0)
    assert not Mention.objects.exists()


@pytest.mark.parametrize(
    "outcome", [Outcome.REFUSED, Outcome.ERROR, Outcome.CONFLICT, Outcome.UNREADABLE, Outcome.RECEIVED]
)
def test_no_unprocessed_outcome_goes(feed, outcome):
    """Whatever is not accepted stays."""
    answer_to(order())
    age()
    InboundMessage.objects.update(outcome=outcome)
    assert retention.purge(1) == (0, 0)


def test_message_and_replays_go_together(feed):
    """The message stays as long as its youngest replay; then both go."""
    Feed.objects.update(sending_application="NOBODY")
    answer_to(order())
    Feed.objects.update(sending_application="")
    first = InboundMessage.objects.get()
    replay.replay(first, "ada", seen=0)
    age(replay_of=None)
    assert retention.purge(99) == (0, 0)
    age()
    assert retention.purge(99) == (2, 0)


def test_accepted_cannot_be_settled(feed):
    """There is nothing to settle about what was carried out."""
    answer_to(order())
    assert retention.settle(InboundMessage.objects.all(), "ada", "x") == 0


@pytest.mark.parametrize(
    ("state", "goes"), [("TAKEN", 1), ("GIVEN_UP", 1), ("WAITING", 0), ("FAILED", 0), ("UNBUILT", 0)]
)
def test_outbound(feed, state, goes):
    """Messages that were taken or given up go by age; those that wait or failed never."""
    answer_to(order())
    destination = Destination.objects.create(name="PACS", host="127.0.0.1", port=1)
    event = WorkflowEvent.objects.first()
    OutboundMessage.objects.create(destination=destination, event=event, control_id="1", payload=b"", state=state)
    OutboundMessage.objects.update(created_at=timezone.now() - OLD)
    assert retention.purge(99) == (0, goes)


def test_command(feed):
    """hl7_purge says what it deleted; less than a day is refused."""
    answer_to(order())
    age()
    out = StringIO()
    call_command("hl7_purge", "--days", "99", stdout=out)
    assert out.getvalue() == "1 inbound and 0 outbound messages deleted\n"
    with pytest.raises(CommandError):
        call_command("hl7_purge", "--days", "0")


def test_sweep(feed):
    """The worker's schedule names the sweeps, and the purge keeps what the setting says."""
    ensure_schedules()
    assert {"hl7.tasks.purge", "hl7.tasks.settle_repeated"} <= set(Schedule.objects.values_list("func", flat=True))
    answer_to(order())
    age()
    tasks.purge()
    assert InboundMessage.objects.exists()
    InboundMessage.objects.update(received_at=timezone.now() - timedelta(days=settings.MESSAGE_DAYS + 1))
    tasks.purge()
    tasks.settle_repeated()
    assert not InboundMessage.objects.exists()
