"""Fixtures that all tests share."""

import shutil

import pytest
from django.conf import settings
from django.core.management import call_command

from ris.inputs import Actor


def pytest_addoption(parser) -> None:
    parser.addoption("--only-database", action="store_true", help="only what the choice of database can change")


def pytest_collection_modifyitems(config, items) -> None:
    """The second run, on PostgreSQL, leaves out what never meets a database."""
    if not config.getoption("--only-database"):
        return
    meets = [item for item in items if _meets_database(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in meets])
    items[:] = meets


def _meets_database(item: pytest.Item) -> bool:
    fixtures = {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    return bool(fixtures or item.get_closest_marker("django_db") or "flow" in item.path.parts)


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
