"""What the pages of scanners ask for: signs of life, who has been silent, what a station's profile means."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from ris import selectors, sight, visibility
from ris.models import ScheduledProcedureStep, Station
from worklist.models import MppsDefect, StationActivity, TextLoss, UnknownCaller, WorklistQuery

#: A station usually asks if it asked so many times, the last time within so many days.
USUAL_TIMES, USUAL_DAYS = 3, 14
#: It is silent after this long, or after so many times its usual pause.
SILENT_AFTER, SILENT_PAUSES = timedelta(hours=1), 5
#: Exams that a silent station keeps waiting: due since so long, or within this.
DUE_SINCE, DUE_WITHIN = timedelta(hours=12), timedelta(hours=1)
#: Entries of a worklist that are counted.
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Silence:
    """A station that usually asks and has not asked since, though exams wait for it."""

    station: Station
    since: datetime
    waiting: int


@dataclass(frozen=True)
class Line:
    """One station as the list shows it."""

    station: Station
    activity: StationActivity
    silence: Silence | None
    losses: int
    defects: int


def lines() -> list[Line]:
    """All stations by AE title, also those that are not active."""
    losses = _counted(TextLoss.objects.values_list("station").annotate(Count("pk")))
    defects = _counted(MppsDefect.objects.values_list("station").annotate(Sum("times")))
    silent = {silence.station.pk: silence for silence in silences()}
    return [
        Line(row, activity_of(row), silent.get(row.pk), losses.get(row.pk, 0), defects.get(row.pk, 0))
        for row in Station.objects.select_related("room", "department", "activity")
    ]


def _counted(rows: QuerySet) -> dict[int, int]:
    return dict(rows.order_by())


def activity_of(station: Station) -> StationActivity:
    """The station's signs of life; all of them empty if it never called."""
    return getattr(station, "activity", None) or StationActivity(station=station)


def silences() -> list[Silence]:
    """Stations of which somebody should know that they do not ask for their worklist."""
    now = timezone.now()
    quiet = StationActivity.objects.filter(
        station__is_active=True, query_at__gt=now - timedelta(days=USUAL_DAYS), query_at__lt=now - SILENT_AFTER
    )
    last = {station: at for station, at in quiet.values_list("station", "query_at") if at}
    asked = WorklistQuery.objects.filter(station__in=last).order_by().values_list("station")
    counted = asked.annotate(Sum("times"), Min("first_at"), Max("last_at"))
    overdue = {
        station: last[station]
        for station, times, first, newest in counted
        if times >= USUAL_TIMES and now - last[station] > SILENT_PAUSES * (newest - first) / (times - 1)
    }
    waiting = _due(overdue, now)
    stations = Station.objects.filter(pk__in=waiting)
    return [Silence(station, overdue[station.pk], waiting[station.pk]) for station in stations]


def _due(stations: dict[int, datetime], now: datetime) -> dict[int, int]:
    """Station -> how many exams wait for it about now."""
    due = selectors.worklist_steps().filter(
        stations__in=stations, start__gt=now - DUE_SINCE, start__lt=now + DUE_WITHIN
    )
    return _counted(due.values_list("stations").annotate(Count("pk"))) if stations else {}


def unknown_callers() -> QuerySet[UnknownCaller]:
    """Who was refused, the newest first; ``is_known`` where a station has this AE title.

    Without those that are let in by now: they may have called in the seconds until the doors knew.
    """
    known = Station.objects.filter(Q(ae_title=OuterRef("ae_title")) | Q(aliases__ae_title=OuterRef("ae_title")))
    let_in = Q(reason__startswith="calling") & Exists(known.filter(is_active=True))
    return UnknownCaller.objects.exclude(let_in).annotate(is_known=Exists(known)).order_by("-last_at", "-pk")


def version() -> str:
    """A token that changes whenever the list may look different; ages are in words, so each minute is another."""
    signs = StationActivity.objects.aggregate(*(Max(name) for name in ("echo_at", "query_at", "mpps_at", "image_at")))
    callers = unknown_callers().aggregate(count=Count("pk"), last=Max("last_at"))
    moments = [at.timestamp() if at else 0 for at in (*signs.values(), callers["last"])]
    parts = (timezone.now().strftime("%d%H%M"), callers["count"], TextLoss.objects.count(), *moments)
    return "-".join(map(str, parts))


def shown_entries(station: Station) -> tuple[int, int]:
    """How many entries are on its worklist now: assigned to it, and of its department with them."""
    titles = sight.siblings()[station.pk]
    own = _shown(selectors.worklist_steps().filter(stations=station), station)
    if titles == {station.ae_title}:
        return own, own
    of_siblings = ScheduledProcedureStep.stations.through.objects.filter(station__ae_title__in=titles)
    department = selectors.worklist_steps().filter(pk__in=of_siblings.values("scheduledprocedurestep"))
    return own, _shown(department, station)


def _shown(steps: QuerySet[ScheduledProcedureStep], station: Station) -> int:
    now = datetime.now(selectors.site_zone())
    rows = steps.order_by().values_list("status", "start")[:MOST_COUNTED]
    return sum(
        not visibility.reasons(station, (), status=status, start=start, stations=(), now=now) for status, start in rows
    )


def in_words(station: Station, titles: frozenset[str]) -> list[tuple[str, str]]:
    """A station's profile as sentences, with what each is about."""
    others = ", ".join(sorted(titles - {station.ae_title}))
    sees = f"its own rows and those of {others}" if others else "only its own rows"
    limits = [
        f"{days} day{'s' if days != 1 else ''} {way}"
        for days, way in ((station.days_before, "back"), (station.days_after, "ahead"))
        if days is not None
    ]
    filled = ", ".join(f"{keyword} = {value}" for keyword, value in station.default_keys.items())
    aliases = ", ".join(alias.ae_title for alias in station.aliases.all())
    return [
        ("Performs", f"{station.modality}{f' in {station.room}' if station.room else ', in no room yet'}"),
        ("Department", f"{station.department or 'none'}: sees {sees}"),
        ("Also calls as", aliases or "no other AE title"),
        ("Bound to", _bound(station)),
        ("Patients", "only those who have been checked in" if station.only_arrived else "all who are booked"),
        ("Days", " and ".join(limits) + " from today" if limits else "any"),
        ("Character set", station.character_set),
        ("Texts too long for it", f"{station.get_overlong_display()}; identifiers are never cut"),
        ("Answers at most", f"{station.most_answers} to one query; if more match, so many and A700H"),
        ("Keys filled in where it leaves them empty", filled or "none"),
        ("MPPS", _mpps(station)),
    ]


def _bound(station: Station) -> str:
    proofs = (
        station.allowed_networks,
        station.certificate_name and f"certificate of {station.certificate_name}",
        station.passcode_digest and "its passcode",
    )
    return "; ".join(filter(None, proofs)) or "nothing: its AE title is enough"


def _mpps(station: Station) -> str:
    if station.sends_mpps:
        return f"sent; {station.get_mpps_strictness_display()}"
    return f"none: complete once the study has been quiet for {station.quiet_minutes} minutes"
