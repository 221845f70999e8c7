"""Fixtures that all tests share."""

import shutil

import pytest
from django.conf import settings
from django.core.management import call_command

from ris.inputs import Actor


def pytest_unconfigure() -> None:
    shutil.rmtree(settings.DATA_DIR, ignore_errors=True)


@pytest.fixture
def site(db) -> None:
    """The demo site: stations, rooms, catalogue, users, the HIS feed."""
    call_command("loaddata", "sunview", verbosity=0)


@pytest.fixture
def desk() -> Actor:
    """Molly of the front desk."""
    return Actor(kind="USER", name="molly")
