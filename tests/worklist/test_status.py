"""Every domain error has its DIMSE status."""

import pytest
from django.db import OperationalError

from ris import errors
from worklist import handling, status
from worklist.dimse import Answer, Request
from worklist.encoding import MalformedDataset

FIND, STORE, CREATE, ECHO = (
    Request(verb=verb, calling_ae_title="CT1") for verb in ("C-FIND", "C-STORE", "N-CREATE", "C-ECHO")
)


def refusals(kind: type) -> list[type]:
    """All of the domain's own; the HL7 side has further ones that never come here."""
    of_domain = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return [found for sub in of_domain for found in (sub, *refusals(sub))]


@pytest.mark.parametrize("kind", refusals(errors.Refusal))
def test_every_refusal_has_its_status(kind):
    """A new refusal of the domain must be given a status here, not fall into one."""
    assert kind in status.OF_REFUSAL


def test_the_codes_that_the_standard_names():
    """PS3.4 F.7.2: 0111H, 0112H, 0110H with A710H."""
    assert status.answer_to(errors.DuplicatePerformedStep("x"), CREATE).status == 0x0111
    assert status.answer_to(errors.UnknownPerformedStep("x"), CREATE).status == 0x0112
    final = status.answer_to(errors.PerformedStepIsFinal("may no longer be updated"), CREATE)
    assert (final.status, final.error_id) == (0x0110, 0xA710)


@pytest.mark.parametrize(
    ("request_", "database", "malformed", "unforeseen"),
    [(FIND, 0xA700, 0xA900, 0xC000), (STORE, 0xA700, 0xC000, 0xC000), (CREATE, 0x0110, 0x0106, 0x0110)],
)
def test_failures_by_service(request_, database, malformed, unforeseen):
    """The same trouble has another status in C-FIND, C-STORE and the N services."""
    assert status.answer_to(OperationalError("gone"), request_).status == database
    assert status.answer_to(OSError("disk full"), request_).status == database
    assert status.answer_to(MalformedDataset("cut off"), request_).status == malformed
    assert status.answer_to(KeyError("x"), request_).status == unforeseen


def test_an_unforeseen_error_is_logged_without_its_message(db, caplog):
    """The message may quote a patient."""

    def handler(request: Request) -> Answer:
        raise RuntimeError("Hopper^Grace")

    assert handling.answer(handler, ECHO).status == 0x0110
    assert "RuntimeError at" in caplog.text
    assert "Hopper" not in caplog.text


def test_a_query_that_breaks_off_ends_with_a_failure(db):
    """An error after the first answer is a failure status, not silence."""

    def handler(request: Request):
        yield Answer(status=0xFF00)
        raise OperationalError("gone")

    assert [answer.status for answer in handling.answers(handler, FIND)] == [0xFF00, 0xA700]


def test_values_of_the_network_are_printable():
    """No control character or line end of a peer reaches the log."""
    assert handling.printable("CT1\n\x1b[31mé") == "CT1\\n\\x1b[31m\\xe9"
