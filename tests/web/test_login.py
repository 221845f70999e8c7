"""Who may see what. Covered: login, logout, pages and actions without login, a session that ends behind a page."""

import pytest
from django.contrib.auth import get_user_model

pytestmark = pytest.mark.usefixtures("site")

PAGES = ["/", "/exams/1/", "/search/", "/reconciliation/", "/admin/"]
ACTIONS = ["/steps/1/arrive/", "/steps/1/book/", "/exams/1/cancel/", "/search/"]


@pytest.mark.parametrize("address", PAGES)
def test_pages_ask_for_a_login(client, address):
    """No page is shown to a stranger."""
    answer = client.get(address)
    assert answer.status_code == 302
    assert "/login/?next=" in answer["Location"]


@pytest.mark.parametrize("address", ACTIONS)
def test_actions_ask_for_a_login(client, address):
    """No button works for a stranger."""
    answer = client.post(address, {"text": "x"})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


def test_log_in_and_out(client):
    """Molly logs in to the board and out to the login page; a wrong password says so."""
    molly = get_user_model().objects.get(username="molly")
    molly.set_password("a long enough password")
    molly.save()
    wrong = client.post("/login/", {"username": "molly", "password": "guess"})
    assert b"correct username and password" in wrong.content
    assert client.post("/login/", {"username": "molly", "password": "a long enough password"})["Location"] == "/"
    assert client.get("/").status_code == 200
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_session_ends_behind_a_live_page(client):
    """A board whose session ended is told to load the page anew, not to put a login form into itself."""
    answer = client.get("/?version=old", headers={"HX-Request": "true"}, follow=True)
    assert answer["HX-Refresh"] == "true"


def test_cross_site_request_is_refused(molly):
    """A POST without the CSRF token is not carried out."""
    molly.handler.enforce_csrf_checks = True
    assert molly.post("/steps/1/arrive/").status_code == 403
