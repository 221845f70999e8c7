"""The page "paste a message": what would happen is seen, nothing is kept, and no input breaks it."""

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hl7.models import Feed, InboundMessage
from ris.models import Order
from tests.hl7.conftest import answer_to, message, order

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client, feed: Feed) -> Client:
    client.force_login(User.objects.create_user("engineer", is_staff=True))
    return client


def page(client: Client, **sent: object) -> str:
    answer = client.post(reverse("paste"), {"feed": Feed.objects.get().pk, **sent})
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_is_for_staff(client, feed):
    """Messages are full of patients."""
    client.force_login(User.objects.create_user("molly2"))
    assert client.get(reverse("paste")).status_code == 403


def test_a_pasted_order_is_explained(staff):
    """Attribute, value, field, the answer, the names of fields; line ends of a browser; and nothing is kept."""
    html = page(staff, text=order(accession="A77").decode().replace("\r", "\r\n"))
    for words in ("A77", "OBR-18.1", "TQ1-7.1", "MSA|AA", "Patient name", "XRAY1, XRAY2", "would be new"):
        assert words in html, words
    assert (Order.objects.count(), InboundMessage.objects.count()) == (0, 0)


def test_the_patients_attributes_have_their_field_too(staff):
    """As those of the order and the exam."""
    html = page(staff, text=order(obr="XWRIST^X-ray wrist^L^XWRIST^Wrist^L").decode())
    assert "MSA|AA" in html
    patient = html[html.index("Patient GRACE1") : html.index("Read in the message")]
    for words in ("PID-3", "PID-5", "PID-7.1", "PID-8.1"):
        assert f"<code>{words}</code>" in patient, words


BARE = order(control_id="WRAPPED", accession="A77").decode()


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"2026-11-22 08:00:00,123 INFO [mllp-1] {row}" for row in BARE.split("\r")),
        "Received from 10.0.0.1: " + BARE,
        "<VT>" + BARE.replace("\r", "<CR>\n") + "<FS><CR>",
        "^K" + BARE.replace("\r", "^M") + "^\\^M",
        BARE.replace("\r", "\\r"),
        '{"message": "' + BARE.replace("\\", "\\\\").replace("\r", "\\r") + '"}',
        "<pre>" + BARE.replace("&", "&amp;") + "</pre></body>",
        '"' + BARE + '"',
        "\n".join(f"{number}: {row}" for number, row in enumerate(BARE.split("\r"))),
        "\n".join(f"> {row}" for row in BARE.split("\r")),
    ],
)
def test_what_stands_around_a_message_is_left_out(staff, text):
    """A log's prefixes, marks of line ends, JSON, a web page, quotes; and the page says so."""
    html = page(staff, text=text)
    for words in ("MSA|AA|WRAPPED", "A77", "XRAY1, XRAY2", "was left out"):
        assert words in html, words
    assert "was left out" not in page(staff, text=BARE.replace("\r", "\r\n"))


def test_several_messages_are_taken_as_the_listener_takes_them(staff):
    """Each for itself: the first is shown, and how many there are is said."""
    html = page(staff, text=order(control_id="ONE").decode() + order(control_id="TWO", placer="P2").decode())
    assert "MSA|AA|ONE" in html and "Messages in this frame: 2" in html
    html = page(staff, text="FHS|^~\\&\rBHS|^~\\&\r" + order(control_id="ONE").decode() + "BTS|1\rFTS|1\r")
    assert "MSA|AA|ONE" in html and "answered by one batch" in html


def test_a_change_is_shown_against_the_exam_that_is_there(staff):
    """What is, and what would be."""
    answer_to(order(placer="P1"))
    html = page(staff, text=order("XO", placer="P1", modality="CT").decode())
    assert "is here already" in html and "<ins>CT</ins>" in html


def test_a_refusal_says_what_is_wrong(staff):
    """With the field."""
    html = page(staff, text=order(start="20250230").decode())
    assert "REFUSED" in html and "TQ1-7.1 is not a date and time that exists" in html


def test_a_file_is_read_byte_for_byte(staff):
    """In its own character set, and in an MLLP frame or not, with a log's text before it (#053) or not."""
    raw = message("PID|||1^^^ADT||Łucja^Ż", kind="ADT^A08", charset="CP1250", codec="cp1250")
    for content in (raw, b"\x0b" + raw + b"\x1c\r", b"12:00 got \x0b" + raw + b"\x1c\r\x0bMSH"):
        assert "Łucja" in page(staff, file=SimpleUploadedFile("m.hl7", content))


def test_pasted_text_of_another_character_set_is_read_as_it_was_typed(staff):
    """MSH-18 speaks of bytes; in a browser there are none."""
    raw = message("PID|||1^^^ADT||Łucja^Ż", kind="ADT^A08", charset="CP1250")
    assert "Łucja" in page(staff, text=raw.decode())


@pytest.mark.parametrize("text", ["", " ", "hello", "MSH", "MSH|^~\\&|", "\x0bMSH|^~\\&|A\x1c", "MSH|" + "|" * 5000])
def test_what_is_no_message_is_said_to_be_none(staff, text):
    """No input breaks the page."""
    page(staff, text=text)


@given(st.one_of(st.text(max_size=300), st.text(max_size=200).map("MSH|^~\\&|{}\rPID|||1\rORC|NW|1\rOBR|1".format)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_the_page(staff, text):
    """Nor is anything kept of it."""
    page(staff, text=text.encode("utf-8", "replace").decode())
    assert InboundMessage.objects.count() == 0


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_breaks_the_page(staff, content):
    """Whatever its bytes are."""
    page(staff, file=SimpleUploadedFile("m.hl7", b"MSH|^~\\&|" + content))
