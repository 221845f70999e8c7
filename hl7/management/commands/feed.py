"""Feeds on the command line: list, show, export to a file, import from one."""

import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hl7 import feeds
from hl7.models import Feed


class Command(BaseCommand):
    help = "List and show feeds, write one to a file (feed export NAME > file), take one from a file (feed import FILE)"

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="each feed with its version")
        for name, what in (("show", "where each attribute is read from"), ("export", "as a file")):
            actions.add_parser(name, help=what).add_argument("name")
        actions.add_parser("import", help="the feed as the file says").add_argument("file", help="- reads from a pipe")

    def handle(self, *args: Any, **options: Any) -> None:
        actions = {"list": self._list, "show": self._show, "export": self._export, "import": self._import}
        try:
            actions[options["action"]](options)
        except ValidationError as error:
            raise CommandError("\n".join(_sentences(error))) from error

    def _list(self, options: dict[str, Any]) -> None:
        for feed in Feed.objects.order_by("name"):
            state = "" if feed.is_active else ", not active"
            self.stdout.write(f"{feed.name}: preset {feed.preset}, version {feed.version}{state}")

    def _show(self, options: dict[str, Any]) -> None:
        feed = _feed(options["name"])
        for name, value in feeds.effective(feed).items():
            self.stdout.write(f"{name}:")
            for line in _lines(value):
                self.stdout.write(f"  {line}")

    def _export(self, options: dict[str, Any]) -> None:
        self.stdout.write(feeds.text(feeds.content(_feed(options["name"]))), ending="")

    def _import(self, options: dict[str, Any]) -> None:
        try:
            text = sys.stdin.read() if options["file"] == "-" else Path(options["file"]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        feed = feeds.read(text)
        before = Feed.objects.filter(pk=feed.pk).first()
        version = feeds.save(feed, "manage.py feed import")
        changed = feeds.difference(feeds.content(before) if before else {}, feeds.content(feed))
        for line in changed:
            self.stdout.write(line)
        self.stdout.write(f"{feed.name}: version {version.number}" if changed else f"{feed.name}: nothing has changed")


def _feed(name: str) -> Feed:
    try:
        return Feed.objects.get(name=name)
    except Feed.DoesNotExist as error:
        raise CommandError(f"There is no feed {name}; `manage.py feed list` names them") from error


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}: {_words(said)}" for name, said in value.items()]
    return [str(line) for line in value]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{word} -> {meant}" for word, meant in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _sentences(error: ValidationError) -> list[str]:
    if hasattr(error, "message_dict"):
        return [f"{name}: {sentence}" for name, said in error.message_dict.items() for sentence in said]
    return error.messages
