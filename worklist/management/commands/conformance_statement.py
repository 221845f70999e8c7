"""The DICOM conformance statement, made from the tables that the code works by."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from worklist import conformance


class Command(BaseCommand):
    help = "Write the DICOM conformance statement (PS3.2) to docs/conformance.md."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is not current")
        parser.add_argument("--output", type=Path, default=settings.BASE_DIR / "docs" / "conformance.md")

    def handle(self, *args: Any, **options: Any) -> None:
        text, path = conformance.statement(), options["output"]
        if options["check"]:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                raise CommandError(f"{path} is not current: run manage.py conformance_statement")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.stdout.write(f"{path}: {len(text.splitlines())} lines")
