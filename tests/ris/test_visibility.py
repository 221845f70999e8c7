"""What a station's rules hide. Covered: every cell of department, check-in and days, by the site's midnight."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ris import sight, visibility
from ris.models import Department, ScheduledProcedureStep, Station
from ris.services import scheduling
from tests import making
from worklist import stations

DUBLIN = ZoneInfo("Europe/Dublin")
#: A quarter past midnight of a summer's day: the evening before in UTC.
NOW = datetime(2026, 7, 1, 0, 15, tzinfo=DUBLIN)


@dataclass(frozen=True)
class Rules:
    only_arrived: bool = False
    days_before: int | None = None
    days_after: int | None = None


def told(rules=None, titles=("CT1", "CT2"), status="SCHEDULED", start=NOW, assigned=("CT1",)) -> str:
    return "; ".join(
        visibility.reasons(rules or Rules(), titles, status=status, start=start, stations=assigned, now=NOW)
    )


@pytest.mark.parametrize(
    ("titles", "assigned", "expected"),
    [
        (("CT1", "CT2"), ("CT1",), ""),
        (("CT1", "CT2"), ("CT2", "MR9"), ""),
        (("CT1", "CT2"), (), ""),
        (("CT1", "CT2"), ("MR9",), "the step is assigned to MR9, in another department"),
        (("CT1",), ("MR9", "MR8"), "the step is assigned to MR9, MR8"),
    ],
)
def test_department(titles, assigned, expected):
    """Shown when one of the step's stations is of the same department; a step of no station is no matter of this."""
    assert told(titles=titles, assigned=assigned) == expected


@pytest.mark.parametrize(
    ("status", "is_hidden"), [("SCHEDULED", True), ("ARRIVED", False), ("READY", False), ("STARTED", False)]
)
def test_only_arrived(status, is_hidden):
    """A station that shows only arrived patients hides who has not been checked in; others hide nobody."""
    assert ("checked in" in told(Rules(only_arrived=True), status=status)) is is_hidden
    assert told(status=status) == ""


@pytest.mark.parametrize(
    ("before", "after", "start", "expected"),
    [
        (0, 0, NOW, ""),
        (0, 0, NOW.replace(hour=23, minute=59), ""),
        (0, None, NOW - timedelta(minutes=16), "the start is 1 day before today, and this station shows no day back"),
        (1, None, NOW - timedelta(minutes=16), ""),
        (1, None, NOW - timedelta(days=2), "the start is 2 days before today, and this station shows 1 day back"),
        (None, 0, NOW + timedelta(days=1), "the start is 1 day after today, and this station shows no day ahead"),
        (None, 3, NOW + timedelta(days=3), ""),
        (None, 3, NOW + timedelta(days=4), "the start is 4 days after today, and this station shows 3 days ahead"),
        (None, 3, NOW - timedelta(days=400), ""),
        (3, None, NOW + timedelta(days=400), ""),
        (0, 0, None, ""),
    ],
)
def test_days(before, after, start, expected):
    """Days are counted by the site's midnight, whatever zone the start is written in."""
    rules = Rules(days_before=before, days_after=after)
    assert told(rules, start=start) == expected
    assert told(rules, start=start and start.astimezone(UTC)) == expected


def test_all_that_hides_is_said():
    """Three rules, three sentences."""
    rules = Rules(only_arrived=True, days_after=0)
    assert told(rules, start=NOW + timedelta(days=1), assigned=("MR9",)).count(";") == 2


def test_station_and_profile_have_the_rules(site, desk):
    """A station and the worklist's profile of it hide the same, and what a station's page says is the same too."""
    step = making.only_step(making.placed("1", making.step_request(station_ae_titles=("CT1",))))
    Station.objects.filter(ae_title="CT1").update(only_arrived=True)
    Station.objects.filter(ae_title="MR1").update(department=Department.objects.create(name="Cardiology"))

    def told_of(ae_title: str) -> list[str]:
        station = Station.objects.get(ae_title=ae_title)
        titles = sight.siblings()[station.pk]
        profile = stations.profiles()[ae_title]
        assert profile.siblings == titles
        hidden = sight.hidden_from(step, station, titles)
        assert hidden == sight.hidden_from(step, profile, profile.siblings)
        obstacles = sight.station_obstacles(step, station, titles)
        assert set(hidden) <= set(obstacles)
        return obstacles

    assert "checked in" in "".join(told_of("CT1"))
    assert told_of("CT2") == ["the step is assigned to CT1"]
    assert told_of("MR1") == ["the step is assigned to CT1"]
    scheduling.arrive(step.pk, desk)
    step = ScheduledProcedureStep.objects.get(pk=step.pk)
    assert told_of("CT1") == []


def test_siblings(site):
    """Active stations of the department, itself even if it is not active; without a department only itself."""
    Station.objects.filter(ae_title="CT2").update(is_active=False)
    Station.objects.filter(ae_title__in=["MR1", "US1"]).update(department=None)
    seen = {Station.objects.get(pk=pk).ae_title: titles for pk, titles in sight.siblings().items()}
    assert seen["CT1"] == {"CT1", "XRAY1", "XRAY2", "MG1"}
    assert seen["CT2"] == seen["CT1"] | {"CT2"}
    assert seen["MR1"] == {"MR1"}
