"""What the worklist's view costs: loading, one look, a query, an answer, at so many scheduled steps.

``python -m benchmarks.view [scheduled ...]`` on DATABASE_URL as it is (``python -m tests.postgres`` for PostgreSQL),
in a test database of its own. Past steps are in it too, as many as PAST says.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import django
from django.utils import timezone

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ris.settings")
os.environ.setdefault("SUNVIEW_SECRET_KEY", "benchmark-benchmark-benchmark-benchmark")
django.setup()

from django.db import connection  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

from ris.models import Department, Order, Patient, RequestedProcedure, ScheduledProcedureStep, Station  # noqa: E402
from tests.worklist.test_encoding import encoded  # noqa: E402
from worklist import keys, mwl  # noqa: E402
from worklist.dimse import Request  # noqa: E402
from worklist.stations import profiles  # noqa: E402
from worklist.view import view  # noqa: E402

PAST = int(os.environ.get("PAST", "0"))
STATIONS, DAYS = 40, 14


def main(sizes: list[int]) -> None:
    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        made = 0
        _stations()
        if PAST:
            _add(PAST, 0, past=True)
        for size in sizes:
            _add(size - made, made + PAST)
            made = size
            _measure(size)
    finally:
        runner.teardown_databases(databases)


def _stations() -> None:
    department = Department.objects.create(name="Radiology")
    Station.objects.bulk_create(
        Station(ae_title=f"CT{number}", modality="CT", department=department, most_answers=100_000)
        for number in range(STATIONS)
    )


def _add(count: int, first: int, past: bool = False) -> None:
    """So many steps over STATIONS and DAYS, made without the services: only their number matters."""
    stations = list(Station.objects.order_by("pk"))
    link = ScheduledProcedureStep.stations.through
    begin = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for chunk in range(first, first + count, 10_000):
        numbers = range(chunk, min(chunk + 10_000, first + count))
        patients = Patient.objects.bulk_create(
            Patient(patient_id=f"P{n}", patient_name=f"Name{n % 5000}^Given{n}", patient_sex="F") for n in numbers
        )
        orders = Order.objects.bulk_create(
            Order(patient=patient, accession_number=f"A{n}", placer_order_number=f"O{n}", sender="HIS|X")
            for n, patient in zip(numbers, patients, strict=True)
        )
        procedures = RequestedProcedure.objects.bulk_create(
            RequestedProcedure(
                order=order,
                requested_procedure_id=f"RP{n}",
                study_instance_uid=f"2.25.{n}",
                code_value="CTHEAD",
                description="CT of the head",
            )
            for n, order in zip(numbers, orders, strict=True)
        )
        steps = ScheduledProcedureStep.objects.bulk_create(
            ScheduledProcedureStep(
                requested_procedure=procedure,
                scheduled_procedure_step_id=f"S{n}",
                status="COMPLETED" if past else "SCHEDULED",
                modality="CT",
                start=begin + timedelta(minutes=n * 7919 % (DAYS * 1440)) - timedelta(days=30 if past else 0),
            )
            for n, procedure in zip(numbers, procedures, strict=True)
        )
        link.objects.bulk_create(
            link(scheduledprocedurestep=step, station=stations[n % STATIONS])
            for n, step in zip(numbers, steps, strict=True)
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _measure(size: int) -> None:
    view.__init__()  # type: ignore[misc]
    before = _resident()
    load = _seconds(view.refresh)
    memory = _resident() - before
    look = statistics.median(_seconds(view.refresh) for _ in range(200))
    step = ScheduledProcedureStep.objects.filter(status="SCHEDULED").order_by("pk")

    def change() -> float:
        step.filter(pk=step.first().pk).update(description=f"{time.time()}")  # type: ignore[union-attr]
        return _seconds(view.refresh)

    changed = statistics.median(change() for _ in range(20))
    print(  # noqa: T201
        f"{connection.vendor} {size} scheduled, {PAST} past: load {load:.2f} s, {memory / size:.1f} KB an entry, "
        f"look {look * 1e6:.0f} us, look with a change {changed * 1e3:.2f} ms"
    )
    for name, requests in _queries(size).items():
        _report(name, requests)


def _queries(size: int) -> dict[str, list[Request]]:
    today = f"{datetime.now():%Y%m%d}"  # noqa: DTZ005
    return {
        "q1 station, modality, day": [
            _request(ScheduledStationAETitle=f"CT{n % STATIONS}", Modality="CT", ScheduledProcedureStepStartDate=today)
            for n in range(200)
        ],
        "q2 accession number, each another": [_request(AccessionNumber=f"A{PAST + n * 37 % size}") for n in range(500)],
        "q3 day": [_request(ScheduledProcedureStepStartDate=today)] * 5,
        "name with wildcard, each another": [_request(PatientName=f"name{n}^*") for n in range(20)],
    }


def _request(**asked: str) -> Request:
    identifier, step = Dataset(), Dataset()
    for target, table in ((identifier, keys.BY_KEYWORD), (step, keys.STEP_BY_KEYWORD)):
        for key in table.values():
            target.add_new(key.keyword, key.vr, [] if key.vr == "SQ" else asked.get(key.keyword))
    identifier.ScheduledProcedureStepSequence = [step]
    profile = profiles()["CT0"]
    return Request(verb="C-FIND", calling_ae_title="CT0", station=profile, data=encoded(identifier, True))


def _report(name: str, requests: list[Request]) -> None:
    cold = [_timed(request) for request in requests]
    warm = [_timed(request) for request in requests]
    for label, measured in (("first time", cold), ("again", warm)):
        answers = sum(count for _seconds, count in measured)
        spent = sum(seconds for seconds, _count in measured)
        print(  # noqa: T201
            f"  {name}, {label}: {spent / len(measured) * 1e3:.3f} ms a query, "
            f"{answers / len(measured):.1f} answers, {answers / spent:,.0f} answers/s"
        )


def _timed(request: Request) -> tuple[float, int]:
    began = time.perf_counter()
    count = sum(1 for _answer in mwl.find(request))
    return time.perf_counter() - began, count


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _resident() -> float:
    """KB of this process in memory."""
    return float(next(_status("VmRSS")).split()[0])


def _status(name: str) -> Iterator[str]:
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            key, _colon, value = line.partition(":")
            if key == name:
                yield value


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1_000, 10_000, 50_000])
