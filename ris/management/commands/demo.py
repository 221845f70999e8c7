"""The story of one exam, played on real sockets against real processes (DESIGN, the story).

The one composition beside the settings that brings HIS and scanner together: both are emulators in processes of their
own, and the front desk is a browser session over HTTP.
"""

import json
import secrets
import signal
import string
import subprocess
import sys
import tempfile
import time
import urllib.error
from datetime import datetime, timedelta
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone
from rest_framework.authtoken.models import Token

from ris.models import Room, ScheduledProcedureStep
from ris.states import ExamStatus
from ris.supervisor import MANAGE, is_free

#: The state in which the story ends well.
LAST_STATE = ExamStatus.IMAGES_COMPLETE
SCRIPT = settings.BASE_DIR / "fixtures" / "demo"
READY_SECONDS, STORY_SECONDS = 90.0, 30.0


class Command(BaseCommand):
    help = "Load the demo site, start everything and play the story of one exam"

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--once", action="store_true", help="end after the story; exit status 0 if it ended well")

    def handle(self, *args: Any, **options: Any) -> None:
        self.children: list[subprocess.Popen] = []
        for number in (signal.SIGTERM, signal.SIGINT):  # SIGINT too: a shell starts background jobs with it ignored
            signal.signal(number, signal.default_int_handler)
        try:
            passwords = self.set_up()
            self.play(passwords)
            if not options["once"]:
                self.stay(passwords)
        except KeyboardInterrupt:
            raise CommandError("Ended before the end of the story") from None
        finally:
            self.end()

    # --- set-up ---

    def set_up(self) -> dict[str, str]:
        """Migrate, load the site, give its users passwords, start the HIS' receiver and every process."""
        self.say("Preparing", f"data folder {settings.DATA_DIR}")
        call_command("migrate", interactive=False, verbosity=0)
        call_command("loaddata", "sunview", verbosity=0)
        passwords = {user.username: self.new_password(user) for user in User.objects.order_by("pk")}
        his = self.his_address()
        connection.close()
        self.start("emulate_his", "receive", his)
        log = settings.DATA_DIR / "demo.log"
        self.say("Starting", f"every process; their log is {log}")
        with log.open("w") as file:
            up = self.start("up", stdout=subprocess.PIPE, stderr=file)
        self.wait_for_ready(up)
        return passwords

    def new_password(self, user: User) -> str:
        password = f"{user.username}-{secrets.token_hex(4)}"
        user.set_password(password)
        user.save()
        return password

    def his_address(self) -> str:
        """Where the HIS of the story listens; the demo site's destination is pointed there."""
        destination = apps.get_model("hl7", "Destination").objects.get(name="HIS")
        while not is_free((destination.host, destination.port)):
            destination.port += 1
        destination.save()
        return f"{destination.host}:{destination.port}"

    def start(self, *command: str, **options: Any) -> subprocess.Popen:
        child = subprocess.Popen([sys.executable, "-u", str(MANAGE), *command], text=True, **options)
        self.children.append(child)
        return child

    def wait_for_ready(self, up: subprocess.Popen) -> None:
        assert up.stdout is not None
        for line in up.stdout:
            if line.strip() == "ready":
                return self.say("Ready", "every port answers")
        raise CommandError("The processes did not start")

    # --- the story ---

    def play(self, passwords: dict[str, str]) -> None:
        run = timezone.localtime().strftime("%y%m%d%H%M%S")
        order = f"W{run}"
        words = {"run": run, "order": order, "patient": f"G{run}", "now": timezone.localtime().strftime("%Y%m%d%H%M%S")}
        self.say("Admissions", "registers Grace Hopper in the HIS")
        self.hl7("1_adt_a04.hl7", words)
        self.say("The HIS", f"orders a wrist X-ray, order {order}, without a time")
        self.hl7("2_orm_nw.hl7", words)
        step = ScheduledProcedureStep.objects.select_related("requested_procedure__order").get(
            requested_procedure__order__placer_order_number=order
        )
        accession = step.requested_procedure.order.accession_number
        connection.close()
        self.front_desk(step, passwords["molly"])
        self.say("Technologist", f"finds accession number {accession} on the worklist of XRAY2 and performs the exam")
        self.run("emulate_modality", "perform", "--ae-title", "XRAY2", "--accession", accession, "--images", "2")
        self.ending(accession)

    def hl7(self, name: str, words: dict[str, str]) -> None:
        text = string.Template((SCRIPT / name).read_text(encoding="utf-8")).substitute(words)
        with tempfile.NamedTemporaryFile(suffix=".hl7") as file:
            file.write(text.replace("\n", "\r").encode())
            file.flush()
            self.run("emulate_his", "send", file.name)

    def run(self, *command: str) -> None:
        if subprocess.run([sys.executable, "-u", str(MANAGE), *command], check=False).returncode:
            raise CommandError(f"The story stops: {command[0]} failed")

    def front_desk(self, step: ScheduledProcedureStep, password: str) -> None:
        """Molly books X-ray 2 for a few minutes from now and checks Grace in, through the web pages."""
        browser = Browser(f"http://{settings.HTTP_ADDRESS[0]}:{settings.HTTP_ADDRESS[1]}")
        browser.post("/login/", username="molly", password=password)
        start = timezone.localtime() + timedelta(minutes=5)
        self.say("Front desk", f"books X-ray 2 at {start:%H:%M} and checks her in")
        room = Room.objects.get(name="X-ray 2").pk
        connection.close()
        booking = {"room": room, "day": f"{start:%Y-%m-%d}", "time": f"{start:%H:%M}", "duration_minutes": 15}
        browser.post(f"/steps/{step.pk}/book/", **booking)
        browser.post(f"/steps/{step.pk}/arrive/")

    def ending(self, accession: str) -> None:
        """The exam as the API tells it, once its last state is reached and the HIS was told of the end."""
        deadline = time.monotonic() + STORY_SECONDS
        while (exam := self.exam(accession))["status"] != LAST_STATE or not self.told():
            if time.monotonic() > deadline:
                raise CommandError(f"The story does not end: the exam is {exam['status']}")
            time.sleep(0.2)
        images = exam["images"]
        self.say("The exam", f"is {exam['status']}: {images['arrived']} of {images['expected']} images are here")

    def told(self) -> bool:
        """Whether nothing is left to tell the HIS."""
        waiting = apps.get_model("hl7", "OutboundMessage").objects.filter(taken_at=None).exists()
        unpublished = apps.get_model("ris", "WorkflowEvent").objects.filter(published_at=None).exists()
        connection.close()
        return not waiting and not unpublished

    def exam(self, accession: str) -> dict[str, Any]:
        token, _created = Token.objects.get_or_create(user=User.objects.get(username="admin"))
        connection.close()
        url = f"http://{settings.HTTP_ADDRESS[0]}:{settings.HTTP_ADDRESS[1]}/api/v1/exams/?accession_number={accession}"
        request = Request(url, headers={"Authorization": f"Token {token.key}"})
        with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
            return json.load(answer)["results"][0]

    # --- around it ---

    def stay(self, passwords: dict[str, str]) -> None:
        self.say("The board", f"is at http://{settings.HTTP_ADDRESS[0]}:{settings.HTTP_ADDRESS[1]}/ until Ctrl-C")
        for name, password in passwords.items():
            self.stdout.write(f"    user {name:<6} password {password}")
        self.stdout.flush()
        try:
            self.children[-1].wait()
        except KeyboardInterrupt:
            self.say("Ending", "all processes")

    def say(self, who: str, what: str) -> None:
        self.stdout.write(f"{datetime.now():%H:%M:%S} {who:<14} {what}")  # noqa: DTZ005 - the reader's own clock
        self.stdout.flush()

    def end(self) -> None:
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in reversed(self.children):
            child.wait(20)


class Browser:
    """A session of a person at the web pages: cookies, CSRF token, redirects."""

    def __init__(self, base: str) -> None:
        self.base, self.cookies = base, CookieJar()
        self.opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.cookies))

    def post(self, path: str, **fields: Any) -> str:
        """Fetch the log-in page for the CSRF cookie, then send the form; the page it led to."""
        self.opener.open(f"{self.base}/login/", timeout=10).close()
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        data = urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
        try:
            with self.opener.open(Request(f"{self.base}{path}", data), timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise CommandError(f"POST {path} was answered with {error.code}") from None
