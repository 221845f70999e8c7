"""DICOM dates and times (PS3.5 6.2, VR DA and TM) to and from the site's clock: the one place where zones change."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo

from ris.selectors import site_zone

_TIME = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")
_FIRST, _LAST = time.min, time.max


def parse_date(text: str) -> date:
    """A DA value; ValueError if it is none."""
    if not re.fullmatch(r"\d{8}", text):
        raise ValueError("not a date of the form YYYYMMDD")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise ValueError("a date that does not exist") from None


def parse_time(text: str) -> tuple[time, time]:
    """A TM value as first and last instant that it can mean: ``10`` is 10:00:00 to 10:59:59.999999. ValueError."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError("not a time of the form HHMMSS.FFFFFF")
    hour, minute, second, fraction = match.groups()
    if second == "60":  # PS3.5 6.2 TM allows the leap second; Python's clock does not
        second, fraction = "59", "999999"
    first = time(int(hour), int(minute or 0), int(second or 0), int((fraction or "").ljust(6, "0")))
    last_fraction = int((fraction or "").ljust(6, "9"))
    last = time(
        first.hour, 59 if minute is None else first.minute, 59 if second is None else first.second, last_fraction
    )
    return first, last


def to_site(moment: datetime) -> datetime:
    """An aware moment as the site's wall clock shows it, naive."""
    return moment.astimezone(site_zone()).replace(tzinfo=None)


def from_site(day: str, clock: str, offset: str = "") -> datetime:
    """The moment of a DA and a TM value. ``offset`` is a Timezone Offset From UTC (0008,0201), else the site's zone.

    A clock time that comes twice is the first one; ValueError if one of the values is none.
    """
    zone = parse_offset(offset) if offset else site_zone()
    return datetime.combine(parse_date(day), parse_time(clock)[0], zone)


def parse_offset(text: str) -> tzinfo:
    """A Timezone Offset From UTC such as ``+0100``; ValueError if it is none."""
    match = _OFFSET.fullmatch(text)
    if not match:
        raise ValueError("not an offset of the form &ZZXX")
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


@dataclass(frozen=True)
class Window:
    """What a query's start date and start time ask for, on the site's wall clock; None where a bound is open.

    ``zone`` is set where the query says its own Timezone Offset From UTC (0008,0201): then that clock counts.

    A range of dates with a range of times is one span from the first date's first time to the last date's last time
    (PS3.4 K.6.1.2.2 with C.2.2.2.5); times alone, or one exact time with dates, are asked of each day.
    """

    first: datetime | None = None
    last: datetime | None = None
    daily: tuple[time, time] | None = None
    zone: tzinfo | None = None

    @property
    def is_open(self) -> bool:
        return self.first is None and self.last is None and self.daily is None

    def covers(self, moment: datetime) -> bool:
        """Whether an aware moment lies in the window as the wall clock shows it."""
        return self.is_open or self.covers_local(moment.astimezone(self.zone or site_zone()).replace(tzinfo=None))

    def covers_local(self, local: datetime) -> bool:
        """The same for a moment as the window's clock shows it, naive."""
        within = (self.first is None or self.first <= local) and (self.last is None or local <= self.last)
        return within and (self.daily is None or self.daily[0] <= local.time() <= self.daily[1])

    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """Aware bounds that hold at least the window, also where clocks change: for the index."""
        zone = self.zone or site_zone()

        def both(local: datetime) -> list[datetime]:
            return [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]

        first = min(both(self.first), key=datetime.timestamp) if self.first else None
        last = max(both(self.last), key=datetime.timestamp) if self.last else None
        return first, last


def window(dates: str, times: str, offset: str = "") -> Window:
    """The window of two matching keys, each empty, a value or a range, on the clock of ``offset`` or else the site's;
    ValueError if a date, time or offset is none."""
    first_day, last_day = date_range(dates)
    clock = time_range(times)
    spans = "-" in times and bool(dates)
    begin = datetime.combine(first_day, clock[0] if spans else _FIRST) if first_day else None
    end = datetime.combine(last_day, clock[1] if spans else _LAST) if last_day else None
    return Window(begin, end, clock if times and not spans else None, parse_offset(offset) if offset else None)


def date_range(text: str) -> tuple[date | None, date | None]:
    """First and last date of a DA matching key; None where open. ValueError if a date is none."""
    if not text:
        return None, None
    if "-" not in text:
        return parse_date(text), parse_date(text)
    first, last = (part.strip() for part in text.split("-", 1))
    if not (first or last):
        raise ValueError("a range of dates without a date")
    return parse_date(first) if first else None, parse_date(last) if last else None


def time_range(text: str) -> tuple[time, time]:
    """First and last instant of a TM matching key, the day's own where open. ValueError if a time is none."""
    if not text:
        return _FIRST, _LAST
    if "-" not in text:
        return parse_time(text)
    first, last = (part.strip() for part in text.split("-", 1))
    if not (first or last):
        raise ValueError("a range of times without a time")
    return parse_time(first)[0] if first else _FIRST, parse_time(last)[1] if last else _LAST
