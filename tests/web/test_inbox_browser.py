"""Messages in a real browser: a refused message is mended and replayed; the page is live and keeps ticks."""

from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Page, expect

from hl7.exchange import receive
from hl7.framing import Frame
from hl7.models import Feed, InboundMessage
from tests.hl7.conftest import order
from tests.web.browsing import desk_in

#: Longer than the page's three seconds, on a busy machine.
LIVE = 15_000

pytestmark = pytest.mark.django_db(transaction=True)


def came(raw: bytes) -> InboundMessage:
    receive(Frame(raw), "127.0.0.1")
    return InboundMessage.objects.first()


@pytest.fixture
def ada(site) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


@pytest.fixture(params=["htmx", "without JavaScript"])
def any_page(request, chromium, live_server, ada) -> Iterator[Page]:
    """Ada's browser, with and without JavaScript."""
    yield from desk_in(chromium, live_server, ada, java_script_enabled=request.param == "htmx")


@pytest.fixture
def page(chromium, live_server, ada) -> Iterator[Page]:
    """Ada's browser."""
    yield from desk_in(chromium, live_server, ada)


def test_refused_mended_replayed(any_page):
    """A message that no feed took: the feed is mended, the difference shown, it is replayed, the exam is there."""
    page = any_page
    Feed.objects.update(sending_application="OTHER")
    came(order(accession="A4711"))
    page.goto("/hl7/?outcome=TO_SETTLE")
    expect(page.locator(".banner")).to_contain_text("1 message was not carried out")
    page.locator("td a[id^=message]").click()
    expect(page.locator("main")).to_contain_text("No active feed takes messages of this sender")
    Feed.objects.update(sending_application="HIS")
    page.goto("/hl7/?outcome=TO_SETTLE")
    page.locator("[name=pick]").check()
    page.get_by_role("button", name="Replay…").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Nothing is changed yet")
    difference = page.locator("section")
    for text in ("REFUSED", "ACCEPTED", "NEW", "A4711", "X-ray wrist"):
        expect(difference).to_contain_text(text)
    page.get_by_role("button", name="Replay it").click()
    expect(page.get_by_role("status")).to_contain_text("1 replayed, of which 1 accepted.")
    page.get_by_role("link", name="A4711").click()
    expect(page.locator("#exam-status")).to_have_text("SCHEDULED")
    page.locator("#history a").first.click()
    expect(page.locator("main")).to_contain_text("A4711")


def test_live_and_ticks_stay(page):
    """What comes in shows by itself; a message that was ticked stays ticked."""
    came(order())
    page.goto("/hl7/")
    page.locator("[name=pick]").check()
    came(order(placer="P2", control_id="NEWER"))
    expect(page.locator("#inbox")).to_contain_text("NEWER", timeout=LIVE)
    ticked = page.locator("[name=pick]:checked")
    expect(ticked).to_have_count(1)
    expect(ticked).to_have_value(str(InboundMessage.objects.last().pk))


def test_patient_stays_out_of_the_address(page):
    """A name that is searched for is in no address."""
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    came(order())
    page.goto("/hl7/")
    page.get_by_role("textbox", name="Patient ID or name").fill("sample")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".shown")).to_contain_text("Sample, Grace")
    assert not [address for address in addresses if "sample" in address.lower()]


@pytest.mark.parametrize("width", [360, 640, 1024])
def test_small_screens_and_large_zoom(page, width):
    """A tablet, and a laptop at 200 %, need no sideways scrolling of the page."""
    kept = came(order())
    page.set_viewport_size({"width": width, "height": 700})
    for address in ("/hl7/", f"/hl7/messages/{kept.pk}/", "/hl7/outbox/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), address
