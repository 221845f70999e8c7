"""The web UI in a real browser. Covered: the desk's day, also without JavaScript; live pages; no outside request."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Page, expect

from ris.services import performing, scheduling
from tests import making
from tests.waiting import wait_until
from tests.web.browsing import desk_in, watched

#: Longer than the board's three seconds, on a busy machine.
LIVE = 15_000

# The browser tests use the database from threads of the live server; the demo site is loaded after each flush.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["htmx", "without JavaScript"])
def any_desk(request, chromium, live_server, molly) -> Iterator[Page]:
    """Molly's browser, with and without JavaScript."""
    yield from desk_in(chromium, live_server, molly, java_script_enabled=request.param == "htmx")


@pytest.fixture
def desk_page(chromium, live_server, molly) -> Iterator[Page]:
    """Molly's browser."""
    yield from desk_in(chromium, live_server, molly)


def test_log_in(chromium, live_server, site):
    """Molly logs in with her password and sees today's board; then she logs out."""
    molly = get_user_model().objects.get(username="molly")
    molly.set_password("a long enough password")
    molly.save()
    for page in watched(chromium.new_context(base_url=live_server.url), live_server.url):
        page.goto("/")
        page.get_by_label("User name").fill("molly")
        page.get_by_label("Password").fill("a long enough password")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Today")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_the_desks_day(any_desk, unbooked):
    """Book an order into a room and time, check in, cancel with a reason; the history shows all of it."""
    page = any_desk
    page.goto("/")
    page.get_by_role("link", name="Book").click()
    page.get_by_label("Room").select_option("CT 2")
    page.get_by_label("Time").fill("23:55")
    page.get_by_role("button", name="Book", exact=True).click()
    expect(page.locator(".when")).to_contain_text("23:55 · 15 min · CT 2", use_inner_text=True)
    expect(page.locator(".worklist")).to_contain_text("On the worklist of CT2")
    page.get_by_role("button", name="Check in").click()
    expect(page.locator(".message")).to_have_text("Checked in.")
    page.get_by_text("Cancel the exam…").click()
    page.get_by_label("Reason").fill("Patient has a fever")
    page.get_by_role("button", name="Cancel the exam").click()
    history = page.locator("#history")
    for text in ("NEW → SCHEDULED", "SCHEDULED → ARRIVED", "ARRIVED → CANCELED", "Patient has a fever", "molly"):
        expect(history).to_contain_text(text)


def test_wrong_time_is_said_beside_the_field(desk_page, unbooked):
    """A booking in the hour that the change of clocks leaves out is explained, and what was typed is kept."""
    desk_page.goto(f"/exams/{unbooked.requested_procedure_id}/")
    desk_page.get_by_label("Day").fill("2027-03-28")
    desk_page.get_by_label("Time").fill("01:30")
    desk_page.get_by_role("button", name="Book", exact=True).click()
    expect(desk_page.get_by_role("alert")).to_contain_text("Europe/Dublin")
    expect(desk_page.get_by_label("Time")).to_have_value("01:30")


def test_board_is_live(desk_page, step, desk):
    """What happens elsewhere shows on the board by itself: check-in, the scanner's start and end, a new order."""
    desk_page.goto("/")
    card = desk_page.locator(".card", has_text="SV0000")
    expect(card.locator(".status")).to_have_text("SCHEDULED")
    scheduling.arrive(step.pk, desk)
    expect(card.locator(".status")).to_have_text("ARRIVED", timeout=LIVE)
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    expect(card.locator(".status")).to_have_text("IN PROGRESS", timeout=LIVE)
    performing.update(making.ended("1.2.3"), making.SCANNER)
    expect(card.locator(".status")).to_have_text("PERFORMED", timeout=LIVE)
    making.placed("4790", making.step_request(start=None, description="CT chest"))
    expect(desk_page.get_by_role("complementary")).to_contain_text("Hopper, Grace", timeout=LIVE)


def test_live_board_keeps_focus_and_place(desk_page, step, desk, today_noon):
    """When the board changes, the focused link keeps the focus and the page does not jump."""
    for number in range(25):
        making.placed(f"N{number}", making.step_request(start=today_noon, station_ae_titles=("CT1",)))
    desk_page.goto("/")
    link = desk_page.locator(".card h3 a").last
    link.focus()
    kept = link.get_attribute("id")
    desk_page.evaluate("window.scrollTo(0, 400)")
    scheduling.arrive(step.pk, desk)
    expect(desk_page.locator(".status", has_text=re.compile("^ARRIVED$"))).to_have_count(1, timeout=LIVE)
    assert desk_page.evaluate("document.activeElement.id") == kept
    assert desk_page.evaluate("window.scrollY") == 400


def test_check_in_on_the_board(any_desk, step):
    """The button on a card checks in, and the next move is offered."""
    any_desk.goto("/")
    any_desk.get_by_role("button", name="Check in").click()
    expect(any_desk.locator(".status", has_text="ARRIVED")).to_be_visible()
    expect(any_desk.get_by_role("button", name="Ready")).to_be_visible()
    step.refresh_from_db()
    assert step.status == "ARRIVED"


def test_second_click_of_a_double_click(desk_page, step):
    """The button that takes the place of the pressed one cannot be hit in its first moment."""
    desk_page.goto("/")
    desk_page.evaluate(
        """document.addEventListener("htmx:afterSettle", () => {
            const button = document.querySelector(".move.ready button");
            window.hit ??= button && getComputedStyle(button).pointerEvents;
        })"""
    )
    desk_page.get_by_role("button", name="Check in").click()
    assert wait_until(lambda: desk_page.evaluate("window.hit")) == "none"
    desk_page.get_by_role("button", name="Ready").click()
    expect(desk_page.locator(".card .status")).to_have_text("READY")


def test_exam_page_is_live(desk_page, step):
    """The open exam page shows the scanner's start and end by itself."""
    desk_page.goto(f"/exams/{step.requested_procedure_id}/")
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    expect(desk_page.locator("#exam-status")).to_have_text("IN PROGRESS", timeout=LIVE)
    performing.update(making.ended("1.2.3", images=3), making.SCANNER)
    expect(desk_page.locator("#progress")).to_contain_text("3 of 3 images missing", timeout=LIVE)


def test_session_ends(desk_page, step):
    """A board left open after its session ended shows the login page."""
    desk_page.goto("/")
    desk_page.context.clear_cookies()
    expect(desk_page.get_by_role("button", name="Log in")).to_be_visible(timeout=LIVE)


def test_name_search_stays_out_of_the_address(desk_page, step):
    """Searching for a name finds the exam, and the address never holds the name."""
    addresses: list[str] = []
    desk_page.on("request", lambda request: addresses.append(request.url))
    desk_page.goto("/")
    desk_page.get_by_role("searchbox").fill("hopper")
    desk_page.keyboard.press("Enter")
    desk_page.get_by_role("link", name="Hopper, Grace").click()
    expect(desk_page.get_by_role("heading", name="Hopper, Grace")).to_be_visible()
    wait_until(lambda: len(addresses) > 3)
    assert not [address for address in addresses if "hopper" in address.lower()]


@pytest.mark.parametrize("width", [360, 640, 1024])
def test_small_screens_and_large_zoom(desk_page, step, unbooked, width):
    """A tablet, and a laptop at 200 %, need no sideways scrolling."""
    desk_page.set_viewport_size({"width": width, "height": 700})
    for address in ("/", f"/exams/{step.requested_procedure_id}/", f"/exams/{unbooked.requested_procedure_id}/"):
        desk_page.goto(address)
        assert desk_page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
