"""Fixtures of the web tests."""

import os
from collections.abc import Iterator
from datetime import datetime, time

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, sync_playwright

from ris.models import ScheduledProcedureStep
from tests import making
from tests.web.browsing import ARGUMENTS, CHROMIUM


@pytest.fixture
def molly(site) -> Client:
    """A browser in which Molly of the front desk is logged in."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="molly"))
    return client


@pytest.fixture
def today_noon() -> datetime:
    return datetime.combine(timezone.localdate(), time(12), timezone.get_current_timezone())


@pytest.fixture
def step(site, today_noon) -> ScheduledProcedureStep:
    """A CT booked today at noon."""
    return making.only_step(making.placed("4711", making.step_request(start=today_noon, station_ae_titles=("CT1",))))


@pytest.fixture
def unbooked(site) -> ScheduledProcedureStep:
    """A STAT order for a CT without a time."""
    return making.only_step(making.placed("4712", making.step_request(start=None), priority="STAT"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the module. Playwright's loop runs in this thread, which Django would refuse as asynchronous."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
