"""A browser window for tests, in which somebody is logged in."""

from collections.abc import Iterator

from django.conf import settings
from playwright.sync_api import BrowserContext, Page

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def desk_in(chromium, live_server, molly, **options) -> Iterator[Page]:
    context = chromium.new_context(base_url=live_server.url, locale="en-GB", **options)
    session = molly.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    yield from watched(context, live_server.url)


def watched(context: BrowserContext, own: str) -> Iterator[Page]:
    """A page that may ask nobody but us and may not complain."""
    page = context.new_page()
    outside: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: None if request.url.startswith((own, "data:")) else outside.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert outside == [], outside
    assert complaints == [], complaints
