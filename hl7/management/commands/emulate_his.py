"""A HIS at the command line, for a site's own acceptance."""

import threading
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hl7.emulator import His, Told


def host_and_port(text: str) -> tuple[str, int]:
    """``HOST:PORT`` as an address."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ArgumentTypeError(f"{text} is not HOST:PORT")
    return host, int(port)


class Command(BaseCommand):
    help = "Send HL7 messages like a HIS, or receive what a HIS is told and acknowledge it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        does = parser.add_subparsers(dest="does", required=True)
        send = does.add_parser("send", help="send each file as one message and print its acknowledgment")
        send.add_argument("files", nargs="+", type=Path)
        send.add_argument("--to", type=host_and_port, default=settings.MLLP_ADDRESS, metavar="HOST:PORT")
        receive = does.add_parser("receive", help="take messages until Ctrl-C and print each with its answer")
        receive.add_argument("at", type=host_and_port, metavar="HOST:PORT")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["does"] == "send":
            self._send(His(options["to"]), options["files"])
        else:
            self._receive(His(settings.MLLP_ADDRESS), options["at"])

    def _send(self, his: His, files: list[Path]) -> None:
        refused = 0
        for file in files:
            message = file.read_bytes()
            self._print("-->", message.decode(errors="replace"))
            try:
                answer = his.send(message)
            except OSError as error:
                raise CommandError(f"{file}: {error}") from error
            self._print("<--", answer.text)
            refused += answer.code not in ("AA", "CA")
        if refused:
            raise CommandError(f"{refused} of {len(files)} messages were refused")

    def _receive(self, his: His, address: tuple[str, int]) -> None:
        def tell(told: Told) -> None:
            self._print("-->", told.text)
            self.stdout.write(f"<-- AA {told.control_id}: {told.summary}")

        his.on_told = tell
        with his.listening(address) as server:
            self.stdout.write("Listening on {}:{}".format(*server.address))
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                self.stdout.write(f"{len(his.received)} messages taken")

    def _print(self, sign: str, text: str) -> None:
        for line in text.replace("\r", "\n").strip().splitlines():
            self.stdout.write(f"{sign} {line}")
