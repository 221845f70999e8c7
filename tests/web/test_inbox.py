"""The pages of messages. Covered: access, filters, no patient in addresses, message, replay, settling, outbox."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from hl7.exchange import receive
from hl7.framing import Frame
from hl7.models import Destination, Feed, InboundMessage, OutboundMessage
from ris.models import Order, Patient, WorkflowEvent
from tests.hl7.conftest import message, order

Outcome = InboundMessage.Outcome
#: Every page that needs no key.
PAGES = ("/hl7/", "/hl7/outbox/", "/hl7/control/?id=1")


@pytest.fixture
def ada(site) -> Client:
    """A browser in which Ada, who is staff, is logged in."""
    Destination.objects.all().delete()
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


def came(raw: bytes) -> InboundMessage:
    receive(Frame(raw), "127.0.0.1")
    return InboundMessage.objects.first()


def refused(**parts) -> InboundMessage:
    """An order that no feed took; it is taken now."""
    Feed.objects.update(sending_application="SOMEBODY ELSE")
    kept = came(order(**parts))
    Feed.objects.update(sending_application="")
    return kept


def found(answer) -> list[int]:
    return [row.pk for row in answer.context["rows"]]


@pytest.mark.parametrize("address", PAGES)
def test_only_staff(molly, client, address):
    """The front desk gets 403, and whoever is not logged in the login page."""
    assert molly.get(address).status_code == 403
    assert client.get(address).status_code == 302


def test_link_in_the_header(ada, molly):
    """Staff find the messages from every page, others do not see the link."""
    assert 'href="/hl7/"' in ada.get("/").content.decode()
    assert 'href="/hl7/"' not in molly.get("/").content.decode()


def test_messages_are_shown(ada):
    """Accepted and refused ones, newest first, with patient, exam, reason and the day's counts."""
    came(order(accession="A1"))
    came(message("PID|||G9", "ORC|KN|P9"))
    answer = ada.get("/hl7/")
    page = answer.content.decode()
    for text in ("Sample, Grace", "A1", "ACCEPTED", "REFUSED", "ORM^O01", "P9", "ORC-1"):
        assert text in page
    assert answer.context["counts"] == {"ACCEPTED": 1, "REFUSED": 1}
    assert found(answer) == sorted(found(answer), reverse=True)
    assert "no-store" in answer["Cache-Control"]


def test_filters(ada):
    """Each filter leaves what it is about."""
    one = came(order("NW", "P1", accession="A1", control_id="C1"))
    two = came(message("PID|||G2^^^ADT^MR||Other^Otto", kind="ADT^A04", control_id="C2"))
    three = came(message("PID|||G3^^^ADT^MR", "ORC|KN|P3", control_id="C3"))
    InboundMessage.objects.filter(pk=two.pk).update(received_at=timezone.now() - timedelta(days=3))
    day = (timezone.localdate() - timedelta(days=3)).isoformat()
    cases = {
        "event=ADT": [two.pk],
        "event=ADT^A04": [two.pk],
        "event=orm^o01": [three.pk, one.pk],
        "outcome=REFUSED": [three.pk],
        "outcome=TO_SETTLE": [three.pk],
        "control_id=C1": [one.pk],
        "number=A1": [one.pk],
        "number=P1": [one.pk],
        "number=P3": [three.pk],
        "number=P": [],
        f"day={day}": [two.pk],
        f"feed={one.feed_id}": [three.pk, two.pk, one.pk],
        "feed=999": [three.pk, two.pk, one.pk],
        "day=never&outcome=nonsense&before=x&patient=x": [three.pk, two.pk, one.pk],
        "outcome=ACCEPTED&event=ADT": [two.pk],
    }
    for query, expected in cases.items():
        assert found(ada.get(f"/hl7/?{query}")) == expected, query


def test_patient_filter_leaves_no_patient_in_the_address(ada):
    """A name or an ID is posted and becomes our own key; refused messages are found by the ID that they name."""
    taken = came(order(patient="GRACE1"))
    came(order(placer="P2", patient="OTTO1"))
    for text in ("GRACE1", "sample", "grace samp"):
        answer = ada.post("/hl7/", {"who": text, "outcome": "ACCEPTED"})
        assert not re.search("grace|samp", answer["Location"].lower())
        assert taken.pk in found(ada.get(answer["Location"]))
    unknown = came(message("PID|||NOBODY7", "ORC|KN|P3"))
    answer = ada.post("/hl7/", {"who": "NOBODY7"})
    assert "NOBODY" not in answer["Location"]
    assert found(ada.get(answer["Location"])) == [unknown.pk]


def test_patient_filter_finds_what_was_refused_before(ada):
    """Messages about a known patient include those that were refused and only name the ID, and those of merged ones."""
    taken = came(order(patient="G1"))
    named = came(message("PID|||G1^^^ADT", "ORC|KN|P3"))
    old = came(message("PID|||G0^^^ADT||Sample^Grace", kind="ADT^A04"))
    merge = came(message("PID|||G1^^^ADT", "MRG|G0^^^ADT", kind="ADT^A40"))
    patient = Patient.objects.get(merged_into=None)
    assert found(ada.get(f"/hl7/?patient={patient.pk}")) == [merge.pk, old.pk, named.pk, taken.pk]


def test_patient_filter_that_finds_nobody(ada):
    """A patient who is not here is said beside the field."""
    page = ada.post("/hl7/", {"who": "nobody at all"}).content.decode()
    assert "No patient and no message has this" in page


def test_pages_by_key(ada):
    """Older messages are reached by key; every message is on one page."""
    for number in range(120):
        came(message(f"PID|||G{number}", kind="ADT^A04"))
    seen, address = [], "/hl7/?event=ADT"
    while address:
        answer = ada.get(address)
        seen += found(answer)
        older = answer.context["older"]
        address = f"/hl7/?event=ADT&before={older}" if older else ""
    assert len(seen) == len(set(seen)) == 120


def test_live(ada):
    """204 while nothing comes; the live part alone when something does, or was settled."""
    kept = refused()
    version = ada.get("/hl7/").context["version"]
    assert ada.get("/hl7/", {"version": version}).status_code == 204
    came(order(placer="P2"))
    answer = ada.get("/hl7/", {"version": version})
    assert answer.status_code == 200 and "<html" not in answer.content.decode()
    version = answer.context["version"]
    ada.post("/hl7/settle/", {"pick": kept.pk, "reason": "test"})
    assert ada.get("/hl7/", {"version": version}).status_code == 200


def test_cost_does_not_grow(ada, django_assert_max_num_queries):
    """Forty messages cost as many queries as one."""
    for number in range(40):
        came(order(placer=f"P{number}"))
    with django_assert_max_num_queries(16):
        ada.get("/hl7/")


def test_message_view(ada):
    """Segments and fields with their names, components, reason, answer, exam, bytes; nothing runs as HTML."""
    raw = order(obr="XWRIST^<script>alert(1)</script>^L", control_id="C1")
    kept = came(raw)
    page = ada.get(f"/hl7/messages/{kept.pk}/").content.decode()
    for text in ("PID-3", "Patient identifier list", "Assigning authority", "OBR-4", "Acknowledgment", "MSA-1"):
        assert text in page
    exam = Order.objects.get().procedures.get()
    assert f'href="/exams/{exam.pk}/"' in page
    assert "<script>alert" not in page
    answer = ada.get(f"/hl7/messages/{kept.pk}/download/")
    assert answer.content == raw
    assert answer["Content-Disposition"] == f'attachment; filename="message-{kept.pk}.hl7"'


def test_message_that_is_none(ada):
    """Bytes that are no message are shown as bytes."""
    receive(Frame(b"GET / HTTP/1.1\r\n\x00\xff"), "127.0.0.1")
    kept = InboundMessage.objects.get()
    page = ada.get(f"/hl7/messages/{kept.pk}/").content.decode()
    assert "47 45 54 20" in page and "cannot be read as one message" in page


def test_large_message(ada):
    """A document of 5 MB within a message is shown in a moment, cut."""
    kept = came(order())
    raw = bytes(kept.raw) + b"OBX|1|ED|PDF||^AP^^Base64^" + b"JVBERi0x" * 600_000 + b"\r"
    InboundMessage.objects.filter(pk=kept.pk).update(raw=raw)
    answer = ada.get(f"/hl7/messages/{kept.pk}/")
    assert len(answer.content) < 400_000
    assert "characters in all" in answer.content.decode()


def test_history_leads_to_the_message(ada, molly):
    """The exam's history links the message it came from, for staff; several of one control ID are listed."""
    kept = came(order(control_id="A/B ?1"))
    exam = Order.objects.get().procedures.get()
    page = ada.get(f"/exams/{exam.pk}/").content.decode()
    address = re.search(r'href="(/hl7/control/[^"]*)"', page).group(1)
    assert ada.get(address)["Location"] == f"/hl7/messages/{kept.pk}/"
    assert "/hl7/control/" not in molly.get(f"/exams/{exam.pk}/").content.decode()
    came(order(control_id="A/B ?1", placer="P2"))
    answer = ada.get(address)
    assert parse_qs(urlsplit(answer["Location"]).query) == {"control_id": ["A/B ?1"]}
    assert len(found(ada.get(answer["Location"]))) == 2


def test_attempts_are_linked(ada):
    """From one attempt under a control ID to the next and back."""
    first = refused(control_id="C1")
    second = came(bytes(first.raw))
    assert f'href="/hl7/messages/{second.pk}/"' in ada.get(f"/hl7/messages/{first.pk}/").content.decode()
    assert f'href="/hl7/messages/{first.pk}/"' in ada.get(f"/hl7/messages/{second.pk}/").content.decode()


def test_replay_by_the_pages(ada):
    """The difference is shown and nothing kept; confirmed, the exam is there; confirmed again, nothing happens."""
    kept = refused(accession="A77")
    page = ada.post("/hl7/replay/", {"pick": kept.pk}).content.decode()
    assert "NEW" in page and "A77" in page and not Order.objects.exists()
    chosen = re.search(r'name="chosen" value="([^"]+)"', page).group(1)
    answer = ada.post("/hl7/replay/confirmed/", {"chosen": chosen})
    replayed = InboundMessage.objects.get(replay_of=kept)
    assert answer["Location"] == f"/hl7/messages/{replayed.pk}/"
    assert Order.objects.get().accession_number == "A77"
    again = ada.post("/hl7/replay/confirmed/", {"chosen": chosen}, follow=True).content.decode()
    assert f"has been replayed meanwhile, as message {replayed.pk}" in again
    assert InboundMessage.objects.filter(replay_of=kept).count() == 1


def test_accepted_only_with_the_explicit_choice(ada):
    """An accepted message that was picked is replayed only with its box ticked."""
    kept = came(order())
    page = ada.post("/hl7/replay/", {"pick": kept.pk}).content.decode()
    assert "accepted_too" in page and "accepted before" in page
    ada.post("/hl7/replay/confirmed/", {"chosen": f"{kept.pk}:0"})
    assert not InboundMessage.objects.filter(replay_of=kept).exists()
    ada.post("/hl7/replay/confirmed/", {"chosen": f"{kept.pk}:0", "accepted_too": "on"})
    assert InboundMessage.objects.filter(replay_of=kept).count() == 1


def test_all_of_a_filter(ada):
    """All of the filter that were not carried out are offered, and nothing else."""
    came(order(placer="P0"))
    wanted = [refused(placer=f"P{number}", control_id=f"X{number}").pk for number in range(1, 4)]
    answer = ada.post("/hl7/replay/", {"all": "1", "filter": "event=ORM"})
    assert [each.candidate.message.pk for each in answer.context["differences"]] == wanted
    chosen = [f"{pk}:0" for pk in wanted]
    page = ada.post("/hl7/replay/confirmed/", {"chosen": chosen}, follow=True)
    assert "3 replayed, of which 3 accepted." in page.content.decode()
    assert len(found(page)) == 3


@pytest.mark.parametrize("chosen", ["", "x", "1", ":", "9999:0", "1:x", "٣:0", "-1:0"])
def test_choices_that_are_none(ada, chosen):
    """Nonsense in the form changes nothing and is no fault."""
    assert ada.post("/hl7/replay/confirmed/", {"chosen": chosen}).status_code == 302
    assert ada.post("/hl7/replay/", {"pick": chosen}).status_code == 200
    assert not InboundMessage.objects.exists()


def test_settle(ada):
    """Asked for a reason first; then the message no longer waits, and says who settled it."""
    kept = refused()
    assert "Reason" in ada.post("/hl7/settle/", {"pick": kept.pk}).content.decode()
    assert InboundMessage.objects.get().settled_at is None
    page = ada.post("/hl7/settle/", {"pick": kept.pk, "reason": "ordered by telephone"}, follow=True).content.decode()
    assert "ordered by telephone" in page and "admin" in page
    assert ada.get("/hl7/").context["to_settle"] == 0
    assert ada.post("/hl7/settle/", {"pick": kept.pk, "reason": "again"})["Location"] == "/hl7/"


@pytest.mark.parametrize("address", ["/hl7/settle/", "/hl7/replay/", "/hl7/replay/confirmed/"])
def test_get_does_nothing(ada, address):
    """Whoever had to log in anew is led back to the messages."""
    refused()
    assert ada.get(address)["Location"] == "/hl7/"
    assert InboundMessage.objects.get().settled_at is None


@pytest.fixture
def sent(ada) -> list[OutboundMessage]:
    """Two messages of one order to one destination: the first failed, the second waits behind it."""
    came(order())
    destination = Destination.objects.create(name="PACS", host="127.0.0.1", port=1)
    facts = {"destination": destination, "kind": "order status", "line": "order 1", "payload": order()}
    events = WorkflowEvent.objects.order_by("-pk")[:2]
    return [
        OutboundMessage.objects.create(event=event, control_id=f"OUT{state}", state=state, **facts)
        for event, state in zip(events, ("FAILED", "WAITING"), strict=True)
    ]


def test_outbox(ada, sent):
    """Destinations with what waits and failed, and the messages; filtered by destination and state."""
    page = ada.get("/hl7/outbox/").content.decode()
    for text in ("PACS", "127.0.0.1:1", "OUTFAILED", "OUTWAITING", "never"):
        assert text in page
    failed = ada.get(f"/hl7/outbox/?destination={sent[0].destination_id}&state=FAILED")
    assert found(failed) == [sent[0].pk]
    assert found(ada.get("/hl7/outbox/?destination=x&state=x&before=x")) == [sent[1].pk, sent[0].pk]
    version = ada.get("/hl7/outbox/").context["version"]
    answer = ada.get("/hl7/outbox/", {"version": version})
    assert answer.status_code == 204 or answer.context["version"] != version  # a minute may just have ended


def test_send_again(ada, sent):
    """A failed message waits again under the same control ID, with the name of who did it."""
    page = ada.get(f"/hl7/outbox/{sent[0].pk}/").content.decode()
    assert "Send again" in page and "1 later message" in page
    ada.post(f"/hl7/outbox/{sent[0].pk}/resend/")
    message = OutboundMessage.objects.get(pk=sent[0].pk)
    assert (message.state, message.control_id, message.handled_by) == ("WAITING", "OUTFAILED", "admin")
    page = ada.post(f"/hl7/outbox/{sent[0].pk}/resend/", follow=True).content.decode()
    assert "waits to be sent already" in page


def test_skip(ada, sent):
    """A failed message is given up, so that the next goes on; a GET does nothing, another verb is not there."""
    ada.get(f"/hl7/outbox/{sent[0].pk}/give-up/")
    assert OutboundMessage.objects.get(pk=sent[0].pk).state == "FAILED"
    ada.post(f"/hl7/outbox/{sent[0].pk}/give-up/")
    assert OutboundMessage.objects.get(pk=sent[0].pk).state == "GIVEN_UP"
    assert ada.post(f"/hl7/outbox/{sent[0].pk}/delete/").status_code == 404


def test_stop_and_resume(ada, sent):
    """A destination is stopped by a person, who is named, and goes on when resumed."""
    pk = sent[0].destination_id
    page = ada.post(f"/hl7/outbox/destinations/{pk}/stop/", follow=True).content.decode()
    assert "STOPPED" in page and "by admin" in page
    page = ada.post(f"/hl7/outbox/destinations/{pk}/resume/", follow=True).content.decode()
    assert "STOPPED" not in page
    assert ada.post(f"/hl7/outbox/destinations/{pk}/burn/").status_code == 404


def test_outbound_bytes(ada, sent, molly):
    """The bytes as they are sent, for staff."""
    address = f"/hl7/outbox/{sent[0].pk}/download/"
    assert ada.get(address).content == bytes(sent[0].payload)
    assert molly.get(address).status_code == 403
