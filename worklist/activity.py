"""What scanners did at our doors, kept in memory and written by one thread about once a second.

The doors answer thousands of associations a second: a call here costs microseconds, never meets the database and never
waits. What is kept is bounded, and the newest. While the database is away the facts stay and are tried again.
"""

import logging
import threading
import time
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError, connection

from worklist import activity_rows
from worklist.activity_rows import Facts
from worklist.stations import Profile

logger = logging.getLogger(__name__)

#: Seconds between two writes.
WRITE_SECONDS = 1.0


class Recorder:
    """The facts of this process that are not written yet, and the thread that writes them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.facts = Facts()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Write from now on; once is enough. A process that was forked starts its own."""
        if self._thread is None or not self._thread.is_alive():
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
            self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Write what is left, for at most ``seconds``."""
        thread, self._thread = self._thread, None
        if thread:
            self._stopping.set()
            thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_SECONDS):
            self.write()
        self.write()
        connection.close()

    def write(self) -> bool:
        """Write all facts in one transaction. False: not written; while the database is away they wait."""
        with self.lock:
            facts, self.facts = self.facts, Facts()
        if not facts:
            return True
        try:
            activity_rows.write(facts)
        except (OperationalError, InterfaceError) as error:
            logger.error("station activity waits to be written: %s", type(error).__name__)
            with self.lock:
                self.facts = facts.followed_by(self.facts)
        except Exception as error:  # noqa: BLE001 - tried again they would hold up all that come after them
            logger.error("station activity is lost: %s", type(error).__name__)
        else:
            return True
        connection.close()
        return False


recorder = Recorder()
start, stop = recorder.start, recorder.stop


def _sign(profile: Profile, address: str, at: float, **signs: object) -> None:
    """A sign of life. The caller holds the lock."""
    recorder.facts.activity.note((profile.pk,), at, address=_shown(address, 64), **signs)


def echo(profile: Profile, address: str) -> None:
    """A C-ECHO was answered."""
    if profile.pk:
        at = time.time()
        with recorder.lock:
            _sign(profile, address, at, echo_at=at)


def image(profile: Profile, address: str) -> None:
    """An object was stored."""
    if profile.pk:
        at = time.time()
        with recorder.lock:
            _sign(profile, address, at, image_at=at)


def mpps(profile: Profile, address: str) -> None:
    """An N-CREATE, N-SET or N-GET of an MPPS was answered."""
    if profile.pk:
        at = time.time()
        with recorder.lock:
            _sign(profile, address, at, mpps_at=at)


def query(
    profile: Profile,
    address: str,
    keys: Sequence[tuple[str, str]],
    asked: Sequence[str],
    status: int,
    answers: int,
    milliseconds: float,
) -> None:
    """A worklist query ended in ``status`` after so many answers.

    ``keys`` are (keyword, value) as asked, several values with backslashes; ``asked`` the keywords to return. Values
    that could name a patient are hidden before they are written (``worklist.query_log``).
    """
    if not profile.pk:
        return
    at, question = time.time(), (profile.pk, tuple(map(tuple, keys)), tuple(asked))
    with recorder.lock:
        _sign(profile, address, at, query_at=at, query_answers=answers)
        recorder.facts.queries.note(question, at, status=status, answers=answers, milliseconds=milliseconds)


def refused(ae_title: str, called_ae_title: str, address: str, reason: str, asked: Sequence[str]) -> None:
    """An association was refused; ``asked`` are the names of the SOP classes that it proposed."""
    caller = (_shown(ae_title, 16), _shown(reason, 64))
    proposed = tuple(_shown(name, 64) for name in asked[: activity_rows.MOST_PROPOSED])
    with recorder.lock:
        recorder.facts.refuse(_shown(address, 64), caller, time.time(), _shown(called_ae_title, 16), proposed)


def loss(profile: Profile, step_pk: int, keyword: str) -> None:
    """The station's character set could not carry an attribute of a step."""
    if profile.pk:
        with recorder.lock:
            recorder.facts.losses.note(
                (profile.pk, step_pk, keyword), time.time(), character_set=profile.character_set[:64]
            )


def defect(profile: Profile, defect: str, was_refused: bool) -> None:
    """An MPPS of the station did not keep Table F.7.2-1 (PS3.4)."""
    if profile.pk:
        with recorder.lock:
            recorder.facts.defects.note((profile.pk, _shown(defect, 120), was_refused), time.time())


def _shown(text: str, length: int) -> str:
    """A text from the network as it may be kept: printable and short."""
    text = text.strip()[:length]
    return text if text.isascii() and text.isprintable() else "".join(c if " " <= c <= "~" else "?" for c in text)
