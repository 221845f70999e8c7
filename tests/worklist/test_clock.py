"""Dates, times and the window of a query, against a reference that looks at the wall clock only."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worklist import clock

DUBLIN = ZoneInfo("Europe/Dublin")
#: Around both changes of the clock in 2026: 29 March 01:00 and 25 October 02:00 in Dublin.
MOMENTS = st.one_of(
    *(
        st.builds(lambda first, second: first + timedelta(seconds=second), st.just(first), st.integers(0, 3 * 86400))
        for first in (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC))
    )
)
DAYS = st.sampled_from(["", *(f"202603{day}" for day in (28, 29, 30)), *(f"202610{day}" for day in (24, 25, 26))])
TIMES = st.sampled_from(["", "00", "01", "0130", "013000", "0115", "02", "0215", "235959", "12"])
RANGES = st.sampled_from(["one", "from", "to", "between"])


def spelled(kind: str, first: str, last: str) -> str:
    if not first or not last:
        return ""
    return {"one": first, "from": f"{first}-", "to": f"-{last}", "between": f"{first}-{last}"}[kind]


def reference(dates: str, times: str, moment: datetime) -> bool:
    """PS3.4 K.6.1.2.2 read off the wall clock: texts of equal length compare as dates do."""
    local = moment.astimezone(DUBLIN)
    day, now = f"{local:%Y%m%d}", f"{local:%H%M%S}"
    first_day, _, last_day = dates.partition("-") if "-" in dates else (dates, "", dates)
    first_time, _, last_time = times.partition("-") if "-" in times else (times, "", times)
    low, high = first_time.ljust(6, "0"), last_time + "235959"[len(last_time) :]
    if dates and "-" in times:
        after = not first_day or day + now >= first_day + low
        return after and (not last_day or day + now <= last_day + high)
    in_days = (not first_day or day >= first_day) and (not last_day or day <= last_day)
    return in_days and (not times or low <= now <= high)


@settings(deadline=None)
@given(RANGES, DAYS, DAYS, RANGES, TIMES, TIMES, MOMENTS)
def test_a_window_is_what_the_wall_clock_says(days, day, other_day, clocks, hour, other_hour, moment):
    """Single values, ranges and combined ranges, also where clocks change; the index bounds never cut a match off."""
    dates, times = spelled(days, day, other_day), spelled(clocks, hour, other_hour)
    window = clock.window(dates, times)
    expected = reference(dates, times, moment)
    assert window.covers(moment) == expected
    first, last = window.bounds()
    if expected:
        assert (first is None or first <= moment) and (last is None or moment <= last)


def test_a_night_is_one_span():
    """22:00 on one day to 02:00 on the next is four hours, not two pieces of each day."""
    window = clock.window("20261122-20261123", "2200-0200")
    hours = [datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in range(24)]
    hours += [hour + timedelta(days=1) for hour in hours]
    assert [hour.hour for hour in hours if window.covers(hour)] == [22, 23, 0, 1, 2]


@pytest.mark.parametrize("dates", ["20251301", "2025*", "-", "202511", "tomorrow", "20250230", "+0251122"])
def test_what_is_no_date_is_refused(dates):
    """A date that is none is an error, never a query for everything."""
    with pytest.raises(ValueError):
        clock.window(dates, "")


@pytest.mark.parametrize("times", ["25", "1", "10:00", "-", "106000", "*", "1000.1234567"])
def test_what_is_no_time_is_refused(times):
    """So is a time."""
    with pytest.raises(ValueError):
        clock.window("", times)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10", time(10), time(10, 59, 59, 999999)),
        ("1030", time(10, 30), time(10, 30, 59, 999999)),
        ("103015", time(10, 30, 15), time(10, 30, 15, 999999)),
        ("103015.5", time(10, 30, 15, 500000), time(10, 30, 15, 599999)),
        ("235960", time(23, 59, 59, 999999), time(23, 59, 59, 999999)),
    ],
)
def test_a_time_means_all_that_it_leaves_open(text, first, last):
    """Fewer digits are less precise, not earlier."""
    assert clock.parse_time(text) == (first, last)


def test_a_reported_time_is_the_sites_unless_it_says_otherwise():
    """Timezone Offset From UTC (0008,0201) wins over the site's zone."""
    assert clock.from_site("20260701", "120000") == datetime(2026, 7, 1, 11, tzinfo=UTC)
    assert clock.from_site("20260701", "120000", "-0530") == datetime(2026, 7, 1, 17, 30, tzinfo=UTC)
    assert clock.parse_date("20260701") == date(2026, 7, 1)
