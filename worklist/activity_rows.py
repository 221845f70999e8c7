"""The facts of ``worklist.activity`` in memory, bounded, and how they become rows: one transaction, few statements."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Model

from ris.models import ScheduledProcedureStep, Station
from worklist import query_log
from worklist.models import MppsDefect, StationActivity, TextLoss, UnknownCaller, WorklistQuery

#: Rows kept: of one station's questions, losses and defects; of unknown callers in all and from one address.
MOST_OF_STATION: dict[type[Model], int] = {WorklistQuery: 200, TextLoss: 500, MppsDefect: 100}
MOST_CALLERS, MOST_OF_ADDRESS = 300, 20
#: SOP classes kept of what an unknown caller proposed.
MOST_PROPOSED = 20
#: Facts of one kind that wait in memory, and addresses of unknown callers.
MOST_WAITING, MOST_ADDRESSES = 500, 50
#: A count stops here: what does not fit the column would hold up every other fact.
_MOST_COUNTED = 2_000_000_000


class Tally:
    """One fact for all the times that it was noted; ``values`` are the last ones. Moments are of time.time."""

    __slots__ = ("first", "last", "times", "values")

    def __init__(self, at: float, values: dict[str, Any]) -> None:
        self.first = self.last = at
        self.times = 1
        self.values = values

    def follow(self, later: "Tally") -> None:
        """What was proposed is added up; of all else the last holds."""
        self.last = later.last
        self.times += later.times
        before = self.values.get("asked", ())
        self.values |= later.values
        if before:
            self.values["asked"] = united(before, later.values["asked"])


def united(first: Iterable[str], later: Iterable[str]) -> tuple[str, ...]:
    """The SOP classes of several associations, MOST_PROPOSED of them."""
    return tuple(dict.fromkeys((*first, *later)))[:MOST_PROPOSED]


class Newest(dict[Any, Any]):
    """The newest of what was noted; when it is full the one noted longest ago gives way."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        super().__init__()
        self.most = most

    def note(self, key: Hashable, at: float, **values: Any) -> None:
        self.add(key, Tally(at, values))

    def add(self, key: Hashable, later: Tally) -> None:
        tally = self.pop(key, None)
        if tally is None:
            self.make_room()
            tally = later
        else:
            tally.follow(later)
        self[key] = tally

    def make_room(self) -> None:
        if len(self) >= self.most:
            del self[next(iter(self))]


class Facts:
    """What waits to be written, by table."""

    def __init__(self) -> None:
        self.activity, self.queries, self.losses, self.defects = Newest(), Newest(), Newest(), Newest()
        #: Address -> callers, so that a flood from one address leaves the others alone.
        self.callers = Newest(MOST_ADDRESSES)

    def __bool__(self) -> bool:
        return any((self.activity, self.queries, self.losses, self.defects, self.callers))

    def refuse(self, address: str, caller: tuple[str, str], at: float, called: str, asked: tuple[str, ...]) -> None:
        self._of(address).note(caller, at, called_ae_title=called, asked=asked)

    def _of(self, address: str) -> Newest:
        callers = self.callers.pop(address, None)
        if callers is None:
            self.callers.make_room()
            callers = Newest(MOST_OF_ADDRESS)
        self.callers[address] = callers
        return callers

    def followed_by(self, later: "Facts") -> "Facts":
        """These facts, which could not be written, with what came since."""
        for name in ("activity", "queries", "losses", "defects"):
            for key, tally in getattr(later, name).items():
                getattr(self, name).add(key, tally)
        for address, callers in later.callers.items():
            for key, tally in callers.items():
                self._of(address).add(key, tally)
        return self


def write(facts: Facts) -> None:
    """Write all facts or none. Every process goes by the same order of tables and keys, so that none locks another."""
    with transaction.atomic():
        known = _known(Station, (key[0] for each in _of_stations(facts) for key in each))
        _write_activity(facts.activity, known)
        _write_queries(facts.queries, known)
        _write_losses(facts.losses, known)
        _write_defects(facts.defects, known)
        _write_callers(facts.callers)


def _of_stations(facts: Facts) -> tuple[Newest, ...]:
    return facts.activity, facts.queries, facts.losses, facts.defects


def _known(model: type[Model], keys: Iterable[int]) -> set[int]:
    """Those that still have a row: a fact about what was deleted is forgotten, and must not hold up the others."""
    wanted = set(keys)
    return set(model._default_manager.filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()


def _write_activity(facts: Newest, known: set[int]) -> None:
    for (pk,), tally in sorted(facts.items()):
        if pk in known:
            signs = {name: _moment(value) if name.endswith("_at") else value for name, value in tally.values.items()}
            _upsert(StationActivity, ("station_id",), [{"station_id": pk} | signs])


def _write_queries(facts: Newest, known: set[int]) -> None:
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for (pk, keys, asked), tally in facts.items():
        if pk in known:
            shown = [[keyword[:64], query_log.hidden(keyword, str(value))] for keyword, value in keys]
            row = {"station_id": pk, "digest": query_log.digest(shown, asked), "keys": shown, "asked": list(asked)}
            row |= tally.values | _counted(tally)
            same = rows.setdefault((pk, row["digest"]), row)
            if same is not row:
                rows[pk, row["digest"]] = row | {"times": same["times"] + row["times"], "first_at": same["first_at"]}
    _upsert(WorklistQuery, ("station_id", "digest"), [rows[key] for key in sorted(rows)])
    _trim(WorklistQuery, {pk for pk, _digest in rows})


def _write_losses(facts: Newest, known: set[int]) -> None:
    steps = _known(ScheduledProcedureStep, (step for _pk, step, _keyword in facts))
    rows = [
        {"station_id": pk, "step_id": step, "keyword": keyword[:64], "at": _moment(tally.last), **tally.values}
        for (pk, step, keyword), tally in sorted(facts.items())
        if pk in known and step in steps
    ]
    _upsert(TextLoss, ("station_id", "step_id", "keyword"), rows)
    _trim(TextLoss, {row["station_id"] for row in rows})


def _write_defects(facts: Newest, known: set[int]) -> None:
    rows = [
        {"station_id": pk, "defect": defect, "was_refused": was_refused, **_counted(tally)}
        for (pk, defect, was_refused), tally in sorted(facts.items())
        if pk in known
    ]
    _upsert(MppsDefect, ("station_id", "defect", "was_refused"), rows)
    _trim(MppsDefect, {row["station_id"] for row in rows})


def _write_callers(facts: Newest) -> None:
    if not facts:
        return
    rows = [
        {"ae_title": ae_title, "address": address, "reason": reason, **_counted(tally), **tally.values}
        for address, callers in facts.items()
        for (ae_title, reason), tally in callers.items()
    ]
    unique = ("ae_title", "address", "reason")
    rows.sort(key=lambda row: tuple(row[name] for name in unique))
    before = {tuple(row[:3]): row[3] for row in UnknownCaller.objects.values_list(*unique, "asked")}
    for row in rows:
        row["asked"] = list(united(before.get(tuple(row[name] for name in unique), ()), row["asked"]))
    _upsert(UnknownCaller, unique, rows)
    seen: Counter[str] = Counter()
    spare = []
    newest = UnknownCaller.objects.order_by("-last_at", "-pk").values_list("pk", "address")
    for pk, address in newest:
        if seen[address] >= MOST_OF_ADDRESS or seen.total() >= MOST_CALLERS:
            spare.append(pk)
        else:
            seen[address] += 1
    UnknownCaller.objects.filter(pk__in=spare).delete()


def _counted(tally: Tally) -> dict[str, Any]:
    return {"times": tally.times, "first_at": _moment(tally.first), "last_at": _moment(tally.last)}


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _upsert(model: type[Model], unique: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, all of the same columns, or where there is one already add to ``times``, keep ``first_at`` and
    replace the rest."""
    if not rows:
        return
    fields = {field.column: field for field in model._meta.concrete_fields}
    table, columns = connection.ops.quote_name(model._meta.db_table), list(rows[0])
    quoted = {column: connection.ops.quote_name(column) for column in columns}
    changes = [
        f"{name} = {_times(table)}" if column == "times" else f"{name} = EXCLUDED.{name}"
        for column, name in quoted.items()
        if column not in (*unique, "first_at")
    ]
    sql = (
        f"INSERT INTO {table} ({', '.join(quoted.values())}) VALUES ({', '.join(['%s'] * len(columns))}) "
        f"ON CONFLICT ({', '.join(quoted[name] for name in unique)}) DO UPDATE SET {', '.join(changes)}"
    )
    values = [[fields[column].get_db_prep_save(value, connection) for column, value in row.items()] for row in rows]
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)


def _times(table: str) -> str:
    return f"CASE WHEN {table}.times < {_MOST_COUNTED} THEN {table}.times + EXCLUDED.times ELSE {table}.times END"


def _trim(model: type[Model], stations: set[int]) -> None:
    """Keep the newest rows of each of these stations."""
    most, rows = MOST_OF_STATION[model], model._default_manager
    newest = "-at" if model is TextLoss else "-last_at"
    counted = rows.filter(station__in=stations).order_by().values_list("station").annotate(Count("pk"))
    for station, count in counted:
        if count > most:
            spare = rows.filter(station=station).order_by(newest, "-pk").values_list("pk", flat=True)[most:]
            rows.filter(pk__in=list(spare)).delete()
