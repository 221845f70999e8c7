"""`manage.py hl7_purge --days N`: delete old messages now; the worker does so every hour."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hl7 import retention


class Command(BaseCommand):
    help = "Delete messages older than N days. Never those that were not carried out nor settled, nor those that wait."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=settings.MESSAGE_DAYS, help="default: SUNVIEW_MESSAGE_DAYS")

    def handle(self, *args, days: int, **options) -> None:
        if days < 1:
            raise CommandError("--days must be at least 1")
        inbound, outbound = retention.purge(days, most=10_000_000)
        self.stdout.write(f"{inbound} inbound and {outbound} outbound messages deleted")
