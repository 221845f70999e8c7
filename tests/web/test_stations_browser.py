"""Scanners in a real browser: live, added by one click with and without JavaScript, explained, on small screens."""

from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from ris.models import Station
from tests import making
from tests.web.browsing import desk_in
from worklist.models import StationActivity, UnknownCaller

#: Longer than the page's three seconds, on a busy machine.
LIVE = 15_000

pytestmark = pytest.mark.django_db(transaction=True)


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


def refused(ae_title: str) -> UnknownCaller:
    now = timezone.now()
    return UnknownCaller.objects.create(
        ae_title=ae_title,
        called_ae_title="SUNVIEW",
        address="10.0.0.9",
        reason="calling AE title not recognized",
        asked=["Modality Worklist Information Model - FIND"],
        first_at=now,
        last_at=now,
    )


def test_added_by_one_click(any_page):
    """From the list of refused callers to a station, whose page is shown; another one is dismissed."""
    page = any_page
    refused("MR9")
    refused("STRANGER")
    page.goto("/")
    page.get_by_role("link", name="Scanners").click()
    page.get_by_role("button", name="Dismiss STRANGER").click()
    expect(page.get_by_role("status")).to_contain_text("Dismissed")
    expect(page.locator("main")).not_to_contain_text("STRANGER")
    page.get_by_role("link", name="Add… MR9").click()
    page.get_by_role("button", name="Add as a station").click()
    expect(page.get_by_role("status")).to_contain_text("MR9 may call in 2 seconds.")
    expect(page.get_by_role("heading", level=1)).to_contain_text("MR9")
    assert Station.objects.get(ae_title="MR9").modality == "MR"


def test_live(page):
    """What a scanner does shows by itself."""
    page.goto("/stations/")
    expect(page.locator("#stations")).not_to_contain_text("SEEN")
    StationActivity.objects.create(station=Station.objects.get(ae_title="CT1"), echo_at=timezone.now())
    expect(page.locator("#stations")).to_contain_text("SEEN", timeout=LIVE)
    refused("MR9")
    expect(page.locator("#stations")).to_contain_text("MR9", timeout=LIVE)


def test_from_the_exam_to_the_explanation(any_page):
    """The exam's button leads to each scanner's reasons; no address holds the number."""
    page = any_page
    order = making.placed("1", making.step_request(station_ae_titles=("CT1",)))
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"/exams/{order.procedures.get().pk}/")
    page.get_by_role("button", name="Explain for each scanner").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="CT2"))
    expect(row).to_contain_text("The step is assigned to CT1.")
    page.get_by_text("By a question that it would ask").click()
    page.get_by_label("Keys that it would ask by").fill("Modality=MR")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("main")).to_contain_text("Modality: the query asked for MR, the step has CT.")
    assert not [address for address in addresses if order.accession_number in address]


@pytest.mark.parametrize("width", [360, 640, 1024])
def test_small_screens_and_large_zoom(page, width):
    """A tablet, and a laptop at 200 %, need no sideways scrolling of the page."""
    caller = refused("MR9")
    ct1 = Station.objects.get(ae_title="CT1")
    page.set_viewport_size({"width": width, "height": 700})
    for address in ("", f"{ct1.pk}/", f"callers/{caller.pk}/", "explain/"):
        page.goto(f"/stations/{address}")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), address
