"""Why an exam is, or is not, on a scanner's worklist."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q, QuerySet
from django.utils import timezone

from ris import sight
from ris.models import Station
from worklist import explaining
from worklist.explaining import Question, Verdict
from worklist.models import WorklistQuery


class Command(BaseCommand):
    help = (
        "Say for each station whether an exam is on its worklist now, and if not, what keeps it off: the step's state, "
        "the station's department and rules, or the keys of a question that it asked or would ask."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--accession", required=True, help="accession number of the exam")
        parser.add_argument("--station", default="", help="AE title or alias; every station without it")
        asked = parser.add_mutually_exclusive_group()
        asked.add_argument(
            "--query", type=int, help="number of a question that was asked, as the station's page has it"
        )
        asked.add_argument("--key", action="append", help="Keyword=value of a would-be question; may be repeated")

    def handle(self, *args: Any, **options: Any) -> None:
        cases = explaining.cases_of(options["accession"])
        if not cases:
            raise CommandError(f"No order has the accession number {options['accession']}.")
        stations, titles, question = _stations(options["station"]), sight.siblings(), _question(options)
        if question:
            self.stdout.write(_asked(question))
        for case in cases:
            self.stdout.write(case.headline)
            for station in stations:
                found = explaining.verdict(case, station, titles[station.pk], question)
                self.stdout.write(f"  {station.ae_title}: {_words(found, question)}")


def _stations(ae_title: str) -> QuerySet[Station]:
    stations = Station.objects.select_related("department").prefetch_related("aliases")
    if not ae_title:
        return stations
    found = stations.filter(Q(ae_title=ae_title) | Q(aliases__ae_title=ae_title)).distinct()
    if not found:
        raise CommandError(f"No station has the AE title {ae_title}.")
    return found


def _question(options: dict[str, Any]) -> Question | None:
    if options["key"]:
        try:
            return Question.said(options["key"])
        except ValueError as error:
            raise CommandError(f"{error}.") from None
    if options["query"] is None:
        return None
    logged = WorklistQuery.objects.select_related("station").filter(pk=options["query"]).first()
    if logged is None:
        raise CommandError(f"No question has the number {options['query']}.")
    return Question.of(logged)


def _asked(question: Question) -> str:
    logged = question.logged
    if logged is None:
        return f"A query by {question.words}"
    times = "once" if logged.times == 1 else f"{logged.times} times"
    last = f"{timezone.localtime(logged.last_at):%Y-%m-%d %H:%M:%S}"
    return (
        f"Question {logged.pk} of {logged.station} by {question.words}: asked {times}, "
        f"the last time {last}, answered {logged.status:04X}H with {logged.answers} entries"
    )


def _words(found: Verdict, question: Question | None) -> str:
    told = {
        "ON": "answered with it" if question else "on its worklist",
        "OFF": "; ".join(found.reasons + found.doubts),
        "UNSURE": f"cannot be told: {'; '.join(found.doubts)}",
    }[found.state]
    return f"{told} ({'; '.join(found.notes)})" if found.notes else told
