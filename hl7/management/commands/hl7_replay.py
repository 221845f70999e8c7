"""`manage.py hl7_replay`: carry out kept messages again, by their keys or by feed, outcome and time."""

import getpass
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from hl7 import replay
from hl7.models import TO_SETTLE, InboundMessage
from hl7.preview import Preview
from hl7.replay import Candidate

Outcome = InboundMessage.Outcome


class Command(BaseCommand):
    help = "Replay messages in order of arrival, each in its own transaction. Without --id: those not carried out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--id", type=int, action="append", help="key of a message; may be given several times")
        parser.add_argument("--feed", help="name of a feed")
        parser.add_argument("--outcome", choices=[outcome.value for outcome in Outcome])
        parser.add_argument("--since", type=_moment, help="received at or after: 2026-11-22 or 2026-11-22T08:00")
        parser.add_argument("--accepted-too", action="store_true", help="also what was accepted before")
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")

    def handle(self, *args, **options) -> None:
        if not any(options[name] for name in ("id", "feed", "outcome", "since")):
            raise CommandError("Say which: --id, --feed, --outcome or --since")
        found = _asked(options)
        candidates = replay.candidates(found[: replay.MOST])
        tell = self._foretell if options["dry_run"] else self._replay
        for candidate in candidates:
            tell(candidate, options["accepted_too"])
        if found.count() > replay.MOST:
            self.stdout.write(f"These were the {replay.MOST} oldest: call again for more")

    def _replay(self, candidate: Candidate, accepted_too: bool) -> None:
        who = f"{getpass.getuser()} (manage.py)"
        (result,) = replay.replay_all([(candidate.message.pk, candidate.seen)], who, accepted_too=accepted_too)
        told = f"{result.kept.outcome} as message {result.kept.pk}: {result.kept.reason}" if result.kept else ""
        self._say(candidate, told or f"not replayed, {result.why_not}")

    def _foretell(self, candidate: Candidate, accepted_too: bool) -> None:
        if candidate.accepted_as and not accepted_too:
            return self._say(candidate, f"not replayed, it was accepted before, as message {candidate.accepted_as}")
        found = candidate.obstacle or candidate.preview()
        if not isinstance(found, Preview):
            return self._say(candidate, f"cannot be replayed: {found}")
        self._say(candidate, f"would be {found.outcome}: {found.verdict.sentence}")
        for touched in found.touched:  # names of attributes only: values may be a patient's
            what = "would be new" if touched.is_new else f"would change: {', '.join(touched.changes) or 'nothing'}"
            name = "" if touched.kind == "patient" else f" {touched.name}"
            self.stdout.write(f"    {touched.kind}{name} {what}")
        return None

    def _say(self, candidate: Candidate, told: str) -> None:
        message = candidate.message
        self.stdout.write(f"{message.pk} {message.event} {message.control_id} {message.outcome} -> {told}".rstrip(": "))


def _asked(options: dict[str, Any]) -> QuerySet[InboundMessage]:
    if options["id"]:
        return InboundMessage.objects.filter(pk__in=options["id"]).order_by("id")
    found = InboundMessage.objects.filter(replay_of=None).order_by("id")
    found = found.filter(outcome=options["outcome"]) if options["outcome"] else found
    found = found if options["outcome"] == Outcome.ACCEPTED else found.filter(TO_SETTLE)
    found = found.filter(feed__name=options["feed"]) if options["feed"] else found
    return found.filter(received_at__gte=options["since"]) if options["since"] else found


def _moment(text: str) -> datetime:
    """A date or a date and time of the site; ValueError otherwise, which argparse tells."""
    at = parse_datetime(text)
    if at is None:
        day = parse_date(text)
        if day is None:
            raise ValueError(text)
        at = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - made the site's below
    return at if timezone.is_aware(at) else timezone.make_aware(at)
